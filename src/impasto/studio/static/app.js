// The page: shows the session, sends requests to the server, and handles its events.

import { get, listen, patch, post, remove, upload } from "./api.js";
import { Mask, SIDE } from "./masks.js";
import { attempt, element, Panel } from "./panel.js";
import { View } from "./view.js";

/** @type {(id: string) => any} Returns an element of index.html. */
const at = (id) => document.getElementById(id);
const view = new View(at("canvas"));
/** @type {State} */
const state = {
  about: null, session: null,
  wanted: null, // the id of the session to show; answers about other sessions are ignored
  worker: "starting", queue: [],
  shown: null, // the id of the version on the canvas; null shows the content image
  images: new Map(), // by URL
  masking: null, // the mask editor, while it is open
  curve: [], forecastAsked: 0,
};
let panel;

// --- messages to the user -----------------------------------------------------------------------

function notify(text) {
  const toast = element("div", {}, text);
  at("toasts").append(toast);
  setTimeout(() => toast.remove(), 9000);
}

const safely = (action) => async (...args) => {
  try { return await action(...args); } catch (error) { notify(error.message); return null; }
};

// Ignores the second click of a double click, and clicks while the action runs.
const once = (action) => {
  let running = false;
  return safely(async (event) => {
    if (running || event?.detail > 1) return;
    running = true;
    try { await action(event); } finally { running = false; }
  });
};

const on = (id, event, action) => at(id).addEventListener(event, safely(action));
const onClick = (id, action) => at(id).addEventListener("click", once(action));

// --- images -------------------------------------------------------------------------------------

async function loadImage(url) {
  if (!url) return null;
  if (!state.images.has(url)) {
    const image = new Image();
    image.src = url;
    state.images.set(url, image.decode().then(() => image));
    if (state.images.size > 24) state.images.delete(state.images.keys().next().value);
  }
  return state.images.get(url).catch(() => { state.images.delete(url); return null; });
}

const findJob = (id) => state.session?.works.find((each) => each.id === id) ?? null;
const runningJob = () => state.session?.works.find((each) => each.state === "painting") ?? null;

async function showCanvas() {
  const { session } = state, content = session?.photograph, version = findJob(state.shown);
  const url = version ? version.result ?? version.preview : content?.url;
  const compared = at("compare").value;
  const otherUrl = compared === "original" ? content?.url : findJob(compared)?.result;
  view.base = content ? Math.min(3000, content.width) : null;
  const [image, other] = await Promise.all([loadImage(url ?? content?.url), loadImage(otherUrl)]);
  view.finalWidth = (version && Number(version.recipe.size)) || content?.width || 1;
  view.divide = other ? at("divider").value / 1000 : null;
  at("divider").hidden = !other;
  view.show(image, other);
  at("empty").hidden = Boolean(image);
  at("draft").hidden = !(version?.state === "painting" && version.draft);
  const name = version ? title(version) : content?.name ?? "";
  at("shown-name").textContent = name;
  at("canvas").setAttribute("aria-label", image ? name : "No image yet");
}

const STATES = { queued: "queued", painting: "running", done: "", stopped: "stopped", failed: "failed" };

function summary(version) {
  const differs = version.differs.filter(([name]) => !["precision", "tile", "finished"].includes(name));
  const words = differs.slice(0, 2).map(([name, , now]) => `${name.replaceAll("_", " ")} ${now}`);
  return words.join(", ") || `${version.recipe.size} px`;
}

const title = (version) => [summary(version), STATES[version.state]].filter(Boolean).join(" · ");

// --- the session --------------------------------------------------------------------------------

function show() {
  const { session } = state;
  if (!session) return;
  at("content-thumb").hidden = !session.photograph;
  if (session.photograph) {
    at("content-thumb").src = session.photograph.thumb;
    at("content-thumb").alt = session.photograph.name;
  }
  at("styles").replaceChildren(...session.paintings.map(styleRow));
  const areas = session.regions.map(regionRow);
  if (session.keep) areas.unshift(protectedRow());
  at("areas").replaceChildren(...areas);
  at("protect").disabled = !session.photograph;
  at("missing").hidden = !session.missing.length;
  at("missing").textContent = `Missing in the studio's folder: ${session.missing.join(", ")}. Add it again.`;
  panel.show(session.recipe, session.idle);
  for (const each of at("presets").children) {
    each.setAttribute("aria-pressed", String(each.dataset.name === session.preset));
  }
  at("paint").disabled = !session.photograph || !(session.paintings.length + session.regions.length);
  showVersions();
  forecast();
}

