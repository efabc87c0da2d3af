// The state of the page, for its type check. `messages.d.ts` has the messages; `make docs` generates it.

type Point = [x: number, y: number];

/** The mask editor: the mask, its purpose, the region that is edited, and the tool in use. */
interface Masking {
  mask: import("../../src/impasto/studio/static/masks.js").Mask;
  role: "protect" | "region"; style: ImageInfo | null; number: number | null; tool: string;
  last: Point | null; cursor: Point; down?: boolean;
}

interface State {
  about: StaticInfo | null; session: SessionInfo | null; wanted: string | null; worker: string; queue: JobInfo[];
  shown: string | null; images: Map<string, Promise<HTMLImageElement>>; masking: Masking | null;
  curve: [level: number, total: number][]; forecastAsked: number; lost?: boolean;
}

interface Window { studio: { state: State; view: import("../../src/impasto/studio/static/view.js").View } }
