// The versions of a session: the strip, the grid, and what can be done with the shown version.

import { get, patch, post, remove } from "./api.js";
import { showLegend } from "./areas.js";
import { showCanvas, showCompare } from "./canvas.js";
import { goToVersion } from "./clip.js";
import { ask, at, attempt, during, element, icon, notify, on, onClick, once, safely } from "./dom.js";
import { useImage } from "./gallery.js";
import { pause, showPlayer } from "./player.js";
import { showProgress } from "./progress.js";
import { changeSession, showJob } from "./session.js";
import { openSheet } from "./sheet.js";
import { findJob, runningJob, state, status, summary, title } from "./state.js";
import { showTimeline, useAsKey } from "./timeline.js";

export function showVersions() {
  const { works } = state.session;
  at("versions").hidden = at("versions-head").hidden = !works.length;
  at("versions").replaceChildren(...works.map((each) => element("li", { "aria-current": String(each.id === state.shown) },
    element("button", { className: "version", onclick: safely(() => select(each.id)), title: title(each) },
      element("img", { src: each.preview ?? each.content?.thumb ?? "icon.svg", alt: "", loading: "lazy" }),
      element("span", {}, summary(each)), element("span", { className: "soft" }, status(each))), star(each))));
  showVersion();
  if (at("grid").open) showGrid();
  const running = runningJob();
  at("stop").hidden = !running;
  at("steering").hidden = !running || running.kind === "clip";
  at("resume").hidden = !findJob(state.shown)?.resumable;
  at("resume").textContent = findJob(state.shown)?.state === "failed" ? "Try again" : "Resume";
}

const star = (version) => element("button", { className: "corner star", "aria-pressed": String(version.starred), title: "Star", "aria-label": `Star ${title(version)}`,
  onclick: safely(() => changeVersion(version, { starred: !version.starred })) }, icon("star"));

/** @type {(version: JobInfo, changes: VersionChanges) => Promise<void>} */
async function changeVersion(version, changes) {
  Object.assign(version, await patch(`/api/works/${version.id}`, changes));
  showVersions();
}

function showVersion() {
  const version = findJob(state.shown), panel = at("version");
  panel.hidden = !version;
  if (!version || panel.contains(document.activeElement) && document.activeElement.matches("input") && panel.dataset.id === version.id) return;
  panel.dataset.id = version.id;
  const rows = version.differs.map(([name, was, now]) =>
    element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, was || "–"), element("td", {}, now || "–")));
  const name = element("input", { id: "version-name", value: version.name, placeholder: summary(version), maxLength: 80, "aria-label": "Name of this version", autocomplete: "off" });
  name.addEventListener("change", () => attempt(name, () => changeVersion(version, { name: name.value.trim() }), () => version.name));
  panel.replaceChildren(
    element("h2", {}, "This version"), name,
    ...(version.error ? [element("p", { className: "warning" }, version.error)] : []),
    ...(version.result ? resultParts(version) : []),
    ...(version.video?.url ? [clipParts(version)] : []),
    element("div", { className: "row" },
      element("button", { onclick: safely(() => useRecipe(version)) }, "Use its settings"),
      version.sheet ? element("button", { onclick: safely(() => openSheet(version.sheet)) }, "Sheet") : null,
      element("button", { disabled: version.state === "painting", onclick: once(() => removeVersions([version])) }, icon("trash-2"), "Delete")),
    ...(rows.length ? [element("details", {}, element("summary", {}, "What has changed"), element("table", {}, element("tbody", {}, ...rows)))] : []));
}

function resultParts(version) {
  const url = `/api/works/${version.id}`;
  const size = element("input", { type: "number", id: "larger-size", defaultValue: 2 * (parseInt(version.recipe.size) || 512), min: 64, max: 65536, "aria-label": "Longest side of the larger image in px" });
  const link = (ending, text, ...about) => element("a", { className: "button", href: `${url}/picture.${ending}?download`, download: "" }, ...about, text);
  const canCopy = Boolean(navigator.clipboard?.write && window.ClipboardItem);
  return [
    element("div", { className: "downloads" }, link("png", "PNG", icon("download")), link("jpg", "JPEG", icon("download")), link("tif", "TIFF", icon("download")),
      canCopy ? element("button", { onclick: once(() => copy(version)), title: "Copy the image to the clipboard" }, icon("copy"), "Copy") : null,
      version.film ? element("button", { onclick: once(() => saveFilm(version)), title: "An MP4 of the growing picture" }, icon("film"), "Film") : null),
    element("div", { className: "row" }, size, element("span", { className: "soft" }, "px"), element("button", { onclick: once(() => attempt(size, async () => showJob(await post(`${url}/finish`, { size: Number(size.value) })), () => size.defaultValue)) }, "Finish larger")),
    element("div", { className: "row" },
      version.kind === "frame" ? element("button", { onclick: once(() => useAsKey(version)) }, icon("diamond"), "Use as key frame")
        : element("button", { onclick: once(() => useResult(version, "content")) }, "Use as content"),
      element("button", { onclick: once(() => useResult(version, "style")) }, "Use as style")),
  ];
}