function styleRow(each, number) {
  const { paintings } = state.session;
  const change = (field) => ({ target }) => attempt(target, () => changeSession({
    paintings: styleEntries(paintings, (other, at) => (at === number ? { ...other, [field]: target.valueAsNumber } : other)),
  }), () => each[field]);
  const field = (name, label, about) => element("label", {}, label,
    element("input", { type: "number", value: each[name], onchange: change(name), "aria-label": `${label} of ${each.picture.name}`, ...about }));
  return element("li", {}, element("img", { src: each.picture.thumb, alt: each.picture.name }),
    element("div", { className: "fields" },
      paintings.length > 1 ? field("share", "weight", { min: 0, max: 1000, step: 0.1 }) : null,
      field("scale", "stroke size", { min: 0.1, max: 10, step: 0.1 }),
      element("div", { className: "row" },
        element("button", { onclick: safely(() => beginMask("region", each.picture)), "aria-label": `Use ${each.picture.name} in one area` }, "Use in one area"),
        element("button", { onclick: safely(() => changeSession({ paintings: styleEntries(paintings).filter((_, at) => at !== number) })), "aria-label": `Remove ${each.picture.name}` }, "Remove"))));
}

/** @type {(styles: StyleInfo[], change?: (each: StyleInfo, number: number) => StyleInfo) => StyleEntry[]} */
const styleEntries = (styles, change = (each) => each) =>
  styles.map((each, number) => {
    const { picture: { id }, share, scale } = change(each, number);
    return { picture: id, share, scale };
  });

/** @type {() => RegionEntry[]} */
const regionEntries = () => state.session.regions.map(({ mask, painting, scale, feather }) => ({ mask: mask.id, painting: painting.id, scale, feather }));

function regionRow(each, number) {
  return areaRow(each.painting.thumb, `${each.painting.name}, in one area`, () =>
    changeSession({ regions: regionEntries().filter((_, at) => at !== number) }), () => beginMask("region", each.painting, each.mask, number, each.feather));
}

function protectedRow() {
  return areaRow(state.session.keep.url, "protected", () => changeSession({ keep: null }),
    changeProtected);
}

const changeProtected = () => (state.session.keep
  ? beginMask("protect", null, state.session.keep, null, state.session.keep_feather)
  : beginMask("protect", null));

function areaRow(thumb, label, removeArea, edit) {
  return element("li", {}, element("img", { src: thumb, alt: "" }), element("div", { className: "fields" },
    element("p", {}, label), element("div", { className: "row" },
      element("button", { onclick: safely(edit), "aria-label": `Edit the mask: ${label}` }, "Change"),
      element("button", { onclick: safely(removeArea), "aria-label": `Remove: ${label}` }, "Remove"))));
}

/** @param {SessionChanges} changes */
async function changeSession(changes) {
  const changed = await patch(`/api/sessions/${state.session.id}`, changes);
  if (changed.id !== state.wanted) return;
  state.session = changed;
  show();
  if ("photograph" in changes) { state.shown = null; await showCanvas(); }
}

async function load(id) {
  state.wanted = id;
  /** @type {SessionInfo} */
  const found = await get(`/api/sessions/${id}`);
  if (state.wanted !== id) return;
  state.session = found;
  if (!findJob(state.shown)) state.shown = (runningJob() ?? state.session.works[0])?.id ?? null;
  location.hash = id;
  show();
  await showCanvas();
  await showProgress();
}

