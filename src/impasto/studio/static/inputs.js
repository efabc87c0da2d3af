// Adding images: choosing, dropping, pasting, the camera, folders of paintings, results of impasto.

import { post, upload } from "./api.js";
import { at, during, notify, on, safely } from "./dom.js";
import { useImage } from "./gallery.js";
import { changeSession } from "./session.js";
import { state, view } from "./state.js";
import { addKey } from "./timeline.js";

const CLIP = /\.(mp4|m4v|mov|webm|mkv|avi|mpe?g|3gp|ogv|wmv|m?ts|m2ts)$/i;
const isClip = (file) => CLIP.test(file.name ?? "") || file.type?.startsWith("video/");
const ACCEPTED = at("file").accept, WITH_CLIPS = `${ACCEPTED},video/*,.mkv,.mts`;
const IMAGE = /\.(jpe?g|png|webp|tiff?|avif|hei[cf]|bmp|gif|jp2)$/i;

async function addFile(file, role) {
  if (role === "content" && isClip(file) && state.about.video) throw new Error(state.about.video);
  /** @type {UploadInfo} */
  const image = await upload(file, role === "content" ? role : "picture");
  for (const note of image.notes) notify(note);
  if (role === "key") { await addKey(image); return; }
  const choice = image.painted ? await askForUse(image) : role;
  if (choice === "settings") { await restoreSettings(image.painted); return; }
  if (choice === "style") await post("/api/collection", { picture: image.id });
  if (choice) await useImage(image, choice);
}

// Adds the images of a folder to the collection.
async function collect(files) {
  const images = files.filter((each) => IMAGE.test(each.name));
  if (!images.length) throw new Error("there are no images in this folder");
  await during(`Adding ${images.length} paintings …`, async (note) => {
    for (const [number, file] of images.entries()) {
      note(`Adding painting ${number + 1} of ${images.length} …`, number / images.length);
      await safely(async () => post("/api/collection", { picture: (await upload(file)).id }))();
    }
  });
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

// Returns the dropped files and folders; a message names other items.
function dropped({ items, files }) {
  const entries = [...items].map((each) => each.webkitGetAsEntry?.()).filter((each) => each?.isDirectory);
  if (!entries.length && !files.length) notify("the dropped item is not a file: save the image, and drop the file");
  return { folders: entries, files: [...files].filter((each) => !entries.some((entry) => entry.name === each.name)) };
}

async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader(), found = [];
  for (;;) { // a reader returns at most 100 entries at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const each of some) found.push(...await filesOf(each));
  }
}

async function addDropped(transfer, role) {
  const { folders, files } = dropped(transfer);
  for (const each of folders) {
    if (role === "style" || !role && state.session.photograph) await safely(async () => collect(await filesOf(each)))();
    else notify(`${each.name} is a folder: drop the images inside it, or the folder on “Your paintings”`);
  }
  for (const each of files) await safely(addFile)(each, role ?? missingRole(each));
}

const missingRole = (file) => (isClip(file) || !state.session.photograph ? "content" : "style");

export function wireInputs() {
  let role = "content";
  const file = at("file"), choose = (wanted, input = file, several = false) => {
    role = wanted;
    input.value = "";
    file.accept = wanted === "content" ? WITH_CLIPS : ACCEPTED;
    input.multiple = several;
    input.click();
  };
  for (const area of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".drop"))) {
    area.querySelector(".choose").addEventListener("click", () => choose(area.dataset.role, file, area.dataset.role === "style"));
    area.querySelector(".camera")?.addEventListener("click", () => choose("content", at("camera-file")));
    area.querySelector(".folder")?.addEventListener("click", () => choose("style", at("folder-files"), true));
    area.addEventListener("dragover", (event) => { event.preventDefault(); area.classList.add("over"); });
    area.addEventListener("dragleave", () => area.classList.remove("over"));
    area.addEventListener("drop", safely(async (event) => {
      event.preventDefault();
      event.stopPropagation();
      area.classList.remove("over");
      await addDropped(event.dataTransfer, area.dataset.role);
    }));
  }
  for (const input of [file, at("camera-file")]) {
    input.addEventListener("change", safely(async () => {
      for (const each of input.files) {
        if (role === "mask") state.masking.mask.add(await createImageBitmap(each)); else await addFile(each, role);
      }
      view.draw();
    }));
  }
  at("timeline").addEventListener("drop", safely(async (event) => {
    if ([...event.dataTransfer.files].some(isClip)) return; // a new clip, as anywhere on the page
    event.preventDefault();
    event.stopPropagation();
    await addDropped(event.dataTransfer, "key");
  }));
  on("folder-files", "change", () => collect([...at("folder-files").files]));
  on("import-mask", "click", () => choose("mask"));
  on("key-here", "click", () => choose("key"));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", safely(async (event) => {
    event.preventDefault();
    await addDropped(event.dataTransfer, null);
  }));
  addEventListener("paste", safely(async (event) => {
    for (const each of event.clipboardData.files) await safely(addFile)(each, missingRole(each));
  }));
}
