// From studio/messages.py and studio/event_messages.py; `make docs` generates this file.

/** New inputs and settings of a session. */
interface SessionChanges {
  photograph?: string | null;
  paintings?: StyleEntry[];
  regions?: RegionEntry[];
  keep?: string | null;
  keep_feather?: number;
  keep_frame?: number | null;
  preset?: string;
  detail?: string;
  recipe?: Record<string, string | null>;
  clip?: ClipChanges;
}

/** A style image of a session: its id, weight and scale. */
interface StyleEntry {
  picture: string;
  share: number;
  scale: number;
}

/** A region with its own style image, by the ids of both images. */
interface RegionEntry {
  mask: string;
  painting: string;
  scale: number;
  feather: number;
  frame: number | null;
}

/** New values of `ClipSettings`. */
interface ClipChanges {
  first?: number;
  last?: number | null;
  steady?: number;
  every?: string;
  hold?: number;
  cuts?: number[] | null;
  keys?: KeyEntry[];
}

/** A frame that was painted by hand: its number and the id of the image. */
interface KeyEntry {
  frame: number;
  picture: string;
}

/** Start a job; ``before`` is the previous version. With ``frame``, only it is painted. */
interface PaintRequest {
  before?: string | null;
  frame?: number;
}

/** Enlarge a result to a longest side in pixels. */
interface FinishRequest {
  size: number;
}

/** Change settings of the running job. */
interface SteerRequest {
  settings: Record<string, string | null>;
}

/** Start a job for each combination of values of the settings.

    With ``crop``, the jobs paint the part of the image around this place at the final scale. Of a
    clip, they paint one ``frame``.
     */
interface SweepRequest {
  vary: Record<string, string[]>;
  crop?: PlaceInfo | null;
  frame?: number;
}

/** A place in the content image. */
interface PlaceInfo {
  x: number;
  y: number;
}

/** Select the pixels that are similar to one; of a clip, in a frame. */
interface SelectRequest {
  x: number;
  y: number;
  tolerance: number;
  frame?: number;
}

/** Select a part of the content image; of a clip, in a frame. */
interface SelectPartRequest {
  part: "subject" | "face" | "background" | "sky";
  frame?: number;
}

/** A new name of a version, or whether it has a star. */
interface VersionChanges {
  name?: string;
  starred?: boolean;
}

/** Add an image to the collection of styles. */
interface CollectionRequest {
  picture: string;
}

/** Reorder the queue, by the ids of jobs. */
interface QueueRequest {
  order: string[];
}

/** The data that does not change while the studio runs. */
interface StaticInfo {
  notes: string[];
  settings: SettingSchema[];
  presets: PresetInfo[];
  details: DetailInfo[];
  samples: SampleNames;
  examples: ExampleInfo[];
  shares: boolean;
  steerable: string[];
  video: string;
}

/** A setting, for its form field. */
interface SettingSchema {
  name: string;
  label: string;
  kind: "integer" | "number" | "text" | "choice";
  help: string;
  unit: string;
  possible: string;
  minimum: number | null;
  maximum: number | null;
  choices: string[];
  words: string[];
  default: string;
}

/** A preset, with the address of its thumbnail. */
interface PresetInfo {
  name: string;
  label: string;
  help: string;
  historic: boolean;
  recipe: Record<string, string>;
  picture: string | null;
}

/** A level of detail: the preset draft, default or fine. */
interface DetailInfo {
  name: string;
  label: string;
  help: string;
}

/** The samples, content images and style images. */
interface SampleNames {
  photographs: SampleInfo[];
  paintings: SampleInfo[];
}

/** A sample, with the address of its thumbnail. */
interface SampleInfo {
  name: string;
  label: string;
  picture: string;
}

/** A content and a style sample, with the address of a result. */
interface ExampleInfo {
  content: string;
  style: string;
  picture: string;
}

/** An added image. */
interface UploadInfo {
  id: string;
  name: string;
  width: number;
  height: number;
  mask: boolean;
  notes: string[];
  clip: ClipFacts | null;
  url: string;
  thumb: string;
  painted: ResultInfo | null;
}

/** A video clip, as its container describes it. */
interface ClipFacts {
  frames: number;
  seconds: number;
  rate: number;
  sound: boolean;
  transparent: boolean;
}

/** The recipe and inputs that a result contains. */
interface ResultInfo {
  recipe: Record<string, string>;
  inputs: InputInfo[];
}

/** An input image of a result. */
interface InputInfo {
  role: string;
  name: string;
  sha256: string;
  here: ImageInfo | null;
}

/** An image, with the addresses of two sizes of it. */
interface ImageInfo {
  id: string;
  name: string;
  width: number;
  height: number;
  mask: boolean;
  notes: string[];
  clip: ClipFacts | null;
  url: string;
  thumb: string;
}

/** A job, which the page shows as a version. */
interface JobInfo {
  id: string;
  created: number;
  state: "queued" | "painting" | "done" | "stopped" | "failed";
  error: string | null;
  seconds: number;
  steered: boolean;
  name: string;
  starred: boolean;
  sheet: string | null;
  content: ImageInfo | null;
  styles: string[];
  stem: string;
  film: boolean;
  recipe: Record<string, string>;
  differs: [string, string, string][];
  preview: string | null;
  result: string | null;
  resumable: boolean;
  progress: StepMessage | FrameMessage | null;
  kind: "image" | "frame" | "clip";
  frame: number;
  video: PaintedClip | null;
  draft: boolean;
}

/** A step of a job. */
interface StepMessage {
  event: "step";
  work: string;
  level: number;
  levels: number;
  evaluation: number;
  evaluations: number;
  total: number;
  terms: Record<string, number>;
  seconds: number;
  done: number;
  left: string;
  shown: boolean;
}

