// The history: what was ordered and the sounds that came, kept by the browser on this machine (IndexedDB).

import { complain } from "./say.js";

const NAME = "arctone-studio";
let opened = null;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const ask = indexedDB.open(NAME, 1);
    ask.onupgradeneeded = () => {
      ask.result.createObjectStore("batches", { keyPath: "id" });
      ask.result.createObjectStore("sounds");
    };
    ask.onsuccess = () => resolve(ask.result);
    ask.onerror = () => reject(ask.error);
  });
  return opened;
}

async function within(stores, mode, work) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(stores, mode);
    const asked = work(transaction);
    transaction.oncomplete = () => resolve(asked?.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

/** All batches of takes, newest first. */
export async function batches() {
  const all = (await within(["batches"], "readonly", (t) => t.objectStore("batches").getAll())) ?? [];
  return all.sort((one, other) => other.made - one.made);
}

/** Keep a batch (without sounds), new or changed. */
export const keepBatch = (batch) => guarded(() => within(["batches"], "readwrite", (t) => t.objectStore("batches").put(batch)));

/** Keep the sound of a take, a Blob, under its id. */
export const keepSound = (id, blob) => guarded(() => within(["sounds"], "readwrite", (t) => t.objectStore("sounds").put(blob, id)));

/** The sound of a take, or undefined. */
export const sound = (id) => within(["sounds"], "readonly", (t) => t.objectStore("sounds").get(id));

/** Forget a batch and the given sounds; with `batch` kept, only the sounds. */
export function forget(batchId, soundIds) {
  return within(["batches", "sounds"], "readwrite", (transaction) => {
    if (batchId) transaction.objectStore("batches").delete(batchId);
    for (const id of soundIds) transaction.objectStore("sounds").delete(id);
  });
}

/** Forget sounds whose batch is gone: the page was closed before a deletion became final. */
export async function forgetOrphans(batches) {
  const known = new Set(batches.map(({ id }) => id));
  const takes = new Set(batches.flatMap((batch) => batch.takes.map(({ id }) => id)));
  const keys = (await within(["sounds"], "readonly", (t) => t.objectStore("sounds").getAllKeys())) ?? [];
  const lost = keys.filter((key) => {
    const [batchId, rest] = String(key).split("/");
    return !known.has(batchId) || (rest !== "source" && batches.find(({ id }) => id === batchId).state === "done" && !takes.has(key));
  });
  if (lost.length) await forget(null, lost);
}

/** Bytes that the history takes, or null where the browser does not say. */
export async function used() {
  return (await navigator.storage?.estimate?.())?.usage ?? null;
}

async function guarded(work) {
  try {
    return await work();
  } catch (failure) {
    const full = failure?.name === "QuotaExceededError";
    complain(
      full
        ? "The browser's storage is full, so this take will not survive a reload: delete takes that you do not need."
        : "The browser does not keep the history, so takes will not survive a reload: download what you want to keep.",
    );
    return undefined;
  }
}
