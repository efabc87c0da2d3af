// Comparing settings: a sheet of versions in which one setting varies.

import { post } from "./api.js";
import { at, attempt, element, onClick, safely } from "./dom.js";
import { settingLabel } from "./panel.js";
import { showJob } from "./session.js";
import { state, variedText, view } from "./state.js";
import { select } from "./versions.js";

export function openSheet(id) {
  const cells = state.session.works.filter((each) => each.sheet === id).reverse();
  at("cells").replaceChildren(...cells.map((each) => element("button", { onclick: safely(() => { at("sheet").close(); return select(each.id); }) },
    element("img", { src: each.result ?? each.preview ?? "icon.svg", alt: "" }),
    element("span", {}, variedText(each)))));
  at("sheet").showModal();
}

const isCrop = () => at("sweep-scale").value === "crop";

function showScale() {
  at("sweep-note").textContent = isCrop()
    ? "Paints the middle of what the canvas shows, as it will look in the final size."
    : "Small versions differ from large ones: their strokes are larger in relation to the photo. Before a large print, compare a part at the final size.";
  at("sweep-go").textContent = isCrop() ? "Paint parts" : "Paint small versions";
}

// Writes values of the chosen setting: all choices, or the current value, half and twice of it.
function suggestValues() {
  const about = state.about.settings.find((each) => each.name === at("sweep-setting").value), now = Number(state.session.recipe[about.name]);
  const inside = (value) => Math.min(about.maximum ?? Infinity, Math.max(about.minimum ?? -Infinity, value));
  const numbers = [now / 2, now, now * 2].map((each) => inside(about.kind === "integer" ? Math.round(each) : Number(each.toPrecision(3))));
  at("sweep-values").value = about.choices.length ? about.choices.join(", ") : now > 0 ? [...new Set(numbers)].join(", ") : "";
}

// Returns the middle of the canvas in the image, from 0 to 1.
function middle() {
  const inside = (value) => Math.min(1, Math.max(0, value));
  return {
    x: inside((view.canvas.width / 2 - view.left) / (view.size.width * view.scale)),
    y: inside((view.canvas.height / 2 - view.top) / (view.size.height * view.scale)),
  };
}

export function wireSheet() {
  at("compare-settings").addEventListener("click", () => {
    const isClip = Boolean(state.session.photograph?.clip); // of a clip, one frame is painted
    at("sweep-scale").disabled = isClip;
    if (isClip) at("sweep-scale").value = "small";
    showScale();
    at("sweep").showModal();
  });
  at("sweep-scale").addEventListener("change", showScale);
  at("sweep-setting").append(...state.about.settings.map((each) => new Option(settingLabel(each), each.name)));
  at("sweep-setting").value = "strength";
  at("sweep-setting").addEventListener("change", suggestValues);
  onClick("sweep-go", () => attempt(at("sweep-values"), async () => {
    const values = at("sweep-values").value.split(/[,;]\s*/).filter(Boolean);
    /** @type {SweepInfo} */
    const swept = await post(`/api/sessions/${state.session.id}/sweep`, { vary: { [at("sweep-setting").value]: values }, crop: isCrop() ? middle() : null, frame: state.position });
    at("sweep").close();
    await showJob({ id: swept.works[0] });
  }));
}
