// The session: requests that change it, and what the page shows of it.

import { get, patch, post } from "./api.js";
import { areaText, chooseTints, loadAreas, showLegend } from "./areas.js";
import { showCanvas, showCompare } from "./canvas.js";
import { goToVersion, loadClip } from "./clip.js";
import { showClipSettings } from "./clip-settings.js";
import { at, attempt, element, icon, safely } from "./dom.js";
import { showGallery } from "./gallery.js";
import { beginMask, changeProtected } from "./masking.js";
import { showPlayer } from "./player.js";
import { showProgress, showQueue } from "./progress.js";
import { forecast, showSettings } from "./settings.js";
import { findJob, regionEntries, runningJob, state, styleEntries, styleLabel } from "./state.js";
import { goTo, showTimeline } from "./timeline.js";
import { showVersions } from "./versions.js";

export function show() {
  const { session } = state;
  if (!session) return;
  document.body.classList.toggle("empty", !session.photograph);
  at("content-thumb").hidden = !session.photograph;
  at("content").classList.toggle("filled", Boolean(session.photograph));
  at("content-text").textContent = session.photograph ? "Replace" : "Drop a photo or clip, or click to choose one";
  if (session.photograph) {
    at("content-thumb").src = session.photograph.thumb;
    at("content-thumb").alt = session.photograph.name;
  }
  showStyles();
  at("missing").hidden = !session.missing.length;
  at("missing").textContent = `Missing in the studio's folder: ${session.missing.join(", ")}. Add it again.`;
  showGallery();
  showSettings();
  showReason();
  showVersions();
  showCompare();
  showLegend();
  showClip();
  forecast();
}

function showClip() {
  showClipSettings();
  showTimeline();
  showPlayer();
  chooseTints();
  loadAreas();
  loadClip().then((loaded) => { if (loaded) { showTimeline(); forecast(); safely(showCanvas)(); } });
}

let shown = ""; // the styles and areas that the page shows

// Unchanged fields stay, since a field that is replaced loses what the user is typing.
function showStyles() {
  const { paintings, regions, keep, keep_frame: frame, photograph } = state.session;
  const now = JSON.stringify([paintings, regions, keep, frame, photograph?.id, state.clip?.complete]);
  if (now === shown) return;
  shown = now;
  at("styles").replaceChildren(...paintings.map(styleRow));
  const areas = regions.map(regionRow);
  if (keep) areas.unshift(protectedRow());
  at("areas").replaceChildren(...areas);
  at("areas-part").hidden = !areas.length;
}

// Why the button Paint is disabled.
export function showReason() {
  const { photograph, paintings, regions } = state.session;
  const hasStyle = paintings.length + regions.length > 0;
  at("paint").disabled = !photograph || !hasStyle || Boolean(state.masking);
  const needed = [photograph ? "" : "a photo", hasStyle ? "" : "a style"].filter(Boolean).join(" and ");
  at("why").textContent = needed ? `Choose ${needed} to paint.` : state.masking ? "Finish the mask to paint." : "";
}

function styleRow(each, number) {
  const { paintings } = state.session, name = styleLabel(each.picture.name);
  const change = (field) => ({ target }) => attempt(target, () => changeSession({
    paintings: styleEntries(paintings, (other, at) => (at === number ? { ...other, [field]: target.valueAsNumber } : other)),
  }), () => each[field]);
  const field = (key, label, about) => element("label", {}, label,
    element("input", { type: "number", value: each[key], onchange: change(key), "aria-label": `${label} of ${name}`, ...about }));
  return element("li", {}, element("img", { src: each.picture.thumb, alt: "" }),
    element("div", { className: "fields" }, element("p", { className: "name" }, name),
      paintings.length > 1 ? field("share", "Weight", { min: 0, max: 1000, step: 0.1 }) : null,
      paintings.length > 1 || each.scale !== 1 ? field("scale", "Stroke size", { min: 0.1, max: 10, step: 0.1 }) : null,
      element("div", { className: "row" },
        element("button", { onclick: safely(() => beginMask("region", each.picture)), "aria-label": `Use ${name} in one area`, title: "Paint the part of the photo that has this style" }, "Use in one area"),
        element("button", { className: "quiet", onclick: safely(() => changeSession({ paintings: styleEntries(paintings).filter((_, at) => at !== number) })), title: "Remove", "aria-label": `Remove ${name}` }, icon("x")))));
}

