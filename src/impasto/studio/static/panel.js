// The form fields of the settings, generated from their help, unit and range.

const MAIN = ["strength", "style_scale", "colors", "style_loss", "size", "evaluations"];
const NAMES = { style_scale: "stroke size", evaluations: "quality" };
const SHOWN_ELSEWHERE = ["blend", "finished"]; // by the weights of the style images, and by "Finish larger"

export function element(tag, about = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(about)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && !name.includes("-")) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((each) => each !== null && each !== undefined));
  return made;
}

// Runs the action of a field. An error is shown at the field, whose value is restored.
export async function attempt(field, action, restored = null) {
  clearRefusal(field);
  try {
    return await action();
  } catch (error) {
    if (restored) field.value = restored();
    if (field.shown) field.shown.value = field.value;
    const refusal = element("p", { id: `refusal-${field.id || "of-field"}`, className: "refusal", role: "alert" }, error.message);
    (field.closest(".setting, .fields label, .row, label") ?? field).after(refusal);
    field.refusal = refusal;
    field.setAttribute("aria-invalid", "true");
    field.addEventListener("input", () => clearRefusal(field), { once: true });
    return null;
  }
}

function clearRefusal(field) {
  field.refusal?.remove();
  field.refusal = null;
  field.removeAttribute("aria-invalid");
}

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
    for (const each of about.settings) {
      if (!MAIN.includes(each.name) && !SHOWN_ELSEWHERE.includes(each.name)) others.append(this.row(each));
    }
  }

  row(about) {
    const { name } = about, help = `help-${name}`, label = NAMES[name] ?? about.label;
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
      return element("select", {}, ...about.choices.map((each) => new Option(each, each)));
    }
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
