// Keeps the studio of an exported folder for visits without a network. The first two lines are written by the export.
const VERSION = "";
const FILES = [];

const PREFIX = "arctone-studio-";
const CACHE = PREFIX + VERSION;

self.addEventListener("install", (event) => {
  const fresh = FILES.map((path) => new Request(path, { cache: "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(fresh)));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(dropOld().then(() => self.clients.claim()));
});

/** Older versions of the studio go; the engine's own cache of model files stays. */
async function dropOld() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)));
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { scope } = self.registration;
  if (request.method !== "GET" || !request.url.startsWith(scope)) return;
  const path = request.url.slice(scope.length).replace(/[?#].*$/, "");
  if (path === "model/web.json") event.respondWith(fromNetwork(request));
  else if (!path.startsWith("model/")) event.respondWith(fromCache(request, path || "index.html"));
});

/** The description of the model: the newest one, or the last one known. */
async function fromNetwork(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put("model/web.json", response.clone());
    return response;
  } catch (failure) {
    const kept = await cache.match("model/web.json");
    if (kept) return kept;
    throw failure;
  }
}

/** A file of the studio; one that was not listed (a build of the runtime) is kept when it is first fetched. */
async function fromCache(request, path) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(path);
  if (kept) return kept;
  const response = await fetch(request);
  if (response.ok && path.startsWith("runtime/")) await cache.put(path, response.clone());
  return response;
}