// Shows the sessions and the queue. Returns the id of the session to show, if necessary another.
async function loadState() {
  /** @type {StudioState} */
  const found = await get("/api/state");
  state.queue = found.queue;
  showWorker(found.worker);
  showSkipped(found.skipped);
  if (!found.sessions.length) found.sessions.push(await post("/api/sessions"));
  at("sessions").replaceChildren(...found.sessions.map((each, number) =>
    new Option(each.name || `${found.sessions.length - number}`, each.id)));
  const current = found.sessions.find((each) => each.id === state.wanted) ?? found.sessions[0];
  at("sessions").value = current.id;
  showQueue();
  return current.id;
}

function showSkipped(skipped) {
  at("skipped").hidden = !skipped.length;
  at("skipped").querySelector("summary").textContent = `Skipped in the studio's folder: ${skipped.length}`;
  at("skipped").querySelector("ul").replaceChildren(...skipped.map(([name, reason]) => element("li", {}, `${name}: ${reason}`)));
}

function showWorker(worker) {
  state.worker = worker;
  const texts = { starting: "The worker process is starting …", ready: "", painting: "" };
  at("worker").textContent = texts[worker] ?? worker;
}

// --- versions -----------------------------------------------------------------------------------

function showVersions() {
  const { works } = state.session;
  at("versions").replaceChildren(...works.map((each) => element("li", { "aria-current": String(each.id === state.shown) },
    element("button", { onclick: safely(() => select(each.id)), title: title(each) },
      element("img", { src: each.preview ?? "icon.svg", alt: "", loading: "lazy" }),
      element("span", {}, summary(each)), element("span", {}, STATES[each.state] || (each.sheet ? "from a sheet" : each.steered ? "changed during the run" : ""))))));
  const compare = at("compare"), before = compare.value;
  const finished = works.filter((each) => each.result && each.id !== state.shown);
  compare.replaceChildren(new Option("None", ""), new Option("Original", "original"),
    ...finished.map((each) => new Option(title(each), each.id)));
  compare.value = [...compare.options].some((each) => each.value === before) ? before : "";
  showVersion();
  const running = runningJob();
  at("stop").hidden = !running;
  at("steering").hidden = !running;
  at("resume").hidden = !findJob(state.shown)?.resumable;
  at("resume").textContent = findJob(state.shown)?.state === "failed" ? "Try again" : "Resume";
}

function showVersion() {
  const version = findJob(state.shown);
  if (!version) { at("version").replaceChildren(element("p", {}, "None yet.")); return; }
  const url = `/api/works/${version.id}`;
  const size = element("input", { type: "number", id: "larger-size", defaultValue: 2 * (parseInt(version.recipe.size) || 512), min: 64, max: 65536, "aria-label": "Longest side of the larger image in px" });
  const link = (ending, text) => element("a", { href: `${url}/picture.${ending}?download`, download: "" }, text);
  const rows = version.differs.map(([name, was, now]) =>
    element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, was || "–"), element("td", {}, now || "–")));
  at("version").replaceChildren(
    element("p", {}, title(version) + (version.seconds ? `, ${Math.round(version.seconds)} s` : "")),
    ...(version.error ? [element("p", {}, version.error)] : []),
    ...(version.result ? [
      element("p", { className: "row" }, link("png", "PNG"), " ", link("jpg", "JPEG"), " ", link("tif", "TIFF, 16-bit")),
      element("div", { className: "row" }, size, element("button", { onclick: once(() => attempt(size, async () => showJob(await post(`${url}/finish`, { size: Number(size.value) })), () => size.defaultValue)) }, "Finish larger")),
      element("div", { className: "row" },
        element("button", { title: "Use this version as the content image", onclick: once(() => useResult(version, "content")) }, "Use as content"),
        element("button", { title: "Use this version as a style image", onclick: once(() => useResult(version, "style")) }, "Use as style")),
    ] : []),
    element("div", { className: "row" },
      element("button", { onclick: safely(() => useRecipe(version)) }, "Use its recipe"),
      version.sheet ? element("button", { onclick: safely(() => openSheet(version.sheet)) }, "Sheet") : null,
      element("button", { disabled: version.state === "painting", onclick: safely(() => removeVersion(version)) }, "Remove")),
    ...(rows.length ? [element("table", {}, element("caption", { className: "help" }, "differences from the previous version"), element("tbody", {}, ...rows))] : []));
}

