// The state of the page, and what follows from it.

import { at, withoutEnding } from "./dom.js";
import { View } from "./view.js";

export const view = new View(at("canvas"));

/** @type {State} */
export const state = {
  about: null, session: null,
  wanted: null, // the id of the session to show; answers about other sessions are ignored
  worker: "starting", queue: [], collection: [],
  shown: null, // the id of the version on the canvas; null shows the content image
  images: new Map(), // by URL
  masking: null, // the mask editor, while it is open
  curve: [], forecastAsked: 0, expected: "", chosen: new Set(), panel: null, held: false,
  clip: null, // the frames of the shown clip
  areas: [], // the frames for which the areas of a clip are known
  position: 0, // the number of the shown frame
  follow: true, // whether the position follows the painter
  playing: false, canvasAsked: 0, canvasShown: 0,
};

/** @type {(id: string) => JobInfo | null} */
export const findJob = (id) => state.session?.works.find((each) => each.id === id) ?? null;
export const runningJob = () => state.session?.works.find((each) => each.state === "painting") ?? null;

const STATES = { queued: "queued", painting: "running", done: "", stopped: "stopped", failed: "failed" };
const UNNAMED = ["precision", "tile", "finished", "init", "blend"];

/** @type {(sheet: string) => string[]} Returns the settings in which the versions of a sheet differ. */
export function variedIn(sheet) {
  const cells = state.session.works.filter((each) => each.sheet === sheet);
  return Object.keys(cells[0].recipe).filter((name) => new Set(cells.map((each) => each.recipe[name])).size > 1 && name !== "precision");
}

/** @type {(version: JobInfo) => string} Returns the settings of a version in which its sheet varies. */
export const variedText = (version) => variedIn(version.sheet).map((name) => `${name.replaceAll("_", " ")} ${version.recipe[name]}`).join(", ");

// Returns what varied from the version before or in its sheet, or the styles and the size of a first version.
export function summary(version) {
  const words = version.differs.filter(([name]) => !UNNAMED.includes(name)).slice(0, 2)
    .map(([name, , now]) => `${name.replaceAll("_", " ")} ${now}`);
  const styles = version.styles.slice(0, 2).map(styleLabel).join(" + ");
  const what = words.join(", ") || (version.sheet && findJob(version.id) ? variedText(version) : "") || [styles, `${version.recipe.size}\u00a0px`].filter(Boolean).join(", ");
  return version.name || (version.kind === "frame" ? `Frame ${version.frame + 1}: ${what}` : what);
}

export const status = (version) => STATES[version.state] || (version.sheet ? "from a sheet" : version.steered ? "changed during the run" : "");
export const title = (version) => [summary(version), STATES[version.state]].filter(Boolean).join(" · ");

/** @type {(styles: StyleInfo[], change?: (each: StyleInfo, number: number) => StyleInfo) => StyleEntry[]} */
export const styleEntries = (styles, change = (each) => each) =>
  styles.map((each, number) => {
    const { picture: { id }, share, scale } = change(each, number);
    return { picture: id, share, scale };
  });

/** @type {() => RegionEntry[]} */
export const regionEntries = () => state.session.regions.map(({ mask, painting, scale, feather, frame }) => ({ mask: mask.id, painting: painting.id, scale, feather, frame }));

// Returns the name of a style image as the gallery has it.
export function styleLabel(name) {
  const stem = withoutEnding(name);
  return state.about.samples.paintings.find((each) => each.name === stem)?.label ?? stem;
}
