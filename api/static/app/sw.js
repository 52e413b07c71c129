// Keeps the page where there is no network. The server puts two constants before this: FILES, and VERSION, the digest of them all.

const CACHE = `debitum-${VERSION}`;

self.addEventListener("install", (event) => event.waitUntil(keep()));
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));
self.addEventListener("fetch", (event) => {
  const { pathname, origin } = new URL(event.request.url);
  const name = pathname.replace(/\/$/, "/index.html");
  if (event.request.method === "GET" && origin === location.origin && FILES.includes(name)) event.respondWith(kept(name));
});

// All of one version or none: a page of two versions is none.
async function keep() {
  const cache = await caches.open(CACHE);
  await cache.addAll(FILES.map((name) => new Request(name, { cache: "no-cache" })));
  await self.skipWaiting();
}

async function takeOver() {
  const others = (await caches.keys()).filter((name) => name.startsWith("debitum-") && name !== CACHE);
  await Promise.all(others.map((name) => caches.delete(name)));
  await self.clients.claim();
}

const kept = async (name) => (await caches.match(name, { cacheName: CACHE })) ?? fetch(name);