function regionRow(each, number) {
  return areaRow(each.painting.thumb, `${styleLabel(each.painting.name)}, in one area`, each.frame, () =>
    changeSession({ regions: regionEntries().filter((_, at) => at !== number) }), () => beginMask("region", each.painting, each.mask, number, each.feather, each.frame));
}

const protectedRow = () => areaRow(state.session.keep.url, "Protected", state.session.keep_frame, () => changeSession({ keep: null, keep_frame: null }), changeProtected);

function areaRow(thumb, label, frame, removeArea, edit) {
  const where = areaText(frame);
  const place = frame === null || !where ? element("p", { className: "help" }, where)
    : element("button", { className: "quiet where", title: "Show this frame", onclick: safely(() => { state.shown = null; goTo(frame); return showCanvas(); }) }, where);
  return element("li", {}, element("img", { src: thumb, alt: "" }), element("div", { className: "fields" },
    element("p", { className: "name" }, label), where ? place : null, element("div", { className: "row" },
      element("button", { onclick: safely(edit), "aria-label": `Edit the mask: ${label}` }, "Change"),
      element("button", { className: "quiet", onclick: safely(removeArea), title: "Remove", "aria-label": `Remove: ${label}` }, icon("x")))));
}

// Answers may arrive in another order than their requests: one that is older than what is shown is dropped.
let sent = 0, applied = 0;

function isNewer(request) {
  if (request < applied) return false;
  applied = request;
  return true;
}

/** @param {SessionChanges} changes */
export async function changeSession(changes) {
  const mine = ++sent;
  const changed = await patch(`/api/sessions/${state.session.id}`, changes);
  if (changed.id !== state.wanted) return;
  if (isNewer(mine)) state.session = changed;
  if ("photograph" in changes) { state.shown = null; state.position = 0; }
  show();
  if (["photograph", "keep", "regions"].some((each) => each in changes)) await showCanvas();
}

export async function load(id) {
  state.wanted = id;
  const mine = ++sent;
  /** @type {SessionInfo} */
  const found = await get(`/api/sessions/${id}`);
  if (state.wanted !== id || !isNewer(mine)) return;
  state.session = found;
  if (!findJob(state.shown)) state.shown = (runningJob() ?? state.session.works[0])?.id ?? null;
  location.hash = id;
  goToVersion();
  show();
  await showCanvas();
  await showProgress();
}

// Shows the sessions and the queue. Returns the id of the session to show, if necessary another.
export async function loadState() {
  /** @type {StudioState} */
  const found = await get("/api/state");
  state.queue = found.queue;
  state.collection = found.collection;
  showWorker(found.worker);
  showSkipped(found.skipped);
  if (!found.sessions.length) found.sessions.push(await post("/api/sessions"));
  at("sessions").replaceChildren(...found.sessions.map((each, number) =>
    new Option(each.name ? `${found.sessions.length - number} · ${each.name}` : `Session ${found.sessions.length - number}`, each.id)));
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

export function showWorker(worker) {
  state.worker = worker;
  const texts = { starting: "The painter is starting …", ready: "", painting: "" };
  at("worker").textContent = texts[worker] ?? worker;
}

// Loads the state and the session again, once for events in quick succession.
export const refresh = (() => {
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
      if (state.shown && !findJob(state.shown) && !state.masking) state.shown = (runningJob() ?? state.session.works[0])?.id ?? null;
      show();
      if (!state.masking) { await showCanvas(); await showProgress(); }
    }), 60);
  };
})();

export async function paint() {
  const before = findJob(state.shown)?.id ?? state.session.works[0]?.id ?? null;
  showJob(await post(`/api/sessions/${state.session.id}/paint`, { before }));
}

export function showJob({ id }) {
  state.shown = id;
  state.curve = [];
  state.follow = true;
  return load(state.session.id);
}