/** The progress of a clip: a frame was written, or the first one of a shot has grown. */
interface FrameMessage {
  event: "frame";
  work: string;
  number: number;
  written: boolean;
  frames: number;
  count: number;
  shot: number;
  shots: number;
  done: number;
  left: string;
  shown: boolean;
}

/** The settings and painted frames of a job that paints a clip. */
interface PaintedClip {
  first: number;
  last: number | null;
  steady: number;
  every: string;
  hold: number;
  cuts: number[] | null;
  done: number;
  latest: number | null;
  url: string | null;
}

/** A job with the records of its steps. */
interface JobDetails {
  id: string;
  created: number;
  state: "queued" | "painting" | "done" | "stopped" | "failed";
  error: string | null;
  seconds: number;
  steered: boolean;
  name: string;
  starred: boolean;
  sheet: string | null;
  content: ImageInfo | null;
  styles: string[];
  stem: string;
  film: boolean;
  recipe: Record<string, string>;
  differs: [string, string, string][];
  preview: string | null;
  result: string | null;
  resumable: boolean;
  progress: StepMessage | FrameMessage | null;
  kind: "image" | "frame" | "clip";
  frame: number;
  video: PaintedClip | null;
  draft: boolean;
  history: number[][];
}

/** A session with its jobs. */
interface SessionInfo {
  id: string;
  photograph: ImageInfo | null;
  paintings: StyleInfo[];
  regions: RegionInfo[];
  keep: ImageInfo | null;
  keep_feather: number;
  keep_frame: number | null;
  missing: string[];
  preset: string;
  detail: string;
  recipe: Record<string, string>;
  clip: ClipSettingsInfo;
  idle: string[];
  works: JobInfo[];
}

/** A style image of a session. */
interface StyleInfo {
  picture: ImageInfo;
  share: number;
  scale: number;
}

/** A region of a session. */
interface RegionInfo {
  mask: ImageInfo;
  painting: ImageInfo;
  scale: number;
  feather: number;
  frame: number | null;
}

/** `ClipSettings` with descriptions of the images. */
interface ClipSettingsInfo {
  first: number;
  last: number | null;
  steady: number;
  every: string;
  hold: number;
  cuts: number[] | null;
  keys: KeyInfo[];
}

/** A frame that was painted by hand. */
interface KeyInfo {
  frame: number;
  picture: ImageInfo;
}

/** The state of the whole studio. */
interface StudioState {
  worker: string;
  sessions: SessionName[];
  queue: JobInfo[];
  collection: ImageInfo[];
  skipped: [string, string][];
}

/** A session in the list of sessions. */
interface SessionName {
  id: string;
  name: string;
}

/** The expected seconds and bytes of a run, and both as text. */
interface ForecastInfo {
  seconds: number | null;
  memory: number | null;
  fits: boolean;
  text: string;
  frames: string;
  sizes: SizeForecast[];
}

/** The expected time and memory of a run at another size, as text. */
interface SizeForecast {
  value: string;
  width: number;
  height: number;
  time: string;
  memory: string;
  fits: boolean;
}

/** The frames of a clip that the studio has read so far. */
interface ClipFrames {
  picture: string;
  read: number;
  frames: number;
  complete: boolean;
  times: number[];
  cuts: number[];
  error: string | null;
}

/** The masks of a session that move with the content of its clip. */
interface AreaList {
  areas: AreaFrames[];
}

/** The frames of a clip for which a mask that moves is known, which grow from its own frame. */
interface AreaFrames {
  mask: string;
  frame: number;
  begin: number;
  end: number;
  first: number;
  last: number;
}

/** The id of a sheet, and the ids of its jobs. */
interface SweepInfo {
  sheet: string;
  works: string[];
}

/** An address that gives access to one more device, once, and its QR code as SVG. */
interface ShareInfo {
  address: string;
  code: string;
}

/** The response without data. */
interface Done {
}

/** The response to a rejected request. */
interface ErrorInfo {
  error: string;
}

/** The first event of a stream, with a hash of the page's files. */
interface HelloMessage {
  event: "hello";
  build: string;
}

/** Sessions, the queue or the worker process have changed. */
interface StateMessage {
  event: "state";
  worker: string;
}

/** A job has changed. */
interface JobMessage {
  event: "work";
  work: string;
  state: "queued" | "painting" | "done" | "stopped" | "failed";
}

/** The preview shows the draft: the content image in the colors of the style image.

    The worker process writes it before the first step.
     */
interface DraftMessage {
  event: "draft";
  work: string;
  left: string;
}

/** A message of a job for the user. */
interface NoteMessage {
  event: "note";
  work: string;
  note: string;
}

/** Frames of a clip were read for the page. */
interface ReadingMessage {
  event: "reading";
  picture: string;
  read: number;
  complete: boolean;
}

/** A mask of a clip is known for more frames; see `messages.AreaFrames`. */
interface AreaMessage {
  event: "area";
  picture: string;
  mask: string;
  frame: number;
  first: number;
  last: number;
}

type PageRequest = SessionChanges | PaintRequest | FinishRequest | SteerRequest | SweepRequest | SelectRequest | SelectPartRequest | VersionChanges | CollectionRequest | QueueRequest;

type PageResponse = StaticInfo | UploadInfo | JobInfo | JobDetails | SessionInfo | StudioState | ForecastInfo | ClipFrames | AreaList | SweepInfo | ShareInfo | Done | ErrorInfo;

type PageMessage = HelloMessage | StateMessage | JobMessage | DraftMessage | NoteMessage | StepMessage | FrameMessage | ReadingMessage | AreaMessage;
