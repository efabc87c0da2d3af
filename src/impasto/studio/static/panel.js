// The form fields of the settings, generated from their help, unit and range.

import { attempt, element } from "./dom.js";

const MAIN = ["strength", "style_scale", "colors"];
const LABELS = {
  style_scale: "Stroke size", evaluations: "Quality (evaluations)", size: "Longest side", tv_weight: "Smoothness weight",
};
const CHOICES = { colors: { style: "of the style", content: "of the photo", match: "of the style, matched" } };
const SLIDERS = { style_scale: { min: 0.3, max: 3, step: 0.05 } };
const SHOWN_ELSEWHERE = ["blend", "finished"]; // by the weights of the style images, and by "Finish larger"

const capitalized = (text) => text[0].toUpperCase() + text.slice(1);

/** @type {(about: SettingSchema) => string} */
export const settingLabel = ({ name, label }) => LABELS[name] ?? capitalized(label);

export class Panel {
  /**
   * @param {StaticInfo} about
   * @param {(name: string, value: string | null) => Promise<void>} changed called with a new value; rejects an invalid one
   */
  constructor(about, changed) {
    this.fields = {};
    this.recipe = {}; // the recipe on the page
    this.changed = changed;
    const main = document.getElementById("main-settings"), others = document.getElementById("other-settings");
    const byName = Object.fromEntries(about.settings.map((each) => [each.name, each]));
    for (const name of MAIN) main.append(this.row(byName[name]));
    document.getElementById("size-field").append(this.row(byName.size));
    for (const each of about.settings) {
      if (![...MAIN, "size"].includes(each.name) && !SHOWN_ELSEWHERE.includes(each.name)) others.append(this.row(each));
    }
  }

  row(about) {
    const { name } = about, help = `help-${name}`, label = settingLabel(about);
    const field = this.field(about);
    field.id = `setting-${name}`;
    field.setAttribute("aria-describedby", help);
    field.addEventListener("change", () => attempt(field, () => this.changed(name, field.value.trim() || null), () => this.recipe[name]));
    this.fields[name] = field;
    const unit = about.unit ? ` (${about.unit})` : "";
    const shown = field.type === "range" ? element("output", { htmlFor: field.id }) : null;
    if (shown) {
      field.addEventListener("input", () => { shown.value = field.value; });
      field.shown = shown;
    }
    const text = element("p", { id: help, className: "help", hidden: true },
      `${about.help}${about.possible && !about.choices.length ? ` ${about.possible}.` : ""}`);
    const ask = element("button", { className: "ask", "aria-expanded": "false", "aria-controls": help, "aria-label": `Explain ${label}` }, "?");
    ask.addEventListener("click", () => {
      text.hidden = !text.hidden;
      ask.setAttribute("aria-expanded", String(!text.hidden));
    });
    const row = element("div", { className: "setting", title: about.help },
      element("div", { className: "line" }, element("label", { htmlFor: field.id }, label + unit), ask, shown ?? field),
      shown ? field : null, text);
    this.fields[name].row = row;
    return row;
  }

  field(about) {
    if (about.choices.length) {
      return element("select", {}, ...about.choices.map((each) => new Option(CHOICES[about.name]?.[each] ?? each, each)));
    }
    if (SLIDERS[about.name]) return element("input", { type: "range", ...SLIDERS[about.name] });
    if (about.kind === "number" && about.minimum === 0 && about.maximum === 1) {
      return element("input", { type: "range", min: 0, max: 1, step: 0.01 });
    }
    return element("input", { type: "text", inputMode: about.kind === "text" || about.words.length ? "text" : "decimal", autocomplete: "off" });
  }

  show(recipe, idle) {
    this.recipe = recipe;
    for (const [name, field] of Object.entries(this.fields)) {
      if (document.activeElement === field && field.type !== "range") continue;
      if (field.tagName === "SELECT" && ![...field.options].some((each) => each.value === recipe[name])) {
        field.append(new Option(recipe[name], recipe[name]));
      }
      field.value = recipe[name];
      if (field.shown) field.shown.value = recipe[name];
      field.row.classList.toggle("idle", idle.includes(name));
    }
  }
}
