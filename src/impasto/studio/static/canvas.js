// What the canvas shows: an image, another one to compare it with, and the areas of the session.

import { at, element, on, safely } from "./dom.js";
import { channels, TINTS } from "./masks.js";
import { findJob, state, styleLabel, title, view } from "./state.js";

export async function loadImage(url) {
  if (!url) return null;
  if (!state.images.has(url)) {
    const image = new Image();
    image.src = url;
    state.images.set(url, image.decode().then(() => image));
    if (state.images.size > 24) state.images.delete(state.images.keys().next().value);
  }
  return state.images.get(url).catch(() => { state.images.delete(url); return null; });
}

export async function showCanvas() {
  const { session } = state, version = findJob(state.shown);
  const content = version?.content ?? session?.photograph;
  const url = version && !state.held ? version.result ?? version.preview : content?.url;
  const compared = state.held ? "" : at("compare").value;
  const otherUrl = compared === "original" ? content?.url : findJob(compared)?.result;
  view.base = content ? Math.min(3000, content.width) : null;
  const [image, other] = await Promise.all([loadImage(url ?? content?.url), loadImage(otherUrl)]);
  view.finalWidth = (version && Number(version.recipe.size)) || content?.width || 1;
  view.divide = other ? at("divider").value / 1000 : null;
  view.side = at("side-by-side").getAttribute("aria-pressed") === "true";
  view.areas = version || state.masking || !areasShown() ? [] : await areaImages();
  at("divider").hidden = !other || view.side;
  at("side-by-side").hidden = !other;
  at("hold").hidden = !version || Boolean(state.masking);
  at("compare-field").hidden = !version || Boolean(state.masking);
  at("protect").hidden = Boolean(state.masking);
  view.show(image, other);
  at("empty").hidden = Boolean(image);
  at("stage").classList.toggle("welcome", !image);
  at("viewing").hidden = !image;
  at("draft").hidden = !(version?.state === "painting" && version.draft) || state.held;
  const name = state.held ? "Original" : version ? title(version) : content?.name ?? "";
  at("shown-name").textContent = name;
  showLabels(other, compared, name);
  at("canvas").setAttribute("aria-label", image ? name : "No image yet");
  at("canvas").classList.toggle("comparing", Boolean(other));
  updateTouch();
}

function showLabels(other, compared, name) {
  at("label-left").hidden = at("label-right").hidden = !other;
  at("label-left").textContent = compared === "original" ? "Original" : other ? title(findJob(compared)) : "";
  at("label-right").textContent = name;
}

// With one finger, the page scrolls unless the finger paints, or moves an enlarged image or the divider.
export function updateTouch() {
  at("canvas").style.touchAction = state.masking || !view.fitted ? "none" : "pan-y";
}

export function setDivider(share) {
  at("divider").value = Math.round(1000 * Math.min(1, Math.max(0, share)));
  view.divide = at("divider").value / 1000;
  view.draw();
}

// --- areas --------------------------------------------------------------------------------------

const areasShown = () => at("areas-shown").getAttribute("aria-pressed") === "true";
const AREA_TINTS = Object.values(TINTS);
const tinted = new Map(); // canvases by the URL of the mask and the color

async function areaImages() {
  const areas = sessionAreas();
  return (await Promise.all(areas.map(({ url, tint }) => tintedMask(url, tint)))).filter(Boolean);
}

function sessionAreas() {
  const { keep, regions } = state.session;
  const all = keep ? [{ url: keep.url, name: "Protected" }] : [];
  all.push(...regions.map((each) => ({ url: each.mask.url, name: styleLabel(each.painting.name) })));
  return all.map((each, number) => ({ ...each, tint: AREA_TINTS[number % AREA_TINTS.length] }));
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
    if (tinted.size > 12) tinted.delete(tinted.keys().next().value);
  }
  return tinted.get(key);
}

// Shows which color is which area.
export function showLegend() {
  const areas = state.session ? sessionAreas() : [];
  at("areas-shown").hidden = !areas.length || Boolean(state.shown) || Boolean(state.masking);
  at("legend").hidden = at("areas-shown").hidden || !areasShown();
  at("legend").replaceChildren(...areas.map(({ name, tint }) => {
    const dot = element("span", { className: "dot" });
    dot.style.background = tint;
    return element("li", {}, dot, name);
  }));
}

// --- comparing ----------------------------------------------------------------------------------

export function showCompare() {
  const compare = at("compare"), before = compare.value;
  const finished = state.session.works.filter((each) => each.result && each.id !== state.shown);
  compare.replaceChildren(new Option("None", ""), new Option("Original", "original"),
    ...finished.map((each) => new Option(title(each), each.id)));
  compare.value = [...compare.options].some((each) => each.value === before) ? before : "";
}

export async function hold(held) {
  if (state.held === held || !findJob(state.shown)) return;
  state.held = held;
  at("hold").setAttribute("aria-pressed", String(held));
  await showCanvas();
}

export const toggleCompare = safely(async () => {
  at("compare").value = at("compare").value ? "" : "original";
  await showCanvas();
});

export function wireCanvas() {
  on("compare", "change", showCanvas);
  at("divider").addEventListener("input", () => setDivider(at("divider").value / 1000));
  on("side-by-side", "click", async () => {
    at("side-by-side").setAttribute("aria-pressed", String(!view.side));
    await showCanvas();
    view.fit();
  });
  on("areas-shown", "click", async () => {
    at("areas-shown").setAttribute("aria-pressed", String(!areasShown()));
    showLegend();
    await showCanvas();
  });
  const button = at("hold");
  button.addEventListener("pointerdown", safely((event) => { button.setPointerCapture(event.pointerId); return hold(true); }));
  for (const end of ["pointerup", "pointercancel", "blur"]) button.addEventListener(end, safely(() => hold(false)));
  button.addEventListener("keydown", safely((event) => ([" ", "Enter"].includes(event.key) ? hold(true) : null)));
  button.addEventListener("keyup", safely(() => hold(false)));
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  at("fit").addEventListener("click", () => { view.fit(); updateTouch(); });
  at("larger").addEventListener("click", () => { view.zoom(1.25); updateTouch(); });
  at("smaller").addEventListener("click", () => { view.zoom(0.8); updateTouch(); });
}
