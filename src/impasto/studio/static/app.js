// The page: what is shown, what is asked, what is heard.

import { get, listen, patch, post, remove, upload } from "./api.js";
import { Mask, SIDE } from "./masks.js";
import { attempt, element, Panel } from "./panel.js";
import { View } from "./view.js";

/** @type {(id: string) => any} an element of index.html, of whatever kind */
const at = (id) => document.getElementById(id);
const view = new View(at("canvas"));
/** @type {State} */
const state = {
  about: null, session: null,
  wanted: null, // the id of the session to show: answers about another session are ignored
  worker: "starting", queue: [],
  shown: null, // the id of the version on the canvas; null is the photograph
  pictures: new Map(), // by address
  masking: null, // {mask, role, painting} while one is painted
  curve: [], forecastAsked: 0,
};
let panel;

// --- what is said -------------------------------------------------------------------------------

function say(sentence) {
  const toast = element("div", {}, sentence);
  at("toasts").append(toast);
  setTimeout(() => toast.remove(), 9000);
}

const safely = (doing) => async (...given) => {
  try { return await doing(...given); } catch (error) { say(error.message); return null; }
};

// What begins something is not begun twice by a double click, nor while the first still runs.
const once = (doing) => {
  let running = false;
  return safely(async (event) => {
    if (running || event?.detail > 1) return;
    running = true;
    try { await doing(event); } finally { running = false; }
  });
};

const on = (id, event, doing) => at(id).addEventListener(event, safely(doing));
const onClick = (id, doing) => at(id).addEventListener("click", once(doing));

// --- pictures -----------------------------------------------------------------------------------

async function picture(address) {
  if (!address) return null;
  if (!state.pictures.has(address)) {
    const image = new Image();
    image.src = address;
    state.pictures.set(address, image.decode().then(() => image));
    if (state.pictures.size > 24) state.pictures.delete(state.pictures.keys().next().value);
  }
  return state.pictures.get(address).catch(() => { state.pictures.delete(address); return null; });
}

const work = (id) => state.session?.works.find((each) => each.id === id) ?? null;
const underWay = () => state.session?.works.find((each) => each.state === "painting") ?? null;

async function showCanvas() {
  const { session } = state, version = work(state.shown);
  const address = version ? version.result ?? version.preview : session?.photograph?.url;
  const compared = at("compare").value;
  const against = compared === "photograph" ? session?.photograph?.url : work(compared)?.result;
  view.base = session?.photograph ? Math.min(3000, session.photograph.width) : null;
  const [picked, other] = await Promise.all([picture(address ?? session?.photograph?.url), picture(against)]);
  view.finest = (version && Number(version.recipe.size)) || session?.photograph?.width || 1;
  view.divide = other ? at("divider").value / 1000 : null;
  at("divider").hidden = !other;
  view.show(picked, other);
  at("empty").hidden = Boolean(picked);
  at("draft").hidden = !(version?.state === "painting" && version.draft);
  const name = version ? title(version) : session?.photograph?.name ?? "";
  at("shown-name").textContent = name;
  at("canvas").setAttribute("aria-label", picked ? name : "No image yet");
}

const STATES = { queued: "queued", painting: "running", done: "", stopped: "stopped", failed: "failed" };

function what(version) {
  const differs = version.differs.filter(([name]) => !["precision", "tile", "finished"].includes(name));
  const words = differs.slice(0, 2).map(([name, , now]) => `${name.replaceAll("_", " ")} ${now}`);
  return words.join(", ") || `${version.recipe.size} px`;
}

const title = (version) => [what(version), STATES[version.state]].filter(Boolean).join(" · ");

// --- the session --------------------------------------------------------------------------------

