// The page: loads the session, connects its parts, and handles the events of the server.

import { get, listen, post, remove } from "./api.js";
import { noteArea, reloadAreas, wireAreas } from "./areas.js";
import { showCanvas, wireCanvas } from "./canvas.js";
import { loadClip } from "./clip.js";
import { wireClipSettings } from "./clip-settings.js";
import { ask, at, notify, on, onClick, safely } from "./dom.js";
import { wireGallery } from "./gallery.js";
import { wireInputs } from "./inputs.js";
import { wireKeys } from "./keys.js";
import { endMask, wireMasking } from "./masking.js";
import { wirePlayer } from "./player.js";
import { wirePointers } from "./pointers.js";
import { showCurve, showFrame, showPreparing, showStep } from "./progress.js";
import { load, loadState, paint, refresh, showWorker } from "./session.js";
import { wireSettings } from "./settings.js";
import { wireSheet } from "./sheet.js";
import { findJob, runningJob, state, view } from "./state.js";
import { goTo, showTimeline, wireTimeline } from "./timeline.js";
import { wireVersions } from "./versions.js";

// --- events -------------------------------------------------------------------------------------

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
      if (state.lost) { state.lost = false; notify("the studio is available again"); refresh(); reloadAreas(); }
    },
    state: ({ worker }) => { showWorker(worker); refresh(); },
    work: refresh,
    // An answer from before the draft may arrive after this event: load the session again.
    draft: async (message) => {
      const version = findJob(message.work);
      if (version) version.left = message.left;
      if (isShown(message)) showPreparing(message.left);
      await showPreview(message, true);
      refresh();
    },
    note: ({ note }) => notify(note),
    frame: safely(async (message) => {
      const version = findJob(message.work);
      if (!version?.video) return;
      version.progress = message;
      version.draft = false;
      if (message.written) Object.assign(version.video, { done: message.count, latest: Math.max(version.video.latest ?? 0, message.number) });
      if (message.shown) version.preview = `/api/works/${message.work}/preview.jpg?${Date.now()}`;
      if (!isShown(message)) return;
      showFrame(message);
      at("stop").hidden = false;
      if (state.follow && !state.playing) goTo(message.number, true); else showTimeline();
    }),
    reading: safely(async ({ picture, read, complete }) => {
      if (state.clip?.picture !== picture) return;
      state.clip.read = read;
      if (complete) { await loadClip(true); await showCanvas(); refresh(); }
      showTimeline();
    }),
    area: noteArea,
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

async function share() {
  /** @type {ShareInfo} */
  const { address, code } = await post("/api/share");
  at("share-code").src = URL.createObjectURL(new Blob([code], { type: "image/svg+xml" }));
  at("share-address").textContent = address;
  at("share-dialog").showModal();
}

function wireControls() {
  onClick("paint", async () => { showPreparing(""); await paint(); });
  on("stop", "click", async () => { const running = runningJob(); if (running) await post(`/api/works/${running.id}/stop`); });
  onClick("new-session", async () => { const made = await post("/api/sessions"); state.shown = null; state.wanted = made.id; await load(await loadState()); });
  onClick("remove-session", async () => {
    if (!await ask("Delete this session and all of its versions?", "Delete", "Keep")) return;
    await remove(`/api/sessions/${state.session.id}`);
    state.shown = state.wanted = null;
    await load(await loadState());
  });
  on("sessions", "change", async () => { state.shown = null; if (state.masking) endMask(); await load(at("sessions").value); });
  at("help").addEventListener("click", () => at("keys").showModal());
  at("share").hidden = !state.about.shares;
  onClick("share", share);
}

const begin = safely(async () => {
  state.about = await get("/api/about");
  state.about.notes.forEach(notify);
  wireSettings();
  for (const wire of [wireControls, wireCanvas, wireAreas, wireVersions, wireMasking, wireSheet, wirePointers, wireKeys, wireGallery, wireTimeline, wirePlayer, wireClipSettings]) wire();
  state.wanted = location.hash.slice(1);
  await load(await loadState());
  wireInputs();
  subscribe();
  document.body.dataset.ready = "yes";
});

window.studio = { state, view }; // for tests, and for the browser's console
begin();
