// Ordering sound and following it: each order becomes a batch, which lives in the history from its first moment.

import { engine } from "./engine.js";
import * as folder from "./folder.js";
import { fileName, newBatch, receive, sourceId } from "./history.js";
import { Problem } from "./problem.js";
import { complain, say } from "./say.js";
import * as store from "./store.js";

const running = new Map(); // batch id -> AbortController

/**
 * Order sound. source: null or {name, blob}. view: has show, progress, add, settle. onFirst: receives the batch when its
 * first take is there. Throws: Problem if refused.
 */
export async function order(request, modelName, source, view, onFirst = () => {}) {
  const batch = newBatch(request, modelName, source);
  view.show(batch);
  const stop = new AbortController();
  running.set(batch.id, stop);
  try {
    const audio = source && new File([source.blob], source.name, { type: source.blob.type });
    const job = await engine.order({ ...request, model: modelName }, audio, stop.signal);
    batch.jobId = job.id;
    await store.keepBatch(batch);
    if (source) await store.keepSound(sourceId(batch), source.blob);
    await complete(batch, view, stop, onFirst);
  } catch (failure) {
    view.remove(batch);
    await store.forget(batch.id, [sourceId(batch)]);
    if (failure.name === "AbortError") say("Cancelled.");
    else throw failure;
  } finally {
    running.delete(batch.id);
  }
  return batch;
}

/** Follow a batch whose job was still running when the page was closed. */
export async function resume(batch, view) {
  const stop = new AbortController();
  running.set(batch.id, stop);
  try {
    await complete(batch, view, stop);
  } catch (failure) {
    if (failure.status !== 404) throw failure;
    if (batch.takes.length) batch.state = "done";
    else fail(batch, "failed", engine.words.lostJob);
    await store.keepBatch(batch);
    view.settle(batch);
  } finally {
    running.delete(batch.id);
  }
}

/** Stop a batch that is on its way; the engine stops within one step. */
export async function cancel(batch) {
  if (batch.jobId) await engine.cancel(batch.jobId);
  else running.get(batch.id)?.abort();
}

export const isRunning = (batch) => running.has(batch.id);

async function complete(batch, view, stop, onFirst = () => {}) {
  let keeping = Promise.resolve();
  const keep = (state) => {
    const fresh = state.result ? receive(batch, state) : [];
    for (const take of fresh) keeping = keeping.then(() => keepTake(batch, take, view, stop, onFirst));
    keeping.catch(() => {}); // awaited below
  };
  const job = await engine.follow(batch.jobId, (state) => {
    view.progress(batch, state);
    keep(state);
  }, stop.signal);
  await keeping;
  if (batch.takes.length) {
    batch.state = "done";
    say(summary(batch, job));
  } else {
    fail(batch, job.state, job.error?.message ?? null);
    if (job.state === "cancelled") say("Cancelled.");
  }
  await store.keepBatch(batch);
  view.settle(batch);
}

async function keepTake(batch, take, view, stop, onFirst) {
  const sound = await engine.audio(batch.jobId, take.index, "wav", stop.signal);
  await store.keepSound(take.id, sound);
  await store.keepBatch(batch);
  await folder.put(fileName(batch, take), sound).catch((failure) => complain(failure.message));
  view.add(batch, take);
  if (take === batch.takes[0]) onFirst(batch);
}

function summary(batch, job) {
  const count = batch.takes.length === 1 ? "One take" : `${batch.takes.length} takes`;
  if (job.state !== "done") return `${job.state === "cancelled" ? "Cancelled." : job.error?.message ?? "Failed."} ${count} kept.`;
  const { total } = job.result.timings_ms ?? {};
  return `${count} made${total ? ` in ${(total / 1000).toFixed(1)} s` : ""}.`;
}

function fail(batch, state, words) {
  batch.state = state;
  batch.error = words;
}

/** One take for the live mode, outside the history. Returns: {job, blob}. An abort also stops the engine. */
export async function takeFor(request, modelName, source, signal) {
  const audio = source && new File([source], "part.wav", { type: "audio/wav" });
  const { diverse, ...one } = request;
  const { id } = await engine.order({ ...one, variations: 1, model: modelName }, audio, signal);
  const stop = () => engine.cancel(id).catch(() => {}); // it may have ended meanwhile
  signal.addEventListener("abort", stop);
  try {
    const job = await engine.follow(id, () => {}, signal);
    if (job.state !== "done") throw new Problem(job.error?.message ?? "The part was not made.", job.error ?? {});
    return { job, blob: await engine.audio(id, job.result.takes[0].index, "wav", signal) };
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Put a finished job of the live mode into the history. */
export async function keep(request, modelName, { job, blob }, view) {
  const batch = newBatch(request, modelName, null);
  batch.jobId = job.id;
  receive(batch, job);
  batch.state = "done";
  await store.keepBatch(batch);
  await store.keepSound(batch.takes[0].id, blob);
  view.show(batch);
}