function show() {
  const { session } = state;
  if (!session) return;
  at("photograph-thumb").hidden = !session.photograph;
  if (session.photograph) {
    at("photograph-thumb").src = session.photograph.thumb;
    at("photograph-thumb").alt = session.photograph.name;
  }
  at("paintings").replaceChildren(...session.paintings.map(paintingRow));
  const places = session.regions.map(regionRow);
  if (session.keep) places.unshift(keepRow());
  at("places").replaceChildren(...places);
  at("keep").disabled = !session.photograph;
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

function paintingRow(each, number) {
  const { paintings } = state.session;
  const change = (field) => ({ target }) => attempt(target, () => changeSession({
    paintings: plain(paintings, (other, at) => (at === number ? { ...other, [field]: target.valueAsNumber } : other)),
  }), () => each[field]);
  const field = (name, label, about) => element("label", {}, label,
    element("input", { type: "number", value: each[name], onchange: change(name), "aria-label": `${label} of ${each.picture.name}`, ...about }));
  return element("li", {}, element("img", { src: each.picture.thumb, alt: each.picture.name }),
    element("div", { className: "fields" },
      paintings.length > 1 ? field("share", "weight", { min: 0, max: 1000, step: 0.1 }) : null,
      field("scale", "stroke size", { min: 0.1, max: 10, step: 0.1 }),
      element("div", { className: "row" },
        element("button", { onclick: safely(() => beginMask("region", each.picture)), "aria-label": `Use ${each.picture.name} only in a region` }, "Only in a region"),
        element("button", { onclick: safely(() => changeSession({ paintings: plain(paintings).filter((_, at) => at !== number) })), "aria-label": `Remove ${each.picture.name}` }, "Remove"))));
}

/** @type {(paintings: Painting[], change?: (each: Painting, number: number) => Painting) => {picture: string, share: number, scale: number}[]} */
const plain = (paintings, change = (each) => each) =>
  paintings.map((each, number) => {
    const { picture: { id }, share, scale } = change(each, number);
    return { picture: id, share, scale };
  });

const plainRegions = () => state.session.regions.map(({ mask, painting, scale, feather }) => ({ mask: mask.id, painting: painting.id, scale, feather }));

function regionRow(each, number) {
  return placeRow(each.painting.thumb, `${each.painting.name}, in a region`, () =>
    changeSession({ regions: plainRegions().filter((_, at) => at !== number) }), () => beginMask("region", each.painting, each.mask, number, each.feather));
}

function keepRow() {
  return placeRow(state.session.keep.url, "kept unchanged", () => changeSession({ keep: null }),
    changeKeep);
}

const changeKeep = () => (state.session.keep
  ? beginMask("keep", null, state.session.keep, null, state.session.keep_feather)
  : beginMask("keep", null));

function placeRow(thumb, words, away, again) {
  return element("li", {}, element("img", { src: thumb, alt: "" }), element("div", { className: "fields" },
    element("p", {}, words), element("div", { className: "row" },
      element("button", { onclick: safely(again), "aria-label": `Edit the mask: ${words}` }, "Change"),
      element("button", { onclick: safely(away), "aria-label": `Remove: ${words}` }, "Remove"))));
}

async function changeSession(changes) {
  const changed = await patch(`/api/sessions/${state.session.id}`, changes);
  if (changed.id !== state.wanted) return;
  state.session = changed;
  show();
  if ("photograph" in changes) { state.shown = null; await showCanvas(); }
}

async function load(id) {
  state.wanted = id;
  const found = await get(`/api/sessions/${id}`);
  if (state.wanted !== id) return;
  state.session = found;
  if (!work(state.shown)) state.shown = (underWay() ?? state.session.works[0])?.id ?? null;
  location.hash = id;
  show();
  await showCanvas();
  await showProgress();
}

// Shows the sessions and the queue; the wanted session may be gone, and another is shown then.
async function loadState() {
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
  const words = { starting: "The worker process is starting …", ready: "", painting: "" };
  at("painter").textContent = words[worker] ?? worker;
}

// --- versions -----------------------------------------------------------------------------------

function showVersions() {
  const { works } = state.session;
  at("versions").replaceChildren(...works.map((each) => element("li", { "aria-current": String(each.id === state.shown) },
    element("button", { onclick: safely(() => select(each.id)), title: title(each) },
      element("img", { src: each.preview ?? "icon.svg", alt: "", loading: "lazy" }),
      element("span", {}, what(each)), element("span", {}, STATES[each.state] || (each.sheet ? "from a sheet" : each.steered ? "changed during the run" : ""))))));
  const compare = at("compare"), before = compare.value;
  const finished = works.filter((each) => each.result && each.id !== state.shown);
  compare.replaceChildren(new Option("nothing", ""), new Option("the photo", "photograph"),
    ...finished.map((each) => new Option(title(each), each.id)));
  compare.value = [...compare.options].some((each) => each.value === before) ? before : "";
  showVersion();
  const painting = underWay();
  at("stop").hidden = !painting;
  at("steering").hidden = !painting;
  at("resume").hidden = !work(state.shown)?.resumable;
  at("resume").textContent = work(state.shown)?.state === "failed" ? "Try again" : "Resume";
}

function showVersion() {
  const version = work(state.shown);
  if (!version) { at("version").replaceChildren(element("p", {}, "None yet.")); return; }
  const place = `/api/works/${version.id}`;
  const size = element("input", { type: "number", id: "larger-size", defaultValue: 2 * (parseInt(version.recipe.size) || 512), min: 64, max: 65536, "aria-label": "Longest side of the larger image in px" });
  const link = (ending, words) => element("a", { href: `${place}/picture.${ending}?download`, download: "" }, words);
  const rows = version.differs.map(([name, was, now]) =>
    element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, was || "–"), element("td", {}, now || "–")));
  at("version").replaceChildren(
    element("p", {}, title(version) + (version.seconds ? `, ${Math.round(version.seconds)} s` : "")),
    ...(version.error ? [element("p", {}, version.error)] : []),
    ...(version.result ? [
      element("p", { className: "row" }, link("png", "PNG"), " ", link("jpg", "JPEG"), " ", link("tif", "TIFF, 16-bit")),
      element("div", { className: "row" }, size, element("button", { onclick: once(() => attempt(size, async () => took(await post(`${place}/finish`, { size: Number(size.value) })), () => size.defaultValue)) }, "Finish larger")),
      element("div", { className: "row" },
        element("button", { title: "Use this version as the photo", onclick: once(() => useResult(version, "photograph")) }, "Use as content"),
        element("button", { title: "Use this version as a painting", onclick: once(() => useResult(version, "painting")) }, "Use as style")),
    ] : []),
    element("div", { className: "row" },
      element("button", { onclick: safely(() => useRecipe(version)) }, "Use its recipe"),
      version.sheet ? element("button", { onclick: safely(() => openSheet(version.sheet)) }, "Sheet") : null,
      element("button", { disabled: version.state === "painting", onclick: safely(() => removeWork(version)) }, "Remove")),
    ...(rows.length ? [element("table", {}, element("caption", { className: "help" }, "differences from the previous version"), element("tbody", {}, ...rows))] : []));
}

