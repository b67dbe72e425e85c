// Keeps the folder's files, so that the page works offline once it has been loaded. The network comes first, so that a
// new export is seen at once.

const CACHE = "fmnist-edge-web";

async function keepAll() {
  const response = await fetch("manifest.json");
  const { files } = await response.clone().json();
  const cache = await caches.open(CACHE);
  await cache.put("manifest.json", response);
  await cache.addAll(["./", ...Object.keys(files)]);
}

async function answer(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(request, { ignoreSearch: true });
    if (kept) return kept;
    throw error;
  }
}

self.addEventListener("install", (event) => event.waitUntil(keepAll().then(() => self.skipWaiting())));
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  const ours = event.request.method === "GET" && url.href.startsWith(self.registration.scope);
  if (ours) event.respondWith(answer(event.request));
});
