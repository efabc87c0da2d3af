// The settings of a clip: how frames depend on each other. They appear only with a clip.

import { changeClip } from "./clip.js";
import { at, attempt } from "./dom.js";
import { state } from "./state.js";

const EVERY = [["auto", "Automatic"], ["1", "Every frame"], ["2", "Every 2nd frame"], ["3", "Every 3rd frame"],
  ...[4, 5, 6, 8, 12, 16].map((each) => [String(each), `Every ${each}th frame`])];
const HOLD = [["1", "Once"], ["2", "Twice, as in animation on twos"], ["3", "3 times"], ["4", "4 times"], ["6", "6 times"], ["8", "8 times"]];

/** @type {[id: string, name: "steady" | "every" | "hold", read: (text: string) => string | number][]} */
const FIELDS = [["steady", "steady", Number], ["every", "every", String], ["hold-frames", "hold", Number]];

export function showClipSettings() {
  const { session } = state, isClip = Boolean(session.photograph?.clip);
  at("clip-settings").hidden = !isClip;
  document.body.classList.toggle("clip", isClip);
  if (!isClip) return;
  for (const [id, name] of FIELDS) {
    const field = at(id), value = String(session.clip[name]);
    if (document.activeElement === field && field.type !== "range") continue;
    if (field.options && ![...field.options].some((each) => each.value === value)) field.append(new Option(value, value));
    field.value = value;
  }
  at("steady-value").value = session.clip.steady;
}

export function wireClipSettings() {
  at("every").append(...EVERY.map(([value, text]) => new Option(text, value)));
  at("hold-frames").append(...HOLD.map(([value, text]) => new Option(text, value)));
  at("steady").addEventListener("input", () => { at("steady-value").value = at("steady").value; });
  for (const [id, name, read] of FIELDS) {
    const field = at(id);
    field.addEventListener("change", () => attempt(field, () => changeClip({ [name]: read(field.value) }), () => String(state.session.clip[name])));
  }
}