const useResult = async (version, role) => useImage(await post(`/api/works/${version.id}/picture`), role);

async function useRecipe(version) {
  const names = Object.keys(version.recipe).filter((name) => !["finished", "init", "blend", "tile", "precision"].includes(name));
  await changeSession({ recipe: Object.fromEntries(names.map((name) => [name, version.recipe[name] || null])) });
}

async function removeVersion(version) {
  await remove(`/api/works/${version.id}`);
  if (state.shown === version.id) state.shown = null;
}

async function select(id) {
  state.shown = id;
  state.curve = [];
  showVersions();
  await showCanvas();
  await showProgress();
}

function openSheet(id) {
  const cells = state.session.works.filter((each) => each.sheet === id).reverse();
  const varied = Object.keys(cells[0].recipe).filter((name) => new Set(cells.map((each) => each.recipe[name])).size > 1 && name !== "precision");
  at("cells").replaceChildren(...cells.map((each) => element("button", { onclick: safely(() => { at("sheet").close(); return select(each.id); }) },
    element("img", { src: each.result ?? each.preview ?? "icon.svg", alt: "" }),
    element("span", {}, varied.map((name) => `${name.replaceAll("_", " ")} ${each.recipe[name]}`).join(", ")))));
  at("sheet").showModal();
}

// --- the queue ----------------------------------------------------------------------------------

function showQueue() {
  const waiting = state.queue.filter((each) => each.state === "queued");
  at("queue").replaceChildren(...waiting.map((each, number) => element("li", {},
    element("img", { src: each.preview ?? "icon.svg", alt: "" }),
    element("div", { className: "fields" }, element("p", {}, title(each)), element("div", { className: "row" },
      number ? element("button", { "aria-label": `Move ${title(each)} up`, onclick: safely(() => moveUp(waiting, number)) }, "Move up") : null,
      element("button", { "aria-label": `Remove ${title(each)} from the queue`, onclick: safely(() => remove(`/api/works/${each.id}`)) }, "Remove"))))));
  if (!waiting.length) at("queue").append(element("li", { className: "none" }, "The queue is empty."));
}

function moveUp(waiting, number) {
  const order = waiting.map((each) => each.id);
  order.splice(number - 1, 0, ...order.splice(number, 1));
  return post("/api/queue", { order });
}

// --- runs ---------------------------------------------------------------------------------------

async function paint() {
  const before = findJob(state.shown)?.id ?? state.session.works[0]?.id ?? null;
  showJob(await post(`/api/sessions/${state.session.id}/paint`, { before }));
}

function showJob({ id }) {
  state.shown = id;
  state.curve = [];
  return load(state.session.id);
}

async function showProgress() {
  const version = findJob(state.shown);
  at("progress").hidden = !version || !(version.state === "painting" || state.curve.length || version.state === "done");
  if (!version) return;
  if (!state.curve.length && version.state !== "queued") {
    /** @type {JobDetails} */
    const known = await get(`/api/works/${version.id}`);
    if (state.shown !== version.id) return;
    state.curve = known.history.map((each) => [each[0], each[1]]);
  }
  if (version.progress) showStep(version.progress);
  if (version.state === "done" || version.state === "stopped") { at("bar").value = 1; at("level").textContent = `${state.curve.length} evaluations`; }
  showCurve();
}

/** @param {StepMessage} step */
function showStep(step) {
  at("progress").hidden = false;
  at("bar").value = step.done;
  const texts = [`level ${step.level} of ${step.levels}`, `evaluation ${step.evaluation} of ${step.evaluations}`, `loss ${step.total.toPrecision(3)}`, step.left];
  at("level").textContent = texts.filter(Boolean).join(", ");
}

function showCurve() {
  const values = state.curve.map(([, total]) => Math.log(Math.max(total, 1e-9)));
  const least = Math.min(...values), range = Math.max(...values) - least || 1;
  at("line").setAttribute("points", values.map((value, number) =>
    `${(200 * number) / Math.max(1, values.length - 1)},${38 - (36 * (value - least)) / range}`).join(" "));
}

