// The timeline of a clip: thumbnails, the position, the range to paint, cuts and key frames.

import { post } from "./api.js";
import { sessionAreas } from "./areas.js";
import { showCanvas } from "./canvas.js";
import { changeClip, frameCount, hasPainted, isEditable, isRead, originalUrl, paintedUrl, range, shownClip, timeOf, timeText } from "./clip.js";
import { at, element, icon, onClick, on, safely } from "./dom.js";
import { showJob } from "./session.js";
import { findJob, state } from "./state.js";

const LEAST_THUMBS = 4, MOST_THUMBS = 48;

// --- position -----------------------------------------------------------------------------------

const drawn = safely(showCanvas);

/** Shows another frame. A frame that the user chooses ends the following of the painter. */
export function goTo(number, following = false) {
  if (state.masking) return; // the mask is drawn on this frame
  const wanted = Math.min(frameCount() - 1, Math.max(0, Math.round(number)));
  if (!following) state.follow = false;
  if (wanted === state.position && !following) { showTimeline(); return; }
  state.position = wanted;
  showTimeline();
  if (!state.playing) drawn();
}

function marks() {
  const found = new Set([...cuts(), ...keys().map((each) => each.frame), ...areas().map((each) => each.frame), ...range()]);
  return [...found].sort((a, b) => a - b);
}

export function goToMark(way) {
  const all = marks(), found = way > 0 ? all.find((each) => each > state.position) : all.reverse().find((each) => each < state.position);
  if (found !== undefined) goTo(found);
}

// --- what the session says ----------------------------------------------------------------------

const cuts = () => state.session.clip.cuts ?? state.clip?.cuts ?? [];
const keys = () => (isEditable() ? state.session.clip.keys : []);
const areas = () => (isEditable() ? sessionAreas().filter((each) => each.frame !== null) : []);
const keyEntries = () => keys().map(({ frame, picture }) => ({ frame, picture: picture.id }));

const setFirst = (number) => changeClip({ first: number, ...(number > range()[1] ? { last: null } : {}) });
const setLast = (number) => changeClip({ last: number >= frameCount() - 1 ? null : number, ...(number < range()[0] ? { first: 0 } : {}) });

export const startHere = () => changeRange(setFirst);
export const endHere = () => changeRange(setLast);

async function changeRange(set) {
  if (!isEditable()) return;
  state.shown = findJob(state.shown)?.video ? null : state.shown; // a version keeps its own range
  await set(state.position);
  await showCanvas();
}

export async function toggleCut() {
  const here = state.position, all = cuts();
  if (!here || !isEditable()) return;
  await changeClip({ cuts: all.includes(here) ? all.filter((each) => each !== here) : [...all, here].sort((a, b) => a - b) });
}

/** Uses an image as the painted frame at a position. */
export async function addKey({ id }, frame = state.position) {
  const others = keyEntries().filter((each) => each.frame !== frame);
  await changeClip({ keys: [...others, { frame, picture: id }].sort((a, b) => a.frame - b.frame) });
}

export async function useAsKey(version) {
  await addKey(await post(`/api/works/${version.id}/picture`), version.frame);
}

async function paintFrame() {
  const before = findJob(state.shown)?.id ?? null;
  await showJob(await post(`/api/sessions/${state.session.id}/paint`, { before, frame: state.position }));
}

// --- the track ----------------------------------------------------------------------------------

const place = (id, share) => at(id).style.setProperty("--at", String(share));

export function showTimeline() {
  const clip = shownClip();
  at("timeline").hidden = !clip;
  if (!clip) return;
  const count = frameCount(), { position } = state, [first, last] = range(), version = findJob(state.shown);
  place("playhead", (position + 0.5) / count);
  place("range-start", first / count);
  place("range-end", (last + 1) / count);
  at("track").style.setProperty("--from", String(first / count));
  at("track").style.setProperty("--to", String((last + 1) / count));
  const latest = version?.video?.latest ?? null;
  at("filled").hidden = !version?.video || latest === null;
  at("filled").style.setProperty("--painted", String(latest === null ? 0 : (latest + 1 - first) / count));
  describe("playhead", position, 0, count - 1);
  describe("range-start", first, 0, last);
  describe("range-end", last, first, count - 1);
  at("frame-text").textContent = `${timeText(timeOf(position))} · frame ${position + 1} of ${count}`;
  showMarks(count);
  showThumbs(count, version);
  if (!state.playing) showButtons(version, position); // they would flicker
  showReading();
}

