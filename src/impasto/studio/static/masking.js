// The mask editor: its tools, and saving a mask as a protected area or as the area of a style.

import { post, upload } from "./api.js";
import { contrasting, showLegend } from "./areas.js";
import { loadImage, showCanvas } from "./canvas.js";
import { timeOf, timeText } from "./clip.js";
import { ask, at, during, element, on, onClick } from "./dom.js";
import { Mask, SIDE, TINTS } from "./masks.js";
import { pause } from "./player.js";
import { changeSession, showReason } from "./session.js";
import { regionEntries, state, styleEntries, styleLabel, view } from "./state.js";
import { showTimeline } from "./timeline.js";

const FEATHER = 0.004; // of a new mask, as a fraction of its longer side
const feather = () => Number(at("feather").value) / 1000;
const TOOLS = ["brush", "eraser", "wand"];

/** Opens the editor for a new mask, or for a known one with its feather and the frame of a clip that it was drawn on. */
export async function beginMask(role, style, known = null, number = null, soft = FEATHER, frame = null) {
  const { photograph: content } = state.session;
  if (!content) throw new Error("there is no photo yet");
  pause();
  const ratio = Math.min(1, SIDE / Math.max(content.width, content.height));
  const mask = new Mask(Math.round(content.width * ratio), Math.round(content.height * ratio));
  state.shown = null;
  if (content.clip && frame !== null) state.position = frame;
  mask.recolor((await contrasting(content.thumb))[0]);
  if (known) mask.add(await loadImage(known.url));
  state.masking = { mask, role, style, number, last: null, tool: "brush", cursor: [0.5, 0.5], steps: mask.done.length };
  at("follow-area").checked = !known || frame !== null;
  at("follow-area-field").hidden = !content.clip;
  showPurpose();
  at("feather").value = Math.round(1000 * soft);
  at("compare").value = "";
  document.body.classList.add("masking");
  at("mask-head").hidden = at("tools").hidden = false;
  showTimeline();
  await showCanvas();
  showLegend();
  showReason();
  view.overlay = mask.canvas;
  view.fit();
  at("canvas").classList.add("masking");
  tool("brush");
  showSwatches();
  at("canvas").focus();
}

// Says what the mask is for, and of a clip, in which frames.
function showPurpose() {
  const { role, style } = state.masking, isClip = Boolean(state.session.photograph.clip), label = style && styleLabel(style.name);
  at("mask-title").textContent = role === "protect" ? "Protect an area" : `Use ${label} in one area`;
  const purpose = role === "protect" ? `Where you paint, the ${isClip ? "clip" : "photo"} stays as it is.` : `${label} is used only where you paint.`;
  const frames = at("follow-area").checked ? `You paint on the frame at ${timeText(timeOf(state.position))}; the area follows what it covers, in both directions up to the next cut.`
    : "The area is the same in all frames.";
  at("mask-help").textContent = isClip ? `${purpose} ${frames}` : purpose;
}

// Returns the frame with whose content the mask moves, or null.
const frameOfMask = () => (state.session.photograph.clip && at("follow-area").checked ? state.position : null);

export const changeProtected = () => (state.session.keep
  ? beginMask("protect", null, state.session.keep, null, state.session.keep_feather, state.session.keep_frame)
  : beginMask("protect", null));

function showSwatches() {
  at("swatches").replaceChildren(...Object.entries(TINTS).map(([name, tint]) => {
    const swatch = element("button", { className: "swatch", title: name, "aria-label": `${name} overlay`, "aria-pressed": String(state.masking.mask.tint === tint),
      onclick: () => { state.masking.mask.recolor(tint); showSwatches(); view.draw(); } });
    swatch.style.setProperty("--swatch", tint);
    return swatch;
  }));
}

export function endMask() {
  state.masking = null;
  view.overlay = view.cursor = null;
  document.body.classList.remove("masking");
  at("tools").hidden = at("mask-head").hidden = true;
  showReason();
  at("canvas").classList.remove("masking");
  view.fit();
}