// The download of a painted clip; of a stopped one, of the frames so far.
function clipParts({ id, video, state: now }) {
  const name = video.url.replace(/.*\/|\?.*/g, ""), kind = name.endsWith(".webm") ? "WebM" : "MP4";
  return element("div", { className: "row downloads" }, element("a", { className: "button", href: `/api/works/${id}/clip/${name}?download`, download: "" },
    icon("download"), now === "done" ? kind : `${kind} of the frames so far`));
}

async function saveFilm(version) {
  const blob = await during("Making the film …", () => get(`/api/works/${version.id}/film.mp4`));
  save(blob, `${version.stem}.mp4`);
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

async function copy(version) {
  await navigator.clipboard.write([new ClipboardItem({ "image/png": get(version.result) })]);
  notify("The image is in the clipboard.");
}

const useResult = async (version, role) => useImage(await during("Preparing the image …", () => post(`/api/works/${version.id}/picture`)), role);

async function useRecipe(version) {
  const names = Object.keys(version.recipe).filter((name) => !["finished", "init", "blend", "tile", "precision"].includes(name));
  /** @type {SessionChanges} */
  const changes = { recipe: Object.fromEntries(names.map((name) => [name, version.recipe[name] || null])) };
  if (version.video && version.content?.id === state.session.photograph?.id) {
    const { first, last, steady, every, hold, cuts } = version.video;
    changes.clip = { first, last, steady, every, hold, cuts };
  }
  await changeSession(changes);
}

async function removeVersions(versions) {
  const text = versions.length === 1 ? "Delete this version and its files?" : `Delete ${versions.length} versions and their files?`;
  if (!await ask(text, "Delete", "Keep")) return;
  for (const { id } of versions) {
    await remove(`/api/works/${id}`);
    state.chosen.delete(id);
  }
}

export async function select(id) {
  pause();
  state.shown = id;
  state.curve = [];
  state.follow = findJob(id)?.state === "painting";
  goToVersion();
  showVersions();
  showCompare();
  showLegend();
  showTimeline();
  showPlayer();
  await showCanvas();
  await showProgress();
}

export function step(way) {
  const { works } = state.session, number = works.findIndex((each) => each.id === state.shown);
  const next = works[Math.max(0, Math.min(works.length - 1, number + way))];
  if (next) safely(select)(next.id);
}

// --- the grid -----------------------------------------------------------------------------------

function showGrid() {
  const { works } = state.session;
  at("grid-cells").replaceChildren(...works.map((each) => {
    const box = element("input", { type: "checkbox", checked: state.chosen.has(each.id), "aria-label": `Select ${title(each)}` });
    box.addEventListener("change", () => {
      if (box.checked) state.chosen.add(each.id); else state.chosen.delete(each.id);
      showChosen();
    });
    return element("div", { className: "cell" },
      element("button", { onclick: safely(() => { at("grid").close(); return select(each.id); }) },
        element("img", { src: each.preview ?? each.content?.thumb ?? "icon.svg", alt: "", loading: "lazy" }), element("span", {}, title(each))),
      element("label", { className: "choose-box" }, box), star(each));
  }));
  showChosen();
}

const isFinished = (version) => Boolean(version.result || version.video?.url);
const chosen = () => state.session.works.filter((each) => state.chosen.has(each.id));

function showChosen() {
  const count = chosen().length;
  at("grid-text").textContent = count ? `${count} selected` : "Select versions to download or delete them.";
  at("grid-zip").disabled = !chosen().some(isFinished);
  at("grid-delete").disabled = !count;
}

function choose(wanted) {
  state.chosen = new Set(state.session.works.filter(wanted).map((each) => each.id));
  showGrid();
}

// On a phone, what can be done with a version is under the image, else beside it.
function placeVersion() {
  const phone = matchMedia("(max-width: 660px)");
  const place = () => (phone.matches ? at("center").append(at("version")) : at("steering").after(at("version")));
  phone.addEventListener("change", place);
  place();
}

export function wireVersions() {
  placeVersion();
  on("grid-open", "click", () => { showGrid(); at("grid").showModal(); });
  on("grid-all", "click", () => choose(() => chosen().length < state.session.works.length));
  on("grid-stars", "click", () => choose((each) => each.starred));
  onClick("grid-delete", () => removeVersions(chosen().filter((each) => each.state !== "painting")));
  onClick("grid-zip", async () => {
    const ids = chosen().filter(isFinished).map((each) => each.id);
    save(await during("Packing the images …", () => get(`/api/results.zip?works=${ids.join(",")}`)), "impasto.zip");
  });
  onClick("resume", async () => showJob(await post(`/api/works/${state.shown}/resume`)));
}
