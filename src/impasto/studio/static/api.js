// Requests to the server. A rejected request throws an error with the server's message.

async function parseAnswer(response) {
  const found = response.headers.get("content-type")?.startsWith("application/json")
    ? await response.json() : await response.blob();
  if (!response.ok) throw new Error(found.error ?? `the studio answered with status ${response.status}`);
  return found;
}

/** @type {(method: string, path: string, body?: string | Blob) => Promise<any>} */
async function request(method, path, body) {
  let response;
  try {
    response = await fetch(path, { method, body });
  } catch {
    throw new Error("the studio does not answer: check that impasto studio is running");
  }
  return parseAnswer(response);
}

export const get = (/** @type {string} */ path) => request("GET", path);
export const remove = (/** @type {string} */ path) => request("DELETE", path);

/** @type {(path: string, body?: PageRequest) => Promise<any>} */
export const post = (path, body = {}) => request("POST", path, JSON.stringify(body));

/** @type {(path: string, body: PageRequest) => Promise<any>} */
export const patch = (path, body) => request("PATCH", path, JSON.stringify(body));

// Sends a file. A browser accepts a folder or a missing file, and fails only when it reads the file.
export async function upload(file, role = "picture") {
  await checkReadable(file);
  try {
    return await request("POST", `/api/pictures?role=${role}&name=${encodeURIComponent(file.name ?? "picture.png")}`, file);
  } catch (error) {
    await checkReadable(file);
    throw error;
  }
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
