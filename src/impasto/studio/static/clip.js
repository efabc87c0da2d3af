// The clip on the canvas: its frames, the position on the timeline, and the addresses of frames.

import { get } from "./api.js";
import { at, icon, safely } from "./dom.js";
import { changeSession } from "./session.js";
import { findJob, state } from "./state.js";

/** @type {() => ImageInfo | null} Returns the clip of the shown version, else that of the session. */
export function shownClip() {
  const content = findJob(state.shown)?.content ?? state.session?.photograph;
  return content?.clip ? content : null;
}

/** Returns whether the settings of the shown clip are those of the session. */
export const isEditable = () => shownClip()?.id === state.session?.photograph?.id;

export const frameCount = () => Math.max(1, state.clip?.frames || shownClip()?.clip.frames || 1);
const rate = () => shownClip()?.clip.rate || 25;

/** Returns the time of a frame in seconds; until the clip is read, from its frame rate. */
export const timeOf = (number) => state.clip?.times[number] ?? number / rate();

export function frameAt(seconds) {
  const times = state.clip?.times ?? [];
  if (!times.length) return Math.min(frameCount() - 1, Math.max(0, Math.floor(seconds * rate() + 1e-6)));
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (times[middle] <= seconds + 1e-4) low = middle; else high = middle - 1;
  }
  return low;
}

/** Returns a time as minutes:seconds with a decimal. */
export const timeText = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

/** @type {() => [first: number, last: number]} Returns the range of the shown version, else that of the session. */
export function range() {
  const { first, last } = findJob(state.shown)?.video ?? state.session.clip, end = frameCount() - 1;
  return [Math.min(first, end), Math.min(last ?? end, end)];
}

/** Returns whether the studio has read a frame of the shown clip. */
export const isRead = (number) => Boolean(state.clip) && (state.clip.complete || number < state.clip.read);

export const originalUrl = (number) => `/api/pictures/${shownClip()?.id}/frames/${number}.jpg`;

/** @type {(version: JobInfo | null, number: number) => boolean} Returns whether a version has this frame. */
export function hasPainted(version, number) {
  if (version?.kind === "frame") return version.frame === number && Boolean(version.result ?? version.preview);
  const video = version?.video;
  return Boolean(video) && video.latest !== null && video.first <= number && number <= video.latest;
}

/** @type {(version: JobInfo | null, number: number) => string | null} Returns the address of a painted frame. */
export function paintedUrl(version, number) {
  const growing = version?.progress?.event === "frame" ? version.progress : null;
  const first = version?.video && version.video.latest === null && version.video.first === number;
  if (growing?.number === number && !growing.written || first && version.state === "painting") return version.preview;
  if (!hasPainted(version, number)) return null;
  return version.kind === "frame" ? version.result ?? version.preview : `/api/works/${version.id}/painted/${number}.jpg`;
}

/** @type {(changes: ClipChanges) => Promise<void>} */
export const changeClip = (changes) => changeSession({ clip: changes });

// --- loading ------------------------------------------------------------------------------------

/** Loads the description of the shown clip, and returns whether it is new. The studio sends events while it reads the clip. */
export const loadClip = safely(async (again = false) => {
  const clip = shownClip();
  if (!clip) { state.clip = null; return false; }
  if (!again && state.clip?.picture === clip.id) return false;
  if (state.clip?.picture !== clip.id) state.clip = null;
  /** @type {ClipFrames} */
  const found = await get(`/api/pictures/${clip.id}/clip`);
  if (shownClip()?.id !== found.picture) return false;
  state.clip = found;
  return true;
});

/** Moves the position into the clip of a version that is now shown. */
export function goToVersion() {
  const version = findJob(state.shown);
  if (version?.kind === "frame") state.position = version.frame;
  else if (version?.video) {
    const { first, latest } = version.video;
    state.position = Math.min(Math.max(state.position, first), Math.max(first, latest ?? first));
  }
}

/** Shows an icon and a text on a button. */
export function label(id, name, text) {
  const button = at(id);
  if (button.dataset.icon === name) return;
  button.dataset.icon = name;
  button.replaceChildren(icon(name), text);
}
