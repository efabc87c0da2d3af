// Elements of the page, messages to the user, and handlers that report errors.

/** @type {(id: string) => any} Returns an element of index.html. */
export const at = (id) => document.getElementById(id);

/** @type {(tag: string, about?: Record<string, any>, ...children: any[]) => any} */
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

const SVG = "http://www.w3.org/2000/svg";

/** Returns an icon of icons.svg. */
export function icon(name) {
  const made = document.createElementNS(SVG, "svg"), use = document.createElementNS(SVG, "use");
  made.setAttribute("class", "icon");
  made.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `icons.svg#${name}`);
  made.append(use);
  return made;
}

export function notify(text) {
  const toast = element("div", { className: "toast" }, element("p", {}, text),
    element("button", { className: "quiet", "aria-label": "Dismiss", onclick: () => toast.remove() }, icon("x")));
  at("toasts").append(toast);
  setTimeout(() => toast.remove(), 12000);
}

/**
 * Shows a line about an action while it runs; `action` can change its text and its progress from 0 to 1.
 * @param {string} text
 * @param {(note: (text: string, done?: number | null) => void) => Promise<any>} action
 */
export async function during(text, action) {
  const words = element("p", {}, text), bar = element("progress", { max: 1, hidden: true, "aria-label": "Progress of this action" });
  const line = element("div", { className: "toast" }, element("span", { className: "spinner" }), words, bar);
  at("activity").append(line);
  try {
    return await action((now, done = null) => {
      words.textContent = now;
      bar.hidden = done === null;
      bar.value = done ?? 0;
    });
  } finally {
    line.remove();
  }
}

export const safely = (action) => async (...args) => {
  try { return await action(...args); } catch (error) { notify(error.message); return null; }
};

// Ignores the second click of a double click, and clicks while the action runs.
export const once = (action) => {
  let running = false;
  return safely(async (event) => {
    if (running || event?.detail > 1) return;
    running = true;
    try { await action(event); } finally { running = false; }
  });
};

export const on = (id, event, action) => at(id).addEventListener(event, safely(action));
export const onClick = (id, action) => at(id).addEventListener("click", once(action));

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

// Asks a question, and resolves to whether the user confirms it.
export function ask(text, yes, no) {
  const dialog = at("confirm");
  at("confirm-text").textContent = text;
  at("confirm-yes").textContent = yes;
  at("confirm-no").textContent = no;
  dialog.returnValue = "";
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
  });
}

export const withoutEnding = (name) => name.replace(/\.\w+$/, "");