async function forecast() {
  const asked = ++state.forecastAsked;
  await new Promise((done) => setTimeout(done, 250));
  if (asked !== state.forecastAsked) return;
  /** @type {ForecastInfo | null} */
  const found = await post(`/api/sessions/${state.session.id}/forecast`).catch(() => null);
  if (found && asked === state.forecastAsked) at("forecast").textContent = found.text;
}

async function changed(name, value) {
  await changeSession({ recipe: { [name]: value } });
  const running = runningJob();
  if (running && state.about.steerable.includes(name)) await post(`/api/works/${running.id}/steer`, { settings: { [name]: value } });
}

// --- masks --------------------------------------------------------------------------------------

const FEATHER = 0.004; // of a new mask, as a fraction of its longer side
const feather = () => Number(at("feather").value) / 1000;

async function beginMask(role, style, known = null, number = null, soft = FEATHER) {
  const { photograph: content } = state.session;
  if (!content) throw new Error("there is no content image yet");
  const ratio = Math.min(1, SIDE / Math.max(content.width, content.height));
  const mask = new Mask(Math.round(content.width * ratio), Math.round(content.height * ratio));
  if (known) mask.add(await loadImage(known.url));
  state.masking = { mask, role, style, number, last: null, tool: "brush", cursor: [0.5, 0.5] };
  at("feather").value = Math.round(1000 * soft);
  state.shown = null;
  at("compare").value = "";
  await showCanvas();
  view.overlay = mask.canvas;
  at("tools").hidden = false;
  at("canvas").classList.add("masking");
  tool("brush");
  at("canvas").focus();
}

function endMask() {
  state.masking = null;
  view.overlay = view.cursor = null;
  at("tools").hidden = true;
  at("canvas").classList.remove("masking");
  view.draw();
}

async function maskDone() {
  const { mask, role, style, number } = state.masking;
  if (mask.isEmpty()) throw new Error("the mask is empty: paint the area first");
  const soft = feather(), blob = await mask.toBlob(0); // without feather, so that editing it again loses nothing
  const { id } = await upload(new File([blob], "mask.png", { type: "image/png" }), "mask");
  endMask();
  if (role === "protect") { await changeSession({ keep: id, keep_feather: soft }); return; }
  const regions = regionEntries();
  if (number === null) regions.push({ mask: id, painting: style.id, scale: 1, feather: soft }); else Object.assign(regions[number], { mask: id, feather: soft });
  const paintings = styleEntries(state.session.paintings).filter((each) => number !== null || each.picture !== style.id || state.session.paintings.length === 1);
  await changeSession({ regions, paintings });
}

function tool(name) {
  state.masking.tool = name;
  for (const each of ["brush", "eraser", "wand"]) at(each).setAttribute("aria-pressed", String(each === name));
}

const radius = () => Number(at("brush-size").value) / 2 / 1000; // as a fraction of the image's width

function applyBrush(x, y) {
  const { mask, tool: name } = state.masking, { width, height } = mask.canvas;
  /** @type {Point} */
  const to = [x * width, y * height];
  mask.stroke(state.masking.last ?? to, to, radius() * width, name === "eraser");
  state.masking.last = to;
  showBrush(x, y);
}

function showBrush(x, y) {
  state.masking.cursor = [x, y];
  view.cursor = { x, y, radius: radius() };
  view.draw();
}

async function selectSimilar(x, y) {
  const { mask } = state.masking;
  const blob = await post(`/api/sessions/${state.session.id}/select`, { x, y, tolerance: at("tolerance").value / 100 });
  mask.add(await createImageBitmap(blob));
  view.draw();
}

