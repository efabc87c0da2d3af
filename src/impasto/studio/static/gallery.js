// The styles to choose from, the user's collection, the sample photos and the examples.

import { post, remove } from "./api.js";
import { at, during, element, icon, notify, once, safely, withoutEnding } from "./dom.js";
import { changeSession, paint } from "./session.js";
import { state, styleEntries } from "./state.js";

const addSample = (name, label) => during(`Preparing ${label} …`, () => post(`/api/samples/${name}`));

export async function useImage({ id }, role) {
  if (role !== "content") {
    await changeSession({ paintings: [...styleEntries(state.session.paintings), { picture: id, share: 1, scale: 1 }] });
    return;
  }
  const kept = state.session.photograph && (state.session.keep || state.session.regions.length);
  await changeSession({ photograph: id });
  if (kept) notify("The areas were kept for the new photo: check that they still fit.");
}

// Uses a style alone, or beside the others. A single style is replaced, several are not.
async function useStyle({ id }, beside) {
  const others = styleEntries(state.session.paintings).filter((each) => each.picture !== id);
  await changeSession({ paintings: [...(beside || others.length > 1 ? others : []), { picture: id, share: 1, scale: 1 }] });
}

const isUsed = (name) => state.session.paintings.some((each) => withoutEnding(each.picture.name) === name);

function thumb({ label, picture, used, use, add = null, drop = null }) {
  const few = state.session.paintings.length > 0 && !used;
  return element("li", {},
    element("button", { className: "thumb", "aria-pressed": String(used), onclick: once(use) },
      element("img", { src: picture, alt: "", loading: "lazy" }), element("span", {}, label)),
    add && few ? element("button", { className: "corner", title: `Add ${label} to the other styles`, "aria-label": `Add ${label} to the other styles`, onclick: once(add) }, icon("plus")) : null,
    drop ? element("button", { className: "corner left", title: `Remove ${label} from your paintings`, "aria-label": `Remove ${label} from your paintings`, onclick: once(drop) }, icon("x")) : null);
}

let shown = ""; // what the gallery shows

// Unchanged parts stay, since a click on a button that is replaced meanwhile is lost.
export function showGallery() {
  const { samples } = state.about, now = JSON.stringify([state.session.paintings.map(({ picture }) => picture.id), state.collection.map(({ id }) => id)]);
  at("photo-samples").hidden = Boolean(state.session.photograph);
  if (now === shown) return;
  shown = now;
  at("gallery").replaceChildren(...samples.paintings.map(({ name, label, picture }) => {
    const take = async (beside) => useStyle(await addSample(name, label), beside);
    return thumb({ label, picture, used: isUsed(name), use: () => take(false), add: () => take(true) });
  }));
  at("collection").replaceChildren(...state.collection.map((image) => thumb({
    label: withoutEnding(image.name), picture: image.thumb,
    used: state.session.paintings.some((each) => each.picture.id === image.id),
    use: () => useStyle(image, false), add: () => useStyle(image, true),
    drop: () => remove(`/api/collection/${image.id}`),
  })));
}

async function tryExample({ content, style }) {
  const label = state.about.samples.paintings.find((each) => each.name === style).label;
  const photo = await addSample(content, "the photo"), painting = await addSample(style, label);
  await changeSession({ photograph: photo.id, paintings: [{ picture: painting.id, share: 1, scale: 1 }] });
  await paint();
}

export function wireGallery() {
  const { samples, examples } = state.about;
  const pictureOf = (list, name) => list.find((each) => each.name === name);
  at("photos").append(...samples.photographs.map(({ name, label, picture }) => element("li", {},
    element("button", { className: "thumb", onclick: once(async () => useImage(await addSample(name, label), "content")) },
      element("img", { src: picture, alt: "", loading: "lazy" }), element("span", {}, label)))));
  at("examples").append(...examples.map((each) => {
    const style = pictureOf(samples.paintings, each.style), photo = pictureOf(samples.photographs, each.content);
    return element("li", {}, element("button", { className: "example", onclick: safely(() => tryExample(each)), "aria-label": `Try it: ${photo.label} as ${style.label}` },
      element("img", { className: "result", src: each.picture, alt: "" }),
      element("span", { className: "pair" }, element("img", { src: photo.picture, alt: "" }), icon("plus"), element("img", { src: style.picture, alt: "" })),
      element("span", { className: "try" }, icon("play"), "Try it"), element("span", { className: "soft" }, style.label)));
  }));
}