function describe(id, now, least, most) {
  const slider = at(id);
  for (const [name, value] of [["now", now], ["min", least], ["max", most]]) slider.setAttribute(`aria-value${name}`, value);
  slider.setAttribute("aria-valuetext", `${timeText(timeOf(now))}, frame ${now + 1}`);
  if (id !== "playhead") {
    slider.setAttribute("aria-disabled", String(!isEditable()));
    slider.tabIndex = isEditable() ? 0 : -1;
  }
}

function showMarks(count) {
  const mark = (number, kind, name, tint = "") => {
    const made = element("span", { className: `mark ${kind}`, title: `${name} at ${timeText(timeOf(number))}` });
    made.style.setProperty("--at", String((kind === "cut" ? number : number + 0.5) / count));
    made.style.background = tint;
    return made;
  };
  at("marks").replaceChildren(...(isEditable() ? cuts() : state.clip?.cuts ?? []).map((each) => mark(each, "cut", "Cut")), ...keys().map((each) => mark(each.frame, "key", "Key frame")),
    ...areas().map(({ frame, name, tint }) => mark(frame, "area", name, tint)));
  at("key-frames").replaceChildren(...keys().map(({ frame, picture }) => element("li", {},
    element("button", { className: "key-frame", onclick: () => goTo(frame) },
      element("img", { src: picture.thumb, alt: "" }), element("span", {}, "Key frame", element("span", { className: "soft" }, timeText(timeOf(frame))))),
    element("button", { className: "quiet", title: "Remove", "aria-label": `Remove the key frame at ${timeText(timeOf(frame))}`,
      onclick: safely(() => changeClip({ keys: keyEntries().filter((each) => each.frame !== frame) })) }, icon("x")))));
}

// Thumbnails keep their elements, so that only those whose frame or picture has changed load again.
function showThumbs(count, version) {
  const strip = at("thumbs-strip"), clip = shownClip(), height = strip.clientHeight || 56;
  const wanted = Math.ceil((strip.clientWidth || 600) / Math.max(24, (height * clip.width) / clip.height));
  const number = Math.min(count, Math.max(LEAST_THUMBS, Math.min(MOST_THUMBS, wanted)));
  while (strip.children.length > number) strip.lastChild.remove();
  while (strip.children.length < number) strip.append(element("img", { alt: "", draggable: false }));
  [...strip.children].forEach((each, index) => {
    const frame = Math.min(count - 1, Math.floor(((index + 0.5) * count) / number));
    const known = version?.video && hasPainted(version, frame);
    const url = known ? `${paintedUrl(version, frame)}?small` : isRead(frame) ? `${originalUrl(frame)}?small` : "";
    if (each.dataset.url === url) return;
    each.dataset.url = url;
    if (url) each.src = url; else each.removeAttribute("src");
    each.classList.toggle("painted", Boolean(known));
  });
}

function showButtons(version, position) {
  const editable = isEditable(), running = version?.state === "painting" && version.kind === "clip";
  for (const id of ["start-here", "end-here", "cut-here", "key-here", "paint-frame"]) at(id).hidden = !editable;
  const isCut = cuts().includes(position);
  at("cut-here").disabled = !position;
  at("cut-here").setAttribute("aria-pressed", String(isCut));
  at("cuts-auto").hidden = !editable || state.session.clip.cuts === null;
  at("paint-frame").disabled = at("paint").disabled;
  at("follow").hidden = !running;
  at("follow").setAttribute("aria-pressed", String(state.follow));
}

function showReading() {
  const { clip } = state;
  const text = clip?.error ? `The clip cannot be read: ${clip.error}`
    : clip && !clip.complete ? `Reading the clip: ${clip.read} of ${clip.frames} frames. You can already choose a style.` : "";
  if (at("clip-text").textContent !== text) at("clip-text").textContent = text;
}

