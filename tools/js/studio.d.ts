// The state of the page, for its type check. `messages.d.ts` has the messages; `make docs` generates it.

type Point = [x: number, y: number];

/** The mask editor: the mask, its purpose, the region that is edited, and the tool in use. */
interface Masking {
  mask: import("../../src/impasto/studio/static/masks.js").Mask;
  role: "protect" | "region"; style: ImageInfo | null; number: number | null; tool: string;
  last: Point | null; cursor: Point; down?: boolean;
  /** the number of changes when the editor was opened */
  steps: number;
}

interface State {
  about: StaticInfo | null; session: SessionInfo | null; wanted: string | null; worker: string; queue: JobInfo[];
  collection: ImageInfo[]; shown: string | null; images: Map<string, Promise<HTMLImageElement>>; masking: Masking | null;
  curve: [level: number, total: number][]; forecastAsked: number; lost?: boolean;
  /** the forecast of the time, as text */
  expected: string;
  /** the selected versions of the grid */
  chosen: Set<string>;
  panel: import("../../src/impasto/studio/static/panel.js").Panel | null;
  /** whether the original is shown while a button or key is held */
  held: boolean;
  clip: ClipFrames | null;
  areas: AreaFrames[];
  /** the number of the shown frame */
  position: number;
  follow: boolean; playing: boolean;
  /** the numbers of the last request to show the canvas, and of the one that is shown */
  canvasAsked: number; canvasShown: number;
}

/** An area of the session; `frame` is null where it does not move. */
interface Area { mask: ImageInfo; name: string; frame: number | null; tint: string }

interface JobInfo {
  /** the time left as text, before the first step */
  left?: string;
}

interface Window { studio: { state: State; view: import("../../src/impasto/studio/static/view.js").View } }
