// Keyboard shortcuts.

import { hold, toggleCompare, updateTouch } from "./canvas.js";
import { shownClip } from "./clip.js";
import { at, safely } from "./dom.js";
import { applyBrush, cancelMask, resizeBrush, selectSimilar, showBrush, tool } from "./masking.js";
import { togglePlay } from "./player.js";
import { state, view } from "./state.js";
import { endHere, goTo, startHere } from "./timeline.js";
import { step } from "./versions.js";

const MOVES = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

const masked = (action) => () => state.masking && action();

const ACTIONS = {
  p: () => at("paint").click(), s: () => at("stop").hidden || at("stop").click(), m: () => state.masking || at("protect").click(),
  b: masked(() => tool("brush")), e: masked(() => tool("eraser")), w: masked(() => tool("wand")),
  "[": () => (state.masking || !shownClip() ? resizeBrush(0.8) : safely(startHere)()), "]": () => (state.masking || !shownClip() ? resizeBrush(1.25) : safely(endHere)()),
  l: () => shownClip() && togglePlay(), ",": () => shownClip() && goTo(state.position - 1), ".": () => shownClip() && goTo(state.position + 1),
  f: () => { view.fit(); updateTouch(); }, "+": () => { view.zoom(1.25); updateTouch(); }, "-": () => { view.zoom(0.8); updateTouch(); },
  c: () => state.masking || toggleCompare(), o: () => safely(hold)(true), j: () => step(1), k: () => step(-1),
  g: () => at("versions-head").hidden || at("grid-open").click(), "?": () => at("keys").showModal(),
  Escape: masked(safely(cancelMask)),
};

// Moves the brush, or the image. Returns whether the key is for the canvas.
function onCanvas(event) {
  const { masking } = state;
  if (event.target !== at("canvas")) return false;
  if (MOVES[event.key]) {
    const [x, y] = MOVES[event.key];
    if (masking) showBrush(masking.cursor[0] - 0.02 * x, masking.cursor[1] - 0.02 * y); else view.move(60 * x, 60 * y);
    return true;
  }
  if (event.key === "Enter" && masking) { at("mask-done").click(); return true; }
  if (event.key !== " " || !masking) return false;
  if (masking.tool === "wand") { safely(selectSimilar)(...masking.cursor); return true; }
  masking.last = null;
  applyBrush(...masking.cursor);
  masking.mask.endStroke();
  return true;
}

function onKey(event) {
  const control = event.ctrlKey || event.metaKey;
  if (control && event.key.toLowerCase() === "z" && state.masking) {
    event.preventDefault();
    state.masking.mask[event.shiftKey ? "redo" : "undo"]();
    view.draw();
    return;
  }
  const typing = event.target.matches("input:not([type=range]):not([type=checkbox]), select, textarea");
  if (typing || control || event.altKey || document.querySelector("dialog[open]")) return;
  if (onCanvas(event)) { event.preventDefault(); return; }
  if (event.repeat && "psmcog?".includes(event.key)) return;
  const action = ACTIONS[event.key];
  if (action) { event.preventDefault(); action(); }
}

export function wireKeys() {
  addEventListener("keydown", onKey);
  addEventListener("keyup", (event) => { if (event.key === "o") safely(hold)(false); });
}
