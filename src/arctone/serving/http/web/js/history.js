// Batches of takes as values: what was ordered, what came, and the requests that make them again.

import * as store from "./store.js";

/** Settings of a request as people set them: no empty ones, nothing that only the server's machine is asked. */
export function plain(request) {
  const kept = Object.entries(request ?? {}).filter(
    ([name, value]) => value !== null && value !== undefined && name !== "threads" && name !== "model" && !isEmpty(value),
  );
  return Object.fromEntries(kept);
}

const isEmpty = (value) => value === "" || value === false || (Array.isArray(value) && !value.length);

/** A new batch for an order. source: null or {name, blob}. */
export function newBatch(request, modelName, source) {
  return {
    id: crypto.randomUUID?.() ?? String(Date.now() + Math.random()),
    made: Date.now(),
    request,
    model: modelName,
    source: source ? { name: source.name } : null,
    jobId: null,
    state: "waiting",
    error: null,
    resolved: null,
    result: null,
    takes: [],
  };
}

/** Add what a job has made so far to its batch. Returns: the takes that are new. */
export function receive(batch, job) {
  const { takes, ...result } = job.result;
  const fresh = takes.slice(batch.received ?? 0).map((take) => ({
    id: `${batch.id}/${take.index}`,
    index: take.index,
    seed: take.seed,
    seconds: take.duration_seconds,
    samples: take.num_samples,
    starred: false,
  }));
  Object.assign(batch, { resolved: plain(job.request), result, received: takes.length });
  batch.takes.push(...fresh);
  return fresh;
}

/** The request that makes one take again, byte for byte while the model is the same. */
export function redoRequest(batch, take) {
  const { diverse, ...request } = batch.resolved;
  return { ...request, seed: take.seed, variations: 1 };
}

/** The request that makes other takes of the same kind. */
export function rerollRequest(batch) {
  const { seed, ...request } = batch.request;
  return request;
}

export const sourceId = (batch) => `${batch.id}/source`;

/** The start sound of a batch: {name, blob}, or null. */
export async function sourceOf(batch) {
  const blob = batch.source ? await store.sound(sourceId(batch)) : null;
  return blob ? { name: batch.source.name, blob } : null;
}

/** A file name that says what is in it. */
export function fileName(batch, take, format = "wav") {
  if (take.name) return `${take.name.replace(/[\\/:*?"<>|\p{Cc}]+/gu, "-").slice(0, 80)}.${format}`;
  const words = batch.request.prompt.toLowerCase().normalize("NFKD").replace(/\p{M}+/gu, "").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
  return `${words.slice(0, 48) || "sound"}-${take.seed}.${format}`;
}

/** A take as the player wants it. */
export function playable(batch, take) {
  const bpm = batch.resolved?.bpm ?? null;
  return {
    id: take.id,
    seconds: take.seconds,
    bpm,
    title: take.name ?? `${batch.request.prompt}, take ${take.index + 1}`,
    sound: () => store.sound(take.id),
  };
}

/** How a job stands, in words, and how much of it is done (0 to 1; null: not known). */
export function standing(job) {
  if (job.state === "queued") {
    const ahead = job.position ? `${job.position} ahead` : "next";
    const soon = job.eta_seconds ? `, about ${Math.ceil(job.eta_seconds)} s` : "";
    return { words: `Waiting: ${ahead}${soon}`, part: null };
  }
  const { progress, request } = job;
  if (!progress) return { words: "Starting", part: 0 };
  const count = request?.variations ?? 1;
  const within = progress.num_steps ? progress.step / progress.num_steps : 0;
  const share = { model: 0, text: 0, encoding: 0, sampling: 0.9 * within, decoding: 0.9 + 0.1 * within }[progress.stage] ?? 0;
  const which = count > 1 ? `Take ${progress.item + 1} of ${count}: ` : "";
  const doing = {
    model: "waiting for the model",
    text: "reading the prompt",
    encoding: "reading the start sound",
    sampling: `step ${progress.step} of ${progress.num_steps}`,
    decoding: "making it audible",
  }[progress.stage];
  return { words: which + (doing ?? progress.stage), part: (progress.item + share) / count };
}
