// The shapes of the page's state and of the server's messages, for the type check of the page.
// A field that is added to a message or to `state` gets its line here.

/** What the server sends once: settings, presets and samples (`studio/schema.py`). */
interface About {
  notes: string[]; settings: Setting[];
  presets: { name: string; help: string; recipe: Settings; picture: string | null }[];
  samples: { photographs: string[]; paintings: string[] };
  steerable: string[];
}

interface Setting {
  name: string; label: string; kind: "integer" | "number" | "text" | "choice"; help: string; unit: string;
  possible: string; minimum: number | null; maximum: number | null; choices: string[]; words: string[]; default: string;
}

/** A recipe's settings as the user writes them, by name. */
type Settings = Record<string, string>;

/** An uploaded image (`Store.picture`). */
interface Picture {
  id: string; name: string; width: number; height: number; mask: boolean; notes: string[]; url: string; thumb: string;
}

interface Upload extends Picture {
  painted: { recipe: Settings; inputs: { role: string; name: string; here: Picture | null }[] } | null;
}

interface Painting { picture: Picture; share: number; scale: number }
interface Region { mask: Picture; painting: Picture; scale: number; feather: number }

/** A session with its versions (`works.session`). */
interface Session {
  id: string; name: string; created: number; photograph: Picture | null; paintings: Painting[]; regions: Region[];
  keep: Picture | null; keep_feather: number; missing: string[]; preset: string; recipe: Settings; idle: string[]; works: Work[];
}

/** A version: one painting job (`works.told`). */
interface Work {
  id: string; session: string; created: number; state: "queued" | "painting" | "done" | "stopped" | "failed";
  error: string | null; seconds: number; steered: boolean; sheet: string | null; recipe: Settings;
  differs: [name: string, before: string, now: string][]; preview: string | null; result: string | null;
  resumable: boolean; progress: StepMessage | null; draft: boolean;
}

/** One evaluation of the job that runs (`studio/worker.py`). */
interface StepMessage {
  session: string; work: string; level: number; levels: number; evaluation: number; evaluations: number;
  total: number; terms: Record<string, number>; seconds: number; done: number; left: string; shown: boolean;
}

type Point = [x: number, y: number];

/** The mask that the user paints, and the tool in use. */
interface Masking {
  mask: import("../../src/impasto/studio/static/masks.js").Mask;
  role: "keep" | "region"; painting: Picture | null; number: number | null; tool: string;
  last: Point | null; cursor: Point; down?: boolean;
}

interface State {
  about: About | null; session: Session | null; wanted: string | null; worker: string; queue: Work[];
  shown: string | null; pictures: Map<string, Promise<HTMLImageElement>>; masking: Masking | null;
  curve: [level: number, total: number][]; forecastAsked: number; lost?: boolean;
}

interface Window { studio: { state: State; view: import("../../src/impasto/studio/static/view.js").View } }