function pointers() {
  const canvas = at("canvas");
  let dragged = null, space = false;
  addEventListener("keydown", (event) => { if (event.code === "Space") space = true; });
  addEventListener("keyup", (event) => { if (event.code === "Space") space = false; });
  canvas.addEventListener("pointerdown", safely(async (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.focus();
    const [x, y] = view.place(event);
    if (!state.masking || space || event.button === 1) { dragged = [event.clientX, event.clientY]; return; }
    if (state.masking.tool === "wand") { await selectSimilar(x, y); return; }
    state.masking.last = null;
    state.masking.down = true;
    applyBrush(x, y);
  }));
  canvas.addEventListener("pointermove", (event) => {
    if (dragged) {
      const ratio = canvas.width / canvas.clientWidth;
      view.move((event.clientX - dragged[0]) * ratio, (event.clientY - dragged[1]) * ratio);
      dragged = [event.clientX, event.clientY];
    } else if (state.masking) {
      const events = state.masking.down ? event.getCoalescedEvents?.() ?? [] : [];
      for (const each of events.length ? events : [event]) {
        const [x, y] = view.place(each);
        if (state.masking.down) applyBrush(x, y); else showBrush(x, y);
      }
    }
  });
  const up = () => {
    dragged = null;
    if (state.masking?.down) { state.masking.down = false; state.masking.mask.endStroke(); }
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
}

// --- keys ---------------------------------------------------------------------------------------

function keys(event) {
  const typing = event.target.matches("input, select, textarea");
  const { masking } = state;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && masking) {
    event.preventDefault();
    masking.mask[event.shiftKey ? "redo" : "undo"]();
    view.draw();
    return;
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  if (moves[event.key] && event.target === at("canvas")) {
    event.preventDefault();
    const [x, y] = moves[event.key];
    if (masking) showBrush(masking.cursor[0] - 0.02 * x, masking.cursor[1] - 0.02 * y); else view.move(60 * x, 60 * y);
    return;
  }
  if (event.key === " " && masking && event.target === at("canvas")) {
    event.preventDefault();
    if (masking.tool === "wand") { safely(selectSimilar)(...masking.cursor); return; }
    masking.last = null;
    applyBrush(...masking.cursor);
    masking.mask.endStroke();
    return;
  }
  if (event.repeat && "psmc?".includes(event.key)) return;
  const step = (way) => {
    const { works } = state.session, number = works.findIndex((each) => each.id === state.shown);
    const next = works[Math.max(0, Math.min(works.length - 1, number + way))];
    if (next) safely(select)(next.id);
  };
  const brush = (factor) => { at("brush-size").value = Math.round(at("brush-size").value * factor); if (masking) showBrush(...masking.cursor); };
  const action = {
    p: () => at("paint").click(), s: () => at("stop").hidden || at("stop").click(), m: () => at("protect").click(),
    b: () => masking && tool("brush"), e: () => masking && tool("eraser"), w: () => masking && tool("wand"),
    "[": () => brush(0.8), "]": () => brush(1.25), f: () => view.fit(), "+": () => view.zoom(1.25), "-": () => view.zoom(0.8),
    c: () => { at("compare").value = at("compare").value ? "" : "original"; safely(showCanvas)(); },
    j: () => step(1), k: () => step(-1), "?": () => at("keys").showModal(),
    Enter: () => masking && event.target === at("canvas") && at("mask-done").click(), Escape: () => masking && endMask(),
  }[event.key];
  if (action) { if (event.key !== "Enter" || masking) event.preventDefault(); if (event.key !== "Enter" || event.target === at("canvas")) action(); }
}

// --- adding images ------------------------------------------------------------------------------

async function addFile(file, role) {
  /** @type {UploadInfo} */
  const image = await upload(file);
  for (const note of image.notes) notify(note);
  const choice = image.painted ? await askForUse(image) : role;
  if (choice === "settings") await restoreSettings(image.painted); else if (choice) await useImage(image, choice);
}

// Resolves to the use of a result of impasto: a role, "settings", or "" if the user cancels.
function askForUse(image) {
  const dialog = at("result-choice");
  at("result-name").textContent = `${image.name} is a result of impasto and contains its settings.`;
  dialog.returnValue = "";
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
    dialog.showModal();
  });
}

// Returns the dropped files; a message names dropped folders and other items.
function droppedFiles({ items, files }) {
  const folders = [...items].map((each) => each.webkitGetAsEntry?.()).filter((each) => each?.isDirectory).map((each) => each.name);
  if (folders.length) notify(`${folders.join(", ")} is a folder: drop the images inside it`);
  else if (!files.length) notify("the dropped item is not a file: save the image, and drop the file");
  return [...files].filter((each) => !folders.includes(each.name));
}

