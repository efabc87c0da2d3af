// Requests to the server. A rejected request throws an error with the server's message.

import { during } from "./dom.js";

async function parseAnswer(response) {
  const found = response.headers.get("content-type")?.startsWith("application/json")
    ? await response.json() : await response.blob();
  if (!response.ok) throw new Error(found.error ?? `the studio answered with status ${response.status}`);
  return found;
}

const SILENT = "the studio does not answer: check that impasto studio is running";

/** @type {(method: string, path: string, body?: string | Blob) => Promise<any>} */
async function request(method, path, body) {
  let response;
  try {
    response = await fetch(path, { method, body });
  } catch {
    throw new Error(SILENT);
  }
  return parseAnswer(response);
}

export const get = (/** @type {string} */ path) => request("GET", path);
export const remove = (/** @type {string} */ path) => request("DELETE", path);

/** @type {(path: string, body?: PageRequest) => Promise<any>} */
export const post = (path, body = {}) => request("POST", path, JSON.stringify(body));

/** @type {(path: string, body: PageRequest) => Promise<any>} */
export const patch = (path, body) => request("PATCH", path, JSON.stringify(body));

// Sends a file, and shows the progress. A browser accepts a folder or a missing file, and fails only when it reads it.
export async function upload(file, role = "picture") {
  await checkReadable(file);
  const name = file.name ?? "picture.png", path = `/api/pictures?role=${role}&name=${encodeURIComponent(name)}`;
  if (role === "mask") return during("Saving the mask …", () => send(file, path, () => {}));
  try {
    return await during(`Uploading ${name} …`, (note) => send(file, path, (done) =>
      (done < 1 ? note(`Uploading ${name}: ${Math.floor(100 * done)} %`, done) : note(`Reading ${name} …`))));
  } catch (error) {
    await checkReadable(file);
    throw error;
  }
}

// Fetch does not report the progress of an upload.
function send(file, path, progress) {
  return new Promise((resolve, reject) => {
    const sent = new XMLHttpRequest();
    sent.open("POST", path);
    sent.responseType = "json";
    sent.upload.onprogress = (event) => progress(event.lengthComputable ? event.loaded / event.total : 0);
    sent.upload.onload = () => progress(1);
    sent.onerror = () => reject(new Error(SILENT));
    sent.onload = () => (sent.status < 400 ? resolve(sent.response)
      : reject(new Error(sent.response?.error ?? `the studio answered with status ${sent.status}`)));
    sent.send(file);
  });
}

async function checkReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Error(`${file.name} cannot be read: it is a folder, or was moved, changed or deleted; choose it again`);
  }
}

/**
 * Calls the handler of each event of the server.
 * @param {{ [M in PageMessage as M["event"]]: (message: M) => void }} handlers
 */
export function listen(handlers) {
  const source = new EventSource("/api/events");
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (/** @type {MessageEvent} */ event) => handle(JSON.parse(event.data)));
  }
  return source;
}
