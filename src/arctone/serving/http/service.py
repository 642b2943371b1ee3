"""The server without HTTP: models, queue, workers and store, put together."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from arctone.inference.request import GenerationResult
from arctone.inference.source import Source
from arctone.serving.http.adapters import ServedEngine
from arctone.serving.http.answers import JobAnswer, OutputFolder
from arctone.serving.http.errors import ApiError
from arctone.serving.http.formats import Limits
from arctone.serving.http.jobs import Job, JobQueue
from arctone.serving.http.metrics import Metrics
from arctone.serving.http.store import Keys, Store
from arctone.serving.http.uploads import UploadMemory, read_shape, read_upload
from arctone.serving.http.workers import Worker, cancelled_error, timeout_error

_TIDY_SECONDS = 5.0
# After a drain, how long finished jobs wait for their takes to be fetched.
_LINGER_SECONDS = 5.0
# No single step of a model that suits this machine takes longer.
_STEP_SECONDS = 30.0
# Files that are decoded or searched for records at the same time; bodies arrive without any such limit.
_DECODERS = 2


class Service:
    """Everything that one server holds.

    Args:
        engines: for each worker its own engines by model name; the first name is the default model.
        limits: of this server.
        folder: of the takes; None = a temporary one.
        output_folder: of files that stay; None = none are written.
    """

    def __init__(
        self,
        engines: Sequence[Mapping[str, ServedEngine]],
        limits: Limits,
        folder: Path | None = None,
        output_folder: Path | None = None,
    ) -> None:
        self.limits = limits
        self.engines = engines[0]
        self.queue = JobQueue(limits.max_queue, len(engines))
        self.store = Store(limits, folder)
        self._outputs = None if output_folder is None else OutputFolder(output_folder)
        self.metrics = Metrics(self._gauges())
        self.is_draining = False
        self._workers = [
            Worker(
                own,
                self.queue,
                limits.max_batch,
                limits.job_timeout_seconds,
                self._keep_take,
                self._finish,
                self._ended,
            )
            for own in engines
        ]
        self.decoders = asyncio.Semaphore(_DECODERS)
        self.memory = UploadMemory(limits.max_waiting_audio_bytes)
        self._keys = Keys()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_ready(self) -> bool:
        """Whether every worker works."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def start(self) -> None:
        """Start the workers."""
        self._tasks = [asyncio.create_task(worker.work()) for worker in self._workers]
        self._tasks.append(asyncio.create_task(self._keep_tidy()))

    async def stop(self) -> None:
        """Give up what is left, remove the takes."""
        await self._give_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in self._workers:
            await worker.close()
        await asyncio.to_thread(self.store.close)

    def abandon(self) -> None:
        """What must not outlive the process, whether it ended in order or not: takes on disk and replicas."""
        self.store.close()
        for worker in self._workers:
            worker.abandon()

    def refuse_if_closed(self) -> None:
        """Raise what a new job would get now: 503 while draining, 429 if the queue is full."""
        if self.is_draining or not self.is_ready:
            raise shutting_down_error()
        self.queue.refuse_if_full()

    async def submit(self, job: Job) -> None:
        """Queue a job.

        Args:
            job: The job.

        Raises:
            ApiError: 503 while draining; 429 if the queue is full.
        """
        self.refuse_if_closed()
        await self.queue.put(job)
        if job.is_kept:
            self.store.add(job)
        self.metrics.accepted(job)

    async def submit_once(self, job: Job, key: str | None, mark: str) -> tuple[Job, bool]:
        """Queue a job, unless its Idempotency-Key came before.

        Args:
            job: The job.
            key: Of the client; None = none.
            mark: Fingerprint of the request.

        Returns:
            The job of the key, and whether it is new.
        """
        known = None if key is None else self._keys.find(key, mark)
        # What failed, or is not kept any more, is carried out again.
        if known is not None and known.state not in ("failed", "cancelled") and self.store.has(known):
            return known, False
        if key is not None:
            self._keys.add(key, mark, job)
        try:
            await self.submit(job)
        except ApiError:
            if key is not None:
                self._keys.remove(key)
            raise
        return job, True

    async def decode(self, file: IO[bytes], model: str) -> tuple[Source, int]:
        """Decode an upload.

        Args:
            file: The whole upload.
            model: Name of the model that edits the sound.

        Returns:
            The sound, and the bytes of memory reserved for it, which the caller's job has to release.

        Raises:
            InputFileError: It is no sound that can be edited.
            ApiError: 413 if it is too long; 429 if there is no memory for it now.
        """
        config = self.engines[model].config
        async with self.decoders:
            shape = await asyncio.to_thread(read_shape, file, self.limits)
            num_bytes = shape.num_bytes(config)
            self.memory.reserve(num_bytes)
            try:
                return await asyncio.to_thread(read_upload, file, shape, config), num_bytes
            except BaseException:
                self.memory.release(num_bytes)
                raise

    def release(self, job: Job) -> None:
        """Give back the memory that was reserved for a job's sound."""
        num_bytes, job.reserved_bytes = job.reserved_bytes, 0
        self.memory.release(num_bytes)

    def unfinished(self) -> tuple[Job, ...]:
        """Jobs that wait or run."""
        return (*self.queue.waiting, *self.queue.running)

    def cancel(self, job: Job, reason: ApiError | None = None) -> None:
        """Stop a job: at once if it waits, after the step under way if it runs."""
        if job.is_final:
            return
        job.cancel_reason = reason or cancelled_error()
        if job.state == "queued":
            job.end("cancelled" if job.cancel_reason.type == "cancelled" else "failed", job.cancel_reason)
            self._ended(job)

    def view(self, job: Job) -> JobAnswer:
        """The job as clients see it, with its place in the queue."""
        return job.answer(self.queue.position(job), self.queue.eta_seconds(job))

    def _gauges(self) -> dict[str, tuple[str, Callable[[], float]]]:
        return {
            "jobs_waiting": ("Jobs in the queue.", lambda: len(self.queue)),
            "jobs_running": ("Jobs in workers.", lambda: len(self.queue.running)),
            "jobs_stored": ("Jobs that clients can ask for.", lambda: len(self.store)),
            "takes_bytes": ("Takes on disk.", lambda: self.store.num_bytes),
        }

    async def drain(self) -> None:
        """Accept nothing new; return when all accepted jobs are finished and fetched.

        What is not finished after drain_seconds is given up, and takes wait some seconds more for whoever wants them.
        """
        self.is_draining = True
        began = time.monotonic()
        await self._until(lambda: not self.unfinished(), self.limits.drain_seconds)
        await self._give_up()
        left = self.limits.drain_seconds - (time.monotonic() - began)
        await self._until(self._all_fetched, min(_LINGER_SECONDS, left))

    async def _give_up(self) -> None:
        """End what waits, and what runs after the step under way."""
        self.is_draining = True
        for job in self.unfinished():
            self.cancel(job, shutting_down_error())
        await self._until(lambda: not self.queue.running, _STEP_SECONDS)
        # Listeners receive the final event before the connections are closed.
        await asyncio.sleep(0.05)

    def _all_fetched(self) -> bool:
        return all(job.was_fetched for job in self.store.jobs() if job.state == "done")

    async def _until(self, is_true: Any, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not is_true() and time.monotonic() < end:
            await asyncio.sleep(0.05)

    def _keep_take(self, job: Job, index: int, one: GenerationResult) -> list[str]:
        """Store one sound of a job, and write it to the output folder. Called off the event loop; returns warnings."""
        self.store.keep(job, index, one.waveforms[0])
        return [] if self._outputs is None else self._outputs.write(one)

    async def _finish(self, job: Job, result: GenerationResult) -> None:
        # The sounds of a job that is kept were stored one by one.
        if self._outputs is not None and not job.is_kept:
            job.warnings += await asyncio.to_thread(self._outputs.write, result)
        job.hold(result)

    def _ended(self, job: Job) -> None:
        self.release(job)
        self.queue.remove(job)
        self.metrics.ended(job)
        self.store.tidy()

    async def _keep_tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_SECONDS)
            with contextlib.suppress(OSError):
                self.store.tidy()
            self._drop_overdue()

    def _drop_overdue(self) -> None:
        """End waiting jobs whose time is over, so that nobody waits for a worker in vain."""
        limit = self.limits.job_timeout_seconds
        for job in self.queue.waiting:
            if time.monotonic() - job.accepted_at > limit:
                self.cancel(job, timeout_error(limit))


def shutting_down_error() -> ApiError:
    """The error of requests that come, or are not finished, while the server stops."""
    return ApiError(
        503, "shutting_down", "the server is shutting down; try again later.", headers={"Retry-After": "10"}
    )