const useResult = async (version, role) => use(await post(`/api/works/${version.id}/picture`), role);

async function useRecipe(version) {
  const names = Object.keys(version.recipe).filter((name) => !["finished", "init", "blend", "tile", "precision"].includes(name));
  await changeSession({ recipe: Object.fromEntries(names.map((name) => [name, version.recipe[name] || null])) });
}

async function removeWork(version) {
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
      number ? element("button", { "aria-label": `Paint ${title(each)} earlier`, onclick: safely(() => earlier(waiting, number)) }, "Earlier") : null,
      element("button", { "aria-label": `Remove ${title(each)} from the queue`, onclick: safely(() => remove(`/api/works/${each.id}`)) }, "Remove"))))));
  if (!waiting.length) at("queue").append(element("li", { className: "none" }, "The queue is empty."));
}

function earlier(waiting, number) {
  const order = waiting.map((each) => each.id);
  order.splice(number - 1, 0, ...order.splice(number, 1));
  return post("/api/queue", { order });
}

// --- painting -----------------------------------------------------------------------------------

async function paint() {
  const before = work(state.shown)?.id ?? state.session.works[0]?.id ?? null;
  took(await post(`/api/sessions/${state.session.id}/paint`, { from: before }));
}

function took(begun) {
  state.shown = begun.id;
  state.curve = [];
  return load(state.session.id);
}

