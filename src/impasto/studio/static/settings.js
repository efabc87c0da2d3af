// The settings beside the panel: looks, detail, sizes, and the forecast.

import { post } from "./api.js";
import { at, element, safely } from "./dom.js";
import { Panel } from "./panel.js";
import { changeSession } from "./session.js";
import { runningJob, state } from "./state.js";

const SIZE_LABELS = { original: "Original", 3508: "A4", 4961: "A3" };
const SIZES = ["512", "1024", "2048", "original", "3508", "4961"];
const PAGES = ["3508", "4961"]; // of 300 dpi
const DPI = 300;

export function showSettings() {
  const { session } = state;
  state.panel.show(session.recipe, session.idle);
  for (const each of document.querySelectorAll("[data-preset]")) {
    each.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (each).dataset.preset === session.preset));
  }
  for (const each of at("details").children) {
    each.setAttribute("aria-pressed", String(each.dataset.detail === session.detail));
  }
  at("detail-help").textContent = state.about.details.find((each) => each.name === session.detail)?.help ?? "";
  for (const each of at("sizes").children) each.setAttribute("aria-pressed", String(each.dataset.size === session.recipe.size));
}

const centimeters = (pixels) => ((pixels / DPI) * 2.54).toFixed(1);

/** @param {SizeForecast[]} sizes */
function showSizes(sizes) {
  const isClip = Boolean(state.session?.photograph?.clip); // a clip is not printed
  at("print-text").hidden = isClip;
  at("sizes").replaceChildren(...SIZES.filter((each) => !isClip || !PAGES.includes(each)).map((value) => {
    const found = sizes.find((each) => each.value === value);
    const lines = found ? [`${found.width} × ${found.height} px`, ...(isClip ? [] : [`${centimeters(found.width)} × ${centimeters(found.height)} cm`]),
      found.fits ? [found.time, found.memory].filter(Boolean).join(" · ") : "not enough memory"] : SIZE_LABELS[value] && value !== "original" ? [`${value} px`] : [];
    return element("button", { className: "chip", "data-size": value, disabled: found?.fits === false,
      "aria-pressed": String(state.session?.recipe.size === value), onclick: safely(() => changeSession({ recipe: { size: value } })) },
    element("strong", {}, SIZE_LABELS[value] ?? `${value}`), ...lines.map((each) => element("span", {}, each)));
  }));
}

export async function forecast() {
  const asked = ++state.forecastAsked;
  await new Promise((done) => setTimeout(done, 250));
  if (asked !== state.forecastAsked) return;
  /** @type {ForecastInfo | null} */
  const found = await post(`/api/sessions/${state.session.id}/forecast`).catch(() => null);
  if (!found || asked !== state.forecastAsked) return;
  state.expected = found.seconds ? found.text.split(",")[0] : "";
  const text = found.frames ? `${found.frames}: ${found.text}` : found.text;
  at("forecast").textContent = found.text && found.fits && !found.seconds ? `${text}; the first run measures the time` : text;
  showSizes(found.sizes);
}

async function changed(name, value) {
  await changeSession({ recipe: { [name]: value } });
  const running = runningJob();
  if (running && running.kind !== "clip" && state.about.steerable.includes(name)) await post(`/api/works/${running.id}/steer`, { settings: { [name]: value } });
}

/** @param {PresetInfo} preset */
const presetCard = (preset) => element("button", { className: "preset", "data-preset": preset.name, "aria-pressed": "false", onclick: safely(() => changeSession({ preset: preset.name })) },
  preset.picture ? element("img", { src: preset.picture, alt: "", loading: "lazy" }) : null,
  element("span", {}, element("strong", {}, preset.label), element("span", {}, preset.help)));

export function wireSettings() {
  const { about } = state;
  state.panel = new Panel(about, changed);
  at("presets").append(...about.presets.filter((each) => !each.historic).map(presetCard));
  at("historic-presets").append(...about.presets.filter((each) => each.historic).map(presetCard));
  at("detail-field").hidden = !about.details.length;
  at("details").append(...about.details.map((each) => element("button", { "data-detail": each.name, title: each.help, "aria-pressed": "false",
    onclick: safely(() => changeSession({ detail: each.name })) }, each.label)));
  showSizes([]);
}
