// Ordering sound and following it: each order becomes a batch, which lives in the history from its first moment.

import * as api from "./api.js";
import * as folder from "./folder.js";
import { fileName, finished, newBatch, sourceId } from "./history.js";
import { complain, say } from "./say.js";
import * as store from "./store.js";

const running = new Map(); // batch id -> AbortController

/** Order sound. source: null or {name, blob}. view: has show, progress, settle. Throws: api.Problem if refused. */
export async function order(request, modelName, source, view) {
  const batch = newBatch(request, modelName, source);
  view.show(batch);
  const stop = new AbortController();
  running.set(batch.id, stop);
  try {
    const audio = source && new File([source.blob], source.name, { type: source.blob.type });
    const job = await api.order({ ...request, model: modelName }, audio, stop.signal);
    batch.jobId = job.id;
    await store.keepBatch(batch);
    if (source) await store.keepSound(sourceId(batch), source.blob);
    await complete(batch, view, stop);
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
    fail(batch, "failed", "The server no longer knows this order: it was restarted, or the sound was kept too long.");
    await store.keepBatch(batch);
    view.settle(batch);
  } finally {
    running.delete(batch.id);
  }
}

/** Stop a batch that is on its way; the server stops within one step. */
export async function cancel(batch) {
  if (batch.jobId) await api.cancel(batch.jobId);
  else running.get(batch.id)?.abort();
}

export const isRunning = (batch) => running.has(batch.id);

async function complete(batch, view, stop) {
  const job = await api.follow(batch.jobId, (state) => view.progress(batch, state), stop.signal);
  if (job.state === "done") {
    finished(batch, job);
    for (const take of batch.takes) {
      const sound = await api.audio(batch.jobId, take.index, "wav", stop.signal);
      await store.keepSound(take.id, sound);
      await folder.put(fileName(batch, take), sound).catch((failure) => complain(failure.message));
    }
    const { total } = job.result.timings_ms ?? {};
    say(`${batch.takes.length === 1 ? "One take" : `${batch.takes.length} takes`} made${total ? ` in ${(total / 1000).toFixed(1)} s` : ""}.`);
  } else {
    fail(batch, job.state, job.error?.message ?? null);
    if (job.state === "cancelled") say("Cancelled.");
  }
  await store.keepBatch(batch);
  view.settle(batch, job.error ?? null);
}

function fail(batch, state, words) {
  batch.state = state;
  batch.error = words;
}

/** One take for the live mode, outside the history. Returns: {job, blob}. An abort also stops the server. */
export async function takeFor(request, modelName, source, signal) {
  const audio = source && new File([source], "part.wav", { type: "audio/wav" });
  const { id } = await api.order({ ...request, variations: 1, model: modelName }, audio, signal);
  const stop = () => api.cancel(id).catch(() => {}); // it may have ended meanwhile
  signal.addEventListener("abort", stop);
  try {
    const job = await api.follow(id, () => {}, signal);
    if (job.state !== "done") throw new api.Problem(job.error?.message ?? "The part was not made.", job.error ?? {});
    return { job, blob: await api.audio(id, job.result.takes[0].index, "wav", signal) };
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Put a finished job of the live mode into the history. */
export async function keep(request, modelName, { job, blob }, view) {
  const batch = newBatch(request, modelName, null);
  batch.jobId = job.id;
  finished(batch, job);
  await store.keepBatch(batch);
  await store.keepSound(batch.takes[0].id, blob);
  view.show(batch);
}
