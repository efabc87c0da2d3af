// Plays the clip: the painted one as a video, any other as a sequence of frames.

import { showCanvas } from "./canvas.js";
import { frameAt, label, range, shownClip, timeOf } from "./clip.js";
import { at, notify, on, safely } from "./dom.js";
import { findJob, state } from "./state.js";
import { goTo } from "./timeline.js";

let paused = false; // by holding the button for the original

const video = () => at("video");
const url = () => findJob(state.shown)?.video?.url ?? null;

export const play = safely(async () => {
  if (!shownClip() || state.masking) return;
  const [first, last] = range();
  if (state.position < first || state.position >= last) goTo(first);
  state.playing = true;
  showPlayer();
  if (url()) await playVideo(); else playFrames();
});

async function playVideo() {
  const [first] = range(), source = new URL(url(), location.href).href;
  if (video().src !== source) video().src = url();
  video().currentTime = Math.max(0, timeOf(state.position) - timeOf(first) + 0.001);
  try {
    await video().play();
  } catch (error) {
    if (error.name === "AbortError") return; // paused before it began
    pause();
    notify("This browser cannot play the clip: download it instead.");
    return;
  }
  video().hidden = !state.playing;
  const follow = () => {
    if (!state.playing || video().hidden) return;
    goTo(frameAt(video().currentTime + timeOf(range()[0])));
    requestAnimationFrame(follow);
  };
  follow();
}

// Shows the frames of the canvas in the speed of the clip, as fast as they load.
function playFrames() {
  const [first, last] = range(), offset = timeOf(state.position), began = performance.now();
  const length = timeOf(last) - timeOf(first) + 1 / (shownClip().clip.rate || 25);
  const next = safely(async () => {
    if (!state.playing || !video().hidden || !shownClip()) return;
    const since = offset - timeOf(first) + (performance.now() - began) / 1000;
    const number = Math.min(last, frameAt(timeOf(first) + (since % length)));
    if (number !== state.position) { goTo(number); await showCanvas(); }
    requestAnimationFrame(next);
  });
  next();
}

export function pause() {
  if (!state.playing) return;
  state.playing = false;
  video().pause();
  video().hidden = true;
  showPlayer();
  safely(showCanvas)();
}

export const togglePlay = () => (state.playing ? pause() : play());

/** Stops the video while the original is shown, and continues it afterwards. */
export function pauseWhileHeld(held) {
  if (held && state.playing) { paused = true; pause(); } else if (!held && paused) { paused = false; play(); }
}

export function showPlayer() {
  label("play", state.playing ? "pause" : "play", state.playing ? "Pause" : "Play");
  const sound = Boolean(url()) && shownClip()?.clip.sound;
  at("sound").hidden = !sound;
  label("sound", video().muted ? "volume-x" : "volume-2", video().muted ? "Sound is off" : "Sound is on");
}

export function wirePlayer() {
  on("play", "click", togglePlay);
  at("sound").addEventListener("click", () => { video().muted = !video().muted; showPlayer(); });
  video().addEventListener("click", pause);
  showPlayer();
}