async function showProgress() {
  const version = work(state.shown);
  at("progress").hidden = !version || !(version.state === "painting" || state.curve.length || version.state === "done");
  if (!version) return;
  if (!state.curve.length && version.state !== "queued") {
    const known = await get(`/api/works/${version.id}`);
    if (state.shown !== version.id) return;
    state.curve = known.history.map((each) => [each[0], each[1]]);
  }
  if (version.progress) showStep(version.progress);
  if (version.state === "done" || version.state === "stopped") { at("bar").value = 1; at("level").textContent = `${state.curve.length} evaluations`; }
  showCurve();
}

function showStep(step) {
  at("progress").hidden = false;
  at("bar").value = step.done;
  const words = [`level ${step.level} of ${step.levels}`, `evaluation ${step.evaluation} of ${step.evaluations}`, `loss ${step.total.toPrecision(3)}`, step.left];
  at("level").textContent = words.filter(Boolean).join(", ");
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
  const found = await post(`/api/sessions/${state.session.id}/forecast`).catch(() => null);
  if (found && asked === state.forecastAsked) at("forecast").textContent = found.text;
}

async function changed(name, value) {
  await changeSession({ recipe: { [name]: value } });
  const painting = underWay();
  if (painting && state.about.steerable.includes(name)) await post(`/api/works/${painting.id}/steer`, { [name]: value });
}

// --- masks --------------------------------------------------------------------------------------

const FEATHER = 0.004; // of a new mask, as a fraction of its longer side
const feather = () => Number(at("feather").value) / 1000;

async function beginMask(role, painting, known = null, number = null, soft = FEATHER) {
  const { photograph } = state.session;
  if (!photograph) throw new Error("there is no content image yet");
  const ratio = Math.min(1, SIDE / Math.max(photograph.width, photograph.height));
  const mask = new Mask(Math.round(photograph.width * ratio), Math.round(photograph.height * ratio));
  if (known) mask.add(await picture(known.url));
  state.masking = { mask, role, painting, number, last: null, tool: "brush", cursor: [0.5, 0.5] };
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
  const { mask, role, painting, number } = state.masking;
  if (mask.isEmpty()) throw new Error("the mask is empty: paint the region first");
  const soft = feather(), blob = await mask.toBlob(0); // as it was drawn, so that opening it again changes nothing
  const { id } = await upload(new File([blob], "mask.png", { type: "image/png" }), "mask");
  endMask();
  if (role === "keep") { await changeSession({ keep: id, keep_feather: soft }); return; }
  const regions = plainRegions();
  if (number === null) regions.push({ mask: id, painting: painting.id, scale: 1, feather: soft }); else Object.assign(regions[number], { mask: id, feather: soft });
  const paintings = plain(state.session.paintings).filter((each) => number !== null || each.picture !== painting.id || state.session.paintings.length === 1);
  await changeSession({ regions, paintings });
}

function tool(name) {
  state.masking.tool = name;
  for (const each of ["brush", "eraser", "picker"]) at(each).setAttribute("aria-pressed", String(each === name));
}

const radius = () => Number(at("brush-size").value) / 2 / 1000; // of the picture's width

function dab(x, y) {
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

async function pick(x, y) {
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
    if (state.masking.tool === "picker") { await pick(x, y); return; }
    state.masking.last = null;
    state.masking.down = true;
    dab(x, y);
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
        if (state.masking.down) dab(x, y); else showBrush(x, y);
      }
    }
  });
  const up = () => {
    dragged = null;
    if (state.masking?.down) { state.masking.down = false; state.masking.mask.settle(); }
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
    if (masking.tool === "picker") { safely(pick)(...masking.cursor); return; }
    masking.last = null;
    dab(...masking.cursor);
    masking.mask.settle();
    return;
  }
  if (event.repeat && "psmc?".includes(event.key)) return;
  const step = (way) => {
    const { works } = state.session, number = works.findIndex((each) => each.id === state.shown);
    const next = works[Math.max(0, Math.min(works.length - 1, number + way))];
    if (next) safely(select)(next.id);
  };
  const brush = (factor) => { at("brush-size").value = Math.round(at("brush-size").value * factor); if (masking) showBrush(...masking.cursor); };
  const doing = {
    p: () => at("paint").click(), s: () => at("stop").hidden || at("stop").click(), m: () => at("keep").click(),
    b: () => masking && tool("brush"), e: () => masking && tool("eraser"), w: () => masking && tool("picker"),
    "[": () => brush(0.8), "]": () => brush(1.25), f: () => view.fit(), "+": () => view.zoom(1.25), "-": () => view.zoom(0.8),
    c: () => { at("compare").value = at("compare").value ? "" : "photograph"; safely(showCanvas)(); },
    j: () => step(1), k: () => step(-1), "?": () => at("keys").showModal(),
    Enter: () => masking && event.target === at("canvas") && at("mask-done").click(), Escape: () => masking && endMask(),
  }[event.key];
  if (doing) { if (event.key !== "Enter" || masking) event.preventDefault(); if (event.key !== "Enter" || event.target === at("canvas")) doing(); }
}

