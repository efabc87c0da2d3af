// The progress of the shown version, and the queue.

import { get, post, remove } from "./api.js";
import { at, element, icon, safely } from "./dom.js";
import { findJob, state, title } from "./state.js";

export async function showProgress() {
  const version = findJob(state.shown);
  at("progress").hidden = !version || !(["painting", "queued", "done", "stopped"].includes(version.state) || state.curve.length);
  if (!version) return;
  if (!state.curve.length && version.state !== "queued" && !version.video) {
    /** @type {JobDetails} */
    const known = await get(`/api/works/${version.id}`);
    if (state.shown !== version.id) return;
    state.curve = known.history.map((each) => [each[0], each[1]]);
  }
  at("bar").hidden = !["painting", "queued"].includes(version.state);
  at("run-details").hidden = Boolean(version.video);
  if (version.state === "queued") showWaiting(version);
  else if (version.state === "painting") {
    if (version.progress?.event === "frame") showFrame(version.progress);
    else if (version.progress) showStep(version.progress);
    else showPreparing(version.left ?? "");
  } else {
    const frames = version.video ? `${version.video.done} frames painted` : "Painted";
    at("percent").textContent = version.seconds ? `${frames} in ${duration(version.seconds)}` : "";
    at("level").textContent = `${state.curve.length} evaluations`;
  }
  showCurve();
}

const duration = (seconds) => (seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`);

function showWaiting(version) {
  const place = state.queue.findIndex((each) => each.id === version.id) + 1;
  at("bar").removeAttribute("value");
  at("percent").textContent = place > 1 ? `Position ${place} of ${state.queue.length} in the queue`
    : state.worker === "starting" ? "Waiting for the painter to start" : "Next in the queue";
  at("level").textContent = "";
}

// Before the first step; `left` is the time left as text.
export function showPreparing(left) {
  at("progress").hidden = at("bar").hidden = false;
  at("bar").value = 0;
  const expected = left || (state.expected ? `${state.expected} left` : "");
  at("percent").textContent = ["0 %", expected || "preparing"].join(" · ");
  at("level").textContent = "preparing the images";
}

/** @param {StepMessage} step */
export function showStep(step) {
  at("progress").hidden = at("bar").hidden = false;
  at("bar").value = step.done;
  at("percent").textContent = [`${Math.floor(100 * step.done)} %`, step.left || "measuring the time"].join(" · ");
  at("level").textContent = [`level ${step.level} of ${step.levels}`, `evaluation ${step.evaluation} of ${step.evaluations}`, `loss ${step.total.toPrecision(3)}`].join(", ");
}

/** @param {FrameMessage} message */
export function showFrame(message) {
  const { count, frames, shot, shots, done, left } = message;
  at("progress").hidden = at("bar").hidden = false;
  at("bar").value = done;
  const texts = [`${Math.floor(100 * done)} %`, `${count} of ${frames} frames`, shots > 1 ? `shot ${shot} of ${shots}` : "", left || "measuring the time"];
  at("percent").textContent = texts.filter(Boolean).join(" · ");
}

export function showCurve() {
  const values = state.curve.map(([, total]) => Math.log(Math.max(total, 1e-9)));
  const least = Math.min(...values), range = Math.max(...values) - least || 1;
  at("line").setAttribute("points", values.map((value, number) =>
    `${(200 * number) / Math.max(1, values.length - 1)},${38 - (36 * (value - least)) / range}`).join(" "));
}

export function showQueue() {
  const waiting = state.queue.filter((each) => each.state === "queued");
  at("queue-part").hidden = !waiting.length;
  at("queue").replaceChildren(...waiting.map((each, number) => element("li", {},
    element("img", { src: each.preview ?? each.content?.thumb ?? "icon.svg", alt: "" }),
    element("div", { className: "fields" }, element("p", { className: "name" }, title(each)), element("div", { className: "row" },
      number ? element("button", { "aria-label": `Move ${title(each)} up`, onclick: safely(() => moveUp(waiting, number)) }, icon("chevron-up"), "Move up") : null,
      element("button", { className: "quiet", title: "Remove", "aria-label": `Remove ${title(each)} from the queue`, onclick: safely(() => remove(`/api/works/${each.id}`)) }, icon("x")))))));
}

function moveUp(waiting, number) {
  const order = waiting.map((each) => each.id);
  order.splice(number - 1, 0, ...order.splice(number, 1));
  return post("/api/queue", { order });
}