// --- sliders ------------------------------------------------------------------------------------

/** Returns the frame under a pointer. */
function frameUnder(event, edge = 0) {
  const box = at("thumbs-strip").getBoundingClientRect(), share = (event.clientX - box.left) / box.width;
  return Math.min(frameCount() - 1, Math.max(0, Math.floor(share * frameCount() + edge)));
}

const STEPS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 };

/**
 * Makes an element a slider for the keyboard.
 * @param {string} id
 * @param {() => number} value
 * @param {(number: number) => void} change
 */
function wireSliderKeys(id, value, change) {
  at(id).addEventListener("keydown", (event) => {
    const wanted = event.key === "Home" ? 0 : event.key === "End" ? frameCount() - 1 : event.key in STEPS ? value() + STEPS[event.key] * (event.shiftKey ? 10 : 1) : null;
    if (wanted === null || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    change(Math.min(frameCount() - 1, Math.max(0, wanted)));
  });
}

// Drags an end of the range; the canvas shows the frame there, and the session changes at the end.
function wireGrip(id, end, change) {
  const grip = at(id);
  let dragged = null;
  grip.addEventListener("pointerdown", (event) => {
    if (!isEditable()) return;
    event.stopPropagation();
    grip.setPointerCapture(event.pointerId);
    dragged = event.pointerId;
    if (findJob(state.shown)?.video) state.shown = null;
  });
  grip.addEventListener("pointermove", (event) => {
    if (dragged !== event.pointerId) return;
    const [first, last] = range(), number = frameUnder(event, end ? -0.5 : 0.5);
    if (end) state.session.clip.last = Math.max(first, number); else state.session.clip.first = Math.min(last, number);
    goTo(end ? range()[1] : range()[0]);
  });
  grip.addEventListener("pointerup", safely(async (event) => {
    if (dragged !== event.pointerId) return;
    dragged = null;
    await change(range()[end ? 1 : 0]);
    await showCanvas();
  }));
  grip.addEventListener("pointercancel", () => { dragged = null; });
  wireSliderKeys(id, () => range()[end ? 1 : 0], safely(async (number) => {
    if (!isEditable()) return;
    const [first, last] = range(), wanted = end ? Math.max(first, number) : Math.min(last, number);
    if (end) state.session.clip.last = wanted; else state.session.clip.first = wanted;
    if (findJob(state.shown)?.video) state.shown = null;
    goTo(wanted);
    await change(wanted);
  }));
}

export function wireTimeline() {
  const track = at("track");
  let scrubbing = null;
  track.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    track.setPointerCapture(event.pointerId);
    scrubbing = event.pointerId;
    at("playhead").focus({ preventScroll: true });
    goTo(frameUnder(event));
  });
  track.addEventListener("pointermove", (event) => { if (scrubbing === event.pointerId) goTo(frameUnder(event)); });
  for (const end of ["pointerup", "pointercancel"]) track.addEventListener(end, () => { scrubbing = null; });
  wireSliderKeys("playhead", () => state.position, goTo);
  wireGrip("range-start", false, setFirst);
  wireGrip("range-end", true, setLast);
  at("frame-before").addEventListener("click", () => goTo(state.position - 1));
  at("frame-after").addEventListener("click", () => goTo(state.position + 1));
  at("mark-before").addEventListener("click", () => goToMark(-1));
  at("mark-after").addEventListener("click", () => goToMark(1));
  on("start-here", "click", startHere);
  on("end-here", "click", endHere);
  on("cut-here", "click", toggleCut);
  on("cuts-auto", "click", () => changeClip({ cuts: null }));
  onClick("paint-frame", paintFrame);
  at("follow").addEventListener("click", () => {
    state.follow = !state.follow;
    const progress = findJob(state.shown)?.progress;
    if (state.follow && progress?.event === "frame") goTo(progress.number, true); else showTimeline();
  });
  new ResizeObserver(() => showTimeline()).observe(track);
}