// Discards the mask; asks first if it was changed.
export async function cancelMask() {
  const { mask, steps } = state.masking;
  if (mask.done.length !== steps && !await ask("Discard your changes to this mask?", "Discard", "Keep painting")) { at("canvas").focus(); return; }
  endMask();
  showLegend();
  await showCanvas();
}

async function maskDone() {
  const { masking } = state, { mask, role, style, number } = masking;
  if (mask.isEmpty()) throw new Error("the mask is empty: paint the area first");
  const soft = feather(), blob = await mask.toBlob(0); // without feather, so that editing it again loses nothing
  const { id } = await upload(new File([blob], "mask.png", { type: "image/png" }), "mask");
  if (role === "protect") await changeSession({ keep: id, keep_feather: soft, keep_frame: frameOfMask() });
  else await addRegion(id, style, number, soft);
  // The editor closes last: before, Paint would leave out the mask.
  if (state.masking !== masking) return;
  endMask();
  showLegend();
  await showCanvas();
}

function addRegion(id, style, number, soft) {
  const regions = regionEntries();
  const changed = { mask: id, feather: soft, frame: frameOfMask() };
  if (number === null) regions.push({ ...changed, painting: style.id, scale: 1 }); else Object.assign(regions[number], changed);
  const paintings = styleEntries(state.session.paintings).filter((each) => number !== null || each.picture !== style.id || state.session.paintings.length === 1);
  return changeSession({ regions, paintings });
}

export function tool(name) {
  state.masking.tool = name;
  for (const each of TOOLS) at(each).setAttribute("aria-pressed", String(each === name));
  at("tolerance-field").hidden = name !== "wand";
}

const radius = () => Number(at("brush-size").value) / 2 / 1000; // as a fraction of the image's width

export function applyBrush(x, y) {
  const { mask, tool: name } = state.masking, { width, height } = mask.canvas;
  /** @type {Point} */
  const to = [x * width, y * height];
  mask.stroke(state.masking.last ?? to, to, radius() * width, name === "eraser");
  state.masking.last = to;
  showBrush(x, y);
}

export function showBrush(x, y) {
  state.masking.cursor = [x, y];
  view.cursor = { x, y, radius: radius() };
  view.draw();
}

export function resizeBrush(factor) {
  at("brush-size").value = Math.round(at("brush-size").value * factor);
  if (state.masking) showBrush(...state.masking.cursor);
}

async function addSelection(text, request) {
  const { masking } = state;
  const blob = await during(text, request);
  if (state.masking !== masking) return; // the user has closed the editor
  masking.mask.add(await createImageBitmap(blob));
  view.draw();
}

export const selectSimilar = (x, y) => addSelection("Selecting similar pixels …", () =>
  post(`/api/sessions/${state.session.id}/select`, { x, y, tolerance: at("tolerance").value / 100, frame: state.position }));

export function wireMasking() {
  on("protect", "click", changeProtected);
  onClick("mask-done", maskDone);
  onClick("mask-cancel", cancelMask);
  at("follow-area").addEventListener("change", showPurpose);
  for (const each of TOOLS) on(each, "click", () => tool(each));
  for (const each of ["fill", "invert", "undo", "redo"]) on(each, "click", () => { state.masking.mask[each](); view.draw(); });
  for (const each of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".part"))) {
    const part = /** @type {SelectPartRequest["part"]} */ (each.dataset.part);
    each.id = `part-${part}`;
    onClick(each.id, () => addSelection(`Selecting the ${part} …`, () => post(`/api/sessions/${state.session.id}/part`, { part, frame: state.position })));
  }
  on("export-mask", "click", async () => {
    const { mask } = state.masking, blob = await mask.toBlob(feather() * Math.max(mask.canvas.width, mask.canvas.height));
    element("a", { href: URL.createObjectURL(blob), download: "mask.png" }).click();
  });
}