async function useImage({ id }, role) {
  if (role === "content") await changeSession({ photograph: id });
  else await changeSession({ paintings: [...styleEntries(state.session.paintings), { picture: id, share: 1, scale: 1 }] });
}

/**
 * Takes the settings of a result, and those of its inputs that are in the studio.
 * @param {ResultInfo} result
 */
async function restoreSettings({ recipe, inputs }) {
  /** @type {SessionChanges} */
  const changes = { recipe: Object.fromEntries(Object.entries(recipe).filter(([name, value]) => value && !["init", "finished", "blend", "precision", "tile"].includes(name))) };
  const content = inputs.find((each) => each.role === "content"), styles = inputs.filter((each) => each.role.startsWith("style"));
  if (content?.here) changes.photograph = content.here.id;
  const here = styles.filter((each) => each.here);
  if (here.length) changes.paintings = here.map((each) => ({ picture: each.here.id, share: 1, scale: 1 }));
  await changeSession(changes);
  const missing = inputs.filter((each) => !each.here).map((each) => each.name);
  notify(missing.length ? `its settings are restored; add its images as well: ${missing.join(", ")}` : "its settings and images are restored");
}

function wireInputs() {
  let role = "content";
  const file = at("file");
  for (const area of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".drop"))) {
    area.querySelector(".choose").addEventListener("click", () => { ({ role } = area.dataset); file.value = ""; file.click(); });
    area.addEventListener("dragover", (event) => { event.preventDefault(); area.classList.add("over"); });
    area.addEventListener("dragleave", () => area.classList.remove("over"));
    area.addEventListener("drop", safely(async (event) => {
      event.preventDefault();
      event.stopPropagation();
      area.classList.remove("over");
      for (const each of droppedFiles(event.dataTransfer)) await safely(addFile)(each, area.dataset.role);
    }));
  }
  file.addEventListener("change", safely(async () => {
    for (const each of file.files) {
      if (role === "mask") state.masking.mask.add(await createImageBitmap(each)); else await addFile(each, role);
    }
    view.draw();
  }));
  on("import-mask", "click", () => { role = "mask"; file.value = ""; file.click(); });
  const missing = () => (state.session.photograph ? "style" : "content");
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", safely(async (event) => {
    event.preventDefault();
    for (const each of droppedFiles(event.dataTransfer)) await safely(addFile)(each, missing());
  }));
  addEventListener("paste", safely(async (event) => {
    for (const each of event.clipboardData.files) await safely(addFile)(each, missing());
  }));
  for (const [kind, names] of Object.entries({ content: state.about.samples.photographs, style: state.about.samples.paintings })) {
    const samples = at(kind).querySelector(".sample");
    samples.append(new Option("Choose a sample …", ""), ...names.map((each) => new Option(each, each)));
    samples.addEventListener("change", safely(async () => {
      const name = samples.value;
      samples.value = "";
      if (name) await useImage(await post(`/api/samples/${name}`), kind);
    }));
  }
}

// --- events -------------------------------------------------------------------------------------

// Loads the state and the session again, once for events in quick succession.
const refresh = (() => {
  let waiting = null;
  return () => {
    waiting ??= setTimeout(safely(async () => {
      waiting = null;
      const before = state.wanted, id = await loadState();
      if (state.wanted !== before) return; // the user has chosen another session
      state.wanted = id;
      const session = await get(`/api/sessions/${id}`);
      if (state.wanted !== id) return;
      state.session = session;
      if (!findJob(state.shown) && !state.masking) state.shown = (runningJob() ?? state.session.works[0])?.id ?? null;
      show();
      if (!state.masking) { await showCanvas(); await showProgress(); }
    }), 60);
  };
})();

