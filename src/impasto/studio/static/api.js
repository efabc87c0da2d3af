// What the page asks of the server. Every refusal is a sentence, which is thrown.

async function answer(response) {
  const found = response.headers.get("content-type")?.startsWith("application/json")
    ? await response.json() : await response.blob();
  if (!response.ok) throw new Error(found.error ?? `the studio answered with status ${response.status}`);
  return found;
}

async function ask(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method, body: body === undefined || body instanceof Blob ? body : JSON.stringify(body),
    });
  } catch {
    throw new Error("the studio does not answer: check that impasto studio is running");
  }
  return answer(response);
}

export const get = (path) => ask("GET", path);
export const post = (path, body = {}) => ask("POST", path, body);
export const patch = (path, body) => ask("PATCH", path, body);
export const remove = (path) => ask("DELETE", path);

// Sends a file. A browser lets a page name a folder or a missing file, and fails only as it reads it.
export async function upload(file, role = "picture") {
  await checkReadable(file);
  try {
    return await ask("POST", `/api/pictures?role=${role}&name=${encodeURIComponent(file.name ?? "picture.png")}`, file);
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

// Calls take[event](data) for everything that happens, until the page is left.
export function listen(take) {
  const source = new EventSource("/api/events");
  for (const name of Object.keys(take)) {
    source.addEventListener(name, (event) => take[name](event.data ? JSON.parse(event.data) : {}));
  }
  return source;
}
