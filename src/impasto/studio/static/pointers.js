// Mouse, pen and fingers on the canvas: brush, divider, moving, and two fingers to zoom.

import { setDivider, updateTouch } from "./canvas.js";
import { at, safely } from "./dom.js";
import { applyBrush, selectSimilar, showBrush } from "./masking.js";
import { state, view } from "./state.js";

export function wirePointers() {
  const canvas = at("canvas"), down = new Map(); // the pointers that are down, by id
  let action = null, space = false; // "move", "divide", "pinch", "brush", or null
  addEventListener("keydown", (event) => { if (event.code === "Space") space = true; });
  addEventListener("keyup", (event) => { if (event.code === "Space") space = false; });
  canvas.addEventListener("touchmove", (event) => { if (event.touches.length > 1) event.preventDefault(); }, { passive: false });
  canvas.addEventListener("touchstart", (event) => { if (event.touches.length > 1) event.preventDefault(); }, { passive: false });

  // A second finger ends what the first one began, and takes its stroke back.
  const beginPinch = () => {
    if (action === "brush") { state.masking.mask.endStroke(); state.masking.mask.undo(); state.masking.down = false; }
    action = "pinch";
  };

  canvas.addEventListener("pointerdown", safely(async (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    down.set(event.pointerId, event);
    if (down.size === 2) { beginPinch(); return; }
    const [x, y] = view.place(event), { masking } = state;
    if (masking && !space && event.button !== 1) {
      if (masking.tool === "wand") { await selectSimilar(x, y); return; }
      action = "brush";
      masking.last = null;
      masking.down = true;
      applyBrush(x, y);
    } else if (view.nearDivider(event) || (view.fitted && view.divide !== null && !view.beside && !space)) {
      action = "divide";
      setDivider(x);
    } else action = "move";
  }));

  canvas.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before) {
      if (state.masking) showBrush(...view.place(event));
      else canvas.classList.toggle("near", view.nearDivider(event));
      return;
    }
    const all = [...down.values()];
    down.set(event.pointerId, event);
    if (action === "pinch" && all.length === 2) {
      view.pinch(all, [...down.values()]);
      updateTouch();
    } else if (action === "divide") setDivider(view.place(event)[0]);
    else if (action === "move" && (event.pointerType === "mouse" || !view.fitted)) {
      const ratio = canvas.width / canvas.clientWidth;
      view.move((event.clientX - before.clientX) * ratio, (event.clientY - before.clientY) * ratio);
      updateTouch();
    } else if (action === "brush" && state.masking) {
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length ? events : [event]) applyBrush(...view.place(each));
    }
  });

  const up = (event) => {
    down.delete(event.pointerId);
    if (action === "brush" && state.masking?.down) { state.masking.down = false; state.masking.mask.endStroke(); }
    if (!down.size) action = null;
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("dblclick", updateTouch);
}