function subscribe() {
  let build = null;
  const isShown = (message) => message.work === state.shown && !state.masking;
  const showPreview = safely(async (message, draft) => {
    const version = findJob(message.work);
    if (!version) return;
    version.draft = draft;
    version.preview = `/api/works/${message.work}/preview.jpg?${Date.now()}`;
    if (isShown(message)) await showCanvas();
  });
  const source = listen({
    hello: (message) => {
      if (build && build !== message.build) notify("the studio was updated: reload the page");
      build ??= message.build;
      if (state.lost) { state.lost = false; notify("the studio is available again"); refresh(); }
    },
    state: ({ worker }) => { showWorker(worker); refresh(); },
    work: refresh,
    // An answer from before the draft may arrive after this event: load the session again.
    draft: async (message) => { await showPreview(message, true); refresh(); },
    note: ({ note }) => notify(note),
    step: (message) => {
      const version = findJob(message.work);
      if (version) version.progress = message;
      if (message.shown) showPreview(message, false);
      if (!isShown(message)) return;
      state.curve.push([message.level, message.total]);
      showStep(message);
      showCurve();
      at("stop").hidden = false;
    },
  });
  source.onerror = () => { if (!state.lost) { state.lost = true; at("worker").textContent = "The studio does not answer. No data is lost. Run impasto studio again."; } };
}

// --- start --------------------------------------------------------------------------------------

function wireControls() {
  onClick("paint", paint);
  on("stop", "click", async () => { const running = runningJob(); if (running) await post(`/api/works/${running.id}/stop`); });
  onClick("resume", async () => showJob(await post(`/api/works/${state.shown}/resume`)));
  onClick("new-session", async () => { const made = await post("/api/sessions"); state.shown = null; state.wanted = made.id; await load(await loadState()); });
  onClick("remove-session", async () => {
    if (!confirm("Remove this session and all of its images?")) return;
    await remove(`/api/sessions/${state.session.id}`);
    state.shown = state.wanted = null;
    await load(await loadState());
  });
  on("sessions", "change", async () => { state.shown = null; endMask(); await load(at("sessions").value); });
  on("compare", "change", showCanvas);
  at("divider").addEventListener("input", () => { view.divide = at("divider").value / 1000; view.draw(); });
  on("protect", "click", changeProtected);
  onClick("mask-done", maskDone);
  on("mask-cancel", "click", endMask);
  for (const each of ["brush", "eraser", "wand"]) on(each, "click", () => tool(each));
  for (const each of ["fill", "invert", "undo", "redo"]) on(each, "click", () => { state.masking.mask[each](); view.draw(); });
  on("export-mask", "click", async () => {
    const { mask } = state.masking, blob = await mask.toBlob(feather() * Math.max(mask.canvas.width, mask.canvas.height));
    element("a", { href: URL.createObjectURL(blob), download: "mask.png" }).click();
  });
  at("fit").addEventListener("click", () => view.fit());
  at("larger").addEventListener("click", () => view.zoom(1.25));
  at("smaller").addEventListener("click", () => view.zoom(0.8));
  at("help").addEventListener("click", () => at("keys").showModal());
  addEventListener("keydown", keys);
  for (const each of state.about.presets) {
    at("presets").append(element("button", { title: each.help, "data-name": each.name, "aria-pressed": "false",
      onclick: safely(() => changeSession({ preset: each.name })) },
    ...(each.picture ? [element("img", { src: each.picture, alt: "", loading: "lazy" })] : []), each.name));
  }
  at("presets").after(element("button", { id: "compare-settings", onclick: () => at("sweep").showModal() }, "Compare settings …"));
  at("sweep-setting").append(...state.about.settings.map((each) => new Option(each.label, each.name)));
  at("sweep-setting").value = "strength";
  onClick("sweep-go", () => attempt(at("sweep-values"), async () => {
    const values = at("sweep-values").value.split(/[,;]\s*/).filter(Boolean);
    /** @type {SweepInfo} */
    const swept = await post(`/api/sessions/${state.session.id}/sweep`, { vary: { [at("sweep-setting").value]: values } });
    at("sweep").close();
    await showJob({ id: swept.works[0] });
  }));
}

const begin = safely(async () => {
  state.about = await get("/api/about");
  state.about.notes.forEach(notify);
  panel = new Panel(state.about, changed);
  wireControls();
  pointers();
  state.wanted = location.hash.slice(1);
  await load(await loadState());
  wireInputs();
  subscribe();
  document.body.dataset.ready = "yes";
});

window.studio = { state, view }; // for tests, and for the browser's console
begin();
