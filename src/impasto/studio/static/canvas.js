// What the canvas shows: an image, another one to compare it with, and the areas of the session (areas.js).

import { areaImages, areasShown, showLegend } from "./areas.js";
import { isRead, originalUrl, paintedUrl, shownClip } from "./clip.js";
import { at, on, safely } from "./dom.js";
import { pauseWhileHeld } from "./player.js";
import { findJob, state, title, view } from "./state.js";

export async function loadImage(url) {
  if (!url) return null;
  if (!state.images.has(url)) {
    const image = new Image();
    image.src = url;
    state.images.set(url, image.decode().then(() => image));
    if (state.images.size > 40) state.images.delete(state.images.keys().next().value);
  }
  return state.images.get(url).catch(() => { state.images.delete(url); return null; });
}

// Returns the addresses of the content image and of a version's result; of a clip, at the position.
function urls(content, version) {
  if (!shownClip()) return [content?.url, version?.result ?? version?.preview];
  if (!isRead(state.position)) return [content?.url, paintedUrl(version, state.position)];
  return [originalUrl(state.position), paintedUrl(version, state.position)];
}

export async function showCanvas() {
  const { session } = state, version = findJob(state.shown), asked = ++state.canvasAsked;
  const content = version?.content ?? session?.photograph;
  const [original, painted] = urls(content, version);
  const url = version && !state.held ? painted : original;
  const compared = state.held ? "" : at("compare").value;
  const otherUrl = compared === "original" ? original : urls(content, findJob(compared))[1];
  view.base = content ? Math.min(3000, content.width) : null;
  const shown = loadImage(url ?? original).then((found) => found ?? loadImage(content?.url)); // a frame may not be read yet
  const [image, other] = await Promise.all([shown, loadImage(compared && otherUrl)]);
  if (asked < state.canvasShown) return; // a later frame is shown already
  state.canvasShown = asked;
  view.finalWidth = (version && Number(version.recipe.size)) || content?.width || 1;
  view.divide = other ? at("divider").value / 1000 : null;
  view.side = at("side-by-side").getAttribute("aria-pressed") === "true";
  view.areas = version || state.masking || !areasShown() ? [] : await areaImages();
  at("divider").hidden = !other || view.side;
  at("side-by-side").hidden = !other;
  at("hold").hidden = !version || Boolean(state.masking);
  at("compare-field").hidden = !version || Boolean(state.masking);
  at("protect").hidden = Boolean(state.masking);
  if (shownClip()) showLegend(); // of the areas at the position
  view.show(image, other);
  at("empty").hidden = Boolean(image);
  at("stage").classList.toggle("welcome", !image);
  at("viewing").hidden = !image;
  at("draft").hidden = !(version?.state === "painting" && version.draft) || state.held;
  const name = state.held ? "Original" : version ? title(version) : content?.name ?? "";
  at("shown-name").textContent = name;
  at("shown-name").hidden = Boolean(other); // the image has both names
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

// --- comparing ----------------------------------------------------------------------------------

export function showCompare() {
  const compare = at("compare"), before = compare.value;
  const finished = state.session.works.filter((each) => (each.result || each.video?.url) && each.id !== state.shown);
  compare.replaceChildren(new Option("None", ""), new Option("Original", "original"),
    ...finished.map((each) => new Option(title(each), each.id)));
  compare.value = [...compare.options].some((each) => each.value === before) ? before : "";
}

export async function hold(held) {
  if (state.held === held || !findJob(state.shown)) return;
  state.held = held;
  pauseWhileHeld(held);
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