// --- dropping, pasting, choosing ----------------------------------------------------------------

async function takeIn(file, role) {
  const taken = await upload(file);
  for (const note of taken.notes) say(note);
  const choice = taken.painted ? await askAbout(taken) : role;
  if (choice === "settings") await takePainted(taken); else if (choice) await use(taken, choice);
}

// What to do with an image that impasto painted: a role, "settings", or nothing.
function askAbout(taken) {
  const dialog = at("painted");
  at("painted-words").textContent = `${taken.name} is a result of impasto and contains its settings.`;
  dialog.returnValue = "";
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue), { once: true });
    dialog.showModal();
  });
}

// The files that were dropped; folders and what is no file are named.
function dropped({ items, files }) {
  const folders = [...items].map((each) => each.webkitGetAsEntry?.()).filter((each) => each?.isDirectory).map((each) => each.name);
  if (folders.length) say(`${folders.join(", ")} is a folder: drop the images inside it`);
  else if (!files.length) say("the dropped item is not a file: save the image, and drop the file");
  return [...files].filter((each) => !folders.includes(each.name));
}

async function use(taken, role) {
  if (role === "photograph") await changeSession({ photograph: taken.id });
  else await changeSession({ paintings: [...plain(state.session.paintings), { picture: taken.id, share: 1, scale: 1 }] });
}

// A picture that impasto painted: take its recipe, and those of its inputs that are here.
async function takePainted(taken) {
  const { recipe, inputs } = taken.painted;
  const changes = { recipe: Object.fromEntries(Object.entries(recipe).filter(([name, value]) => value && !["init", "finished", "blend", "precision", "tile"].includes(name))) };
  const content = inputs.find((each) => each.role === "content"), styles = inputs.filter((each) => each.role.startsWith("style"));
  if (content?.here) changes.photograph = content.here.id;
  const here = styles.filter((each) => each.here);
  if (here.length) changes.paintings = here.map((each) => ({ picture: each.here.id, share: 1, scale: 1 }));
  await changeSession(changes);
  const missing = inputs.filter((each) => !each.here).map((each) => each.name);
  say(missing.length ? `its settings are restored; add its images as well: ${missing.join(", ")}` : "its settings and images are restored");
}

function dropping() {
  let role = "photograph";
  const file = at("file");
  for (const place of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".drop"))) {
    place.querySelector(".choose").addEventListener("click", () => { ({ role } = place.dataset); file.value = ""; file.click(); });
    place.addEventListener("dragover", (event) => { event.preventDefault(); place.classList.add("over"); });
    place.addEventListener("dragleave", () => place.classList.remove("over"));
    place.addEventListener("drop", safely(async (event) => {
      event.preventDefault();
      event.stopPropagation();
      place.classList.remove("over");
      for (const each of dropped(event.dataTransfer)) await safely(takeIn)(each, place.dataset.role);
    }));
  }
  file.addEventListener("change", safely(async () => {
    for (const each of file.files) {
      if (role === "mask") state.masking.mask.add(await createImageBitmap(each)); else await takeIn(each, role);
    }
    view.draw();
  }));
  on("import-mask", "click", () => { role = "mask"; file.value = ""; file.click(); });
  const missing = () => (state.session.photograph ? "painting" : "photograph");
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", safely(async (event) => {
    event.preventDefault();
    for (const each of dropped(event.dataTransfer)) await safely(takeIn)(each, missing());
  }));
  addEventListener("paste", safely(async (event) => {
    for (const each of event.clipboardData.files) await safely(takeIn)(each, missing());
  }));
  for (const [place, names] of Object.entries({ photograph: state.about.samples.photographs, painting: state.about.samples.paintings })) {
    const samples = at(place).querySelector(".sample");
    samples.append(new Option("Choose a sample …", ""), ...names.map((each) => new Option(each, each)));
    samples.addEventListener("change", safely(async () => {
      const name = samples.value;
      samples.value = "";
      if (name) await use(await post(`/api/samples/${name}`), place);
    }));
  }
}

