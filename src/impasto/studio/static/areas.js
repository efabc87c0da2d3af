// The areas of the session on the canvas: the protected one, and those of styles. Those of a clip move with its content.

import { get } from "./api.js";
import { loadImage, showCanvas } from "./canvas.js";
import { timeText, timeOf } from "./clip.js";
import { at, element, on, safely } from "./dom.js";
import { channels, TINTS } from "./masks.js";
import { state, styleLabel } from "./state.js";
import { showTimeline } from "./timeline.js";

const tinted = new Map(); // canvases by the URL of the mask and the color
let tints = { of: "", colors: Object.values(TINTS) }; // the colors of areas, and the image that they are for

export const areasShown = () => at("areas-shown").getAttribute("aria-pressed") === "true";
const isClip = () => Boolean(state.session.photograph?.clip);

/** @type {() => Area[]} */
export function sessionAreas() {
  const { keep, keep_frame: frame, regions } = state.session;
  const all = keep ? [{ mask: keep, name: "Protected", frame }] : [];
  all.push(...regions.map((each) => ({ mask: each.mask, name: styleLabel(each.painting.name), frame: each.frame })));
  return all.map((each, number) => ({ ...each, frame: isClip() ? each.frame : null, tint: tints.colors[number % tints.colors.length] }));
}

/** Returns the colors of overlays, first those that differ most from the colors of an image. */
export async function contrasting(url) {
  const image = await loadImage(url), context = element("canvas", { width: 24, height: 24 }).getContext("2d");
  if (!image) return Object.values(TINTS);
  context.drawImage(image, 0, 0, 24, 24);
  const { data } = context.getImageData(0, 0, 24, 24);
  const distance = (tint) => {
    const [r, g, b] = channels(tint);
    let sum = 0;
    for (let place = 0; place < data.length; place += 4) sum += Math.hypot(data[place] - r, data[place + 1] - g, data[place + 2] - b);
    return sum;
  };
  return Object.values(TINTS).sort((a, b) => distance(b) - distance(a));
}

/** Chooses the colors of areas by those of the content image. */
export const chooseTints = safely(async () => {
  const url = state.session.photograph?.thumb ?? "";
  if (url === tints.of) return;
  const colors = await contrasting(url);
  if (url !== (state.session.photograph?.thumb ?? "")) return;
  tints = { of: url, colors };
  showTimeline();
  if (sessionAreas().length) await showAreas();
});

/** Returns the frame of an area as text; empty for a photo. */
export function areaText(frame) {
  if (!isClip()) return "";
  return frame === null ? "the same in all frames" : `drawn at ${timeText(timeOf(frame))}, frame ${frame + 1}`;
}

// --- areas that move ----------------------------------------------------------------------------

/** @type {(area: { mask: ImageInfo, frame: number }) => AreaFrames | undefined} */
const known = ({ mask, frame }) => state.areas.find((each) => each.mask === mask.id && each.frame === frame);

/** Returns whether an area is in the shot at the position. */
function isHere(area) {
  const frames = known(area), { position } = state;
  return area.frame === null || area.frame === position || Boolean(frames) && frames.begin <= position && position <= frames.end;
}

/** Returns the address of the mask of an area at the position; null while it is unknown. */
function urlOf(area) {
  const { position } = state, frames = known(area);
  if (area.frame === null || area.frame === position) return area.mask.url;
  if (!frames || position < frames.first || position > frames.last) return null;
  return `/api/pictures/${state.session.photograph.id}/areas/${area.mask.id}/${area.frame}/${position}.png`;
}

let asked = "";

/** Loads which frames of the areas are known; the studio sends events while it moves them. */
export const loadAreas = safely(async () => {
  const { id, photograph, clip } = state.session, moving = sessionAreas().filter((each) => each.frame !== null);
  const now = JSON.stringify([id, photograph?.id, moving.map(({ mask, frame }) => [mask.id, frame]), clip.cuts, state.clip?.complete]);
  if (now === asked) return;
  asked = now;
  if (!moving.length) { state.areas = []; return; }
  /** @type {AreaList} */
  const found = await get(`/api/sessions/${id}/areas`);
  if (asked !== now) return;
  state.areas = found.areas;
  await showAreas();
});

/** Loads them again after the studio was restarted, which moves the areas that are not complete. */
export function reloadAreas() {
  asked = "";
  return loadAreas();
}

/** @param {AreaMessage} message */
export function noteArea({ picture, mask, frame, first, last }) {
  const frames = state.areas.find((each) => each.mask === mask && each.frame === frame);
  if (!frames || state.session?.photograph?.id !== picture) return;
  const { position } = state, had = frames.first <= position && position <= frames.last;
  Object.assign(frames, { first: Math.max(first, frames.begin), last: Math.min(last, frames.end) });
  if (!had && frames.first <= position && position <= frames.last) safely(showAreas)();
}

async function showAreas() {
  showLegend();
  if (!state.shown && !state.masking && !state.playing) await showCanvas();
}

// --- on the canvas ------------------------------------------------------------------------------

export async function areaImages() {
  const urls = sessionAreas().map((each) => ({ url: urlOf(each), tint: each.tint })).filter(({ url }) => url);
  return (await Promise.all(urls.map(({ url, tint }) => tintedMask(url, tint)))).filter(Boolean);
}

async function tintedMask(url, tint) {
  const key = `${url} ${tint}`;
  if (!tinted.has(key)) {
    const mask = await loadImage(url);
    if (!mask) return null;
    const ratio = Math.min(1, 1000 / Math.max(mask.width, mask.height));
    const canvas = element("canvas", { width: Math.round(mask.width * ratio), height: Math.round(mask.height * ratio) });
    const context = canvas.getContext("2d");
    context.drawImage(mask, 0, 0, canvas.width, canvas.height);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height), { data } = pixels, rgb = channels(tint);
    for (let place = 0; place < data.length; place += 4) {
      data[place + 3] = data[place];
      [data[place], data[place + 1], data[place + 2]] = rgb;
    }
    context.putImageData(pixels, 0, 0);
    tinted.set(key, canvas);
    if (tinted.size > 24) tinted.delete(tinted.keys().next().value);
  }
  return tinted.get(key);
}

// Shows which color is which area, of a clip those at the position.
export function showLegend() {
  const all = state.session ? sessionAreas() : [], areas = all.filter(isHere);
  at("areas-shown").hidden = !all.length || Boolean(state.shown) || Boolean(state.masking);
  at("legend").hidden = at("areas-shown").hidden || !areasShown() || !areas.length;
  at("legend").replaceChildren(...areas.map((area) => {
    const dot = element("span", { className: "dot" });
    dot.style.background = area.tint;
    return element("li", {}, dot, urlOf(area) ? area.name : `${area.name} (following it to this frame …)`);
  }));
}

export function wireAreas() {
  on("areas-shown", "click", async () => {
    at("areas-shown").setAttribute("aria-pressed", String(!areasShown()));
    showLegend();
    await showCanvas();
  });
}