// --- what is heard ------------------------------------------------------------------------------

const again = (() => {
  let waiting = null;
  return () => {
    waiting ??= setTimeout(safely(async () => {
      waiting = null;
      const before = state.wanted, id = await loadState();
      if (state.wanted !== before) return; // another was chosen meanwhile
      state.wanted = id;
      const session = await get(`/api/sessions/${id}`);
      if (state.wanted !== id) return;
      state.session = session;
      if (!work(state.shown) && !state.masking) state.shown = (underWay() ?? state.session.works[0])?.id ?? null;
      show();
      if (!state.masking) { await showCanvas(); await showProgress(); }
    }), 60);
  };
})();

function hearing() {
  let build = null;
  const mine = (said) => said.session === state.session.id && said.work === state.shown && !state.masking;
  const preview = safely(async (said, draft) => {
    const version = work(said.work);
    if (!version) return;
    version.draft = draft;
    version.preview = `/api/works/${said.work}/preview.jpg?${Date.now()}`;
    if (mine(said)) await showCanvas();
  });
  const source = listen({
    hello: (said) => {
      if (build && build !== said.build) say("the studio was updated: reload the page");
      build ??= said.build;
      if (state.lost) { state.lost = false; say("the studio is available again"); again(); }
    },
    state: (said) => { if (said.worker) showWorker(said.worker); if ("session" in said || "worker" in said) again(); },
    work: again,
    // What the session was before the draft may still be on its way here: ask once more.
    draft: async (said) => { await preview(said, true); again(); },
    level: () => {},
    note: (said) => say(said.note),
    step: (said) => {
      const version = work(said.work);
      if (version) version.progress = said;
      if (said.shown) preview(said, false);
      if (!mine(said)) return;
      state.curve.push([said.level, said.total]);
      showStep(said);
      showCurve();
      at("stop").hidden = false;
    },
  });
  source.onerror = () => { if (!state.lost) { state.lost = true; at("painter").textContent = "The studio does not answer. No data is lost. Run impasto studio again."; } };
}

// --- the beginning ------------------------------------------------------------------------------

function wiring() {
  onClick("paint", paint);
  on("stop", "click", async () => { const painting = underWay(); if (painting) await post(`/api/works/${painting.id}/stop`); });
  onClick("resume", async () => took(await post(`/api/works/${state.shown}/resume`)));
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
  on("keep", "click", changeKeep);
  onClick("mask-done", maskDone);
  on("mask-cancel", "click", endMask);
  for (const each of ["brush", "eraser", "picker"]) on(each, "click", () => tool(each));
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
  at("presets").after(element("button", { id: "several", onclick: () => at("sweep").showModal() }, "several …"));
  at("sweep-setting").append(...state.about.settings.map((each) => new Option(each.label, each.name)));
  at("sweep-setting").value = "strength";
  onClick("sweep-go", () => attempt(at("sweep-values"), async () => {
    const values = at("sweep-values").value.split(/[,;]\s*/).filter(Boolean);
    const swept = await post(`/api/sessions/${state.session.id}/sweep`, { vary: { [at("sweep-setting").value]: values } });
    at("sweep").close();
    await took({ id: swept.works[0] });
  }));
}

const begin = safely(async () => {
  state.about = await get("/api/about");
  state.about.notes.forEach(say);
  panel = new Panel(state.about, changed);
  wiring();
  pointers();
  state.wanted = location.hash.slice(1);
  await load(await loadState());
  dropping();
  hearing();
  document.body.dataset.ready = "yes";
});

window.studio = { state, view }; // for whoever looks inside, and for tests
begin();
