"""A worker runs jobs: one thread, its own copy of each model, several compatible jobs step by step in turn.

Each item is computed alone at the engine, whoever else is in the batch: no sound depends on its neighbours.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from arctone.audio.waveform import Samples
from arctone.errors import UsageError
from arctone.inference.request import GenerationResult, Progress
from arctone.serving.http.adapters import AdaptedEngine, ServedEngine
from arctone.serving.http.errors import ApiError, as_api_error
from arctone.serving.http.jobs import Job, JobQueue

log = logging.getLogger("arctone.serving.http")
Finish = Callable[[Job, GenerationResult], Awaitable[None]]
# Called on the worker's thread with a job, the index of a sound and a result that holds it alone; returns warnings.
KeepTake = Callable[[Job, int, GenerationResult], list[str]]
Ended = Callable[[Job], None]


@dataclass
class _Active:
    """A running job with its generator."""

    job: Job
    events: Iterator[Progress | GenerationResult] | None = None

    def drop(self) -> None:
        """On the worker's thread: end the generator, which may have to stop another process."""
        close = getattr(self.events, "close", None)
        self.events = None
        if close is not None:
            close()


class Worker:
    """Runs the jobs of a queue.

    Args:
        engines: by model name, used by this worker alone.
        queue: source of the jobs.
        max_batch: jobs that advance together.
        timeout_seconds: from acceptance to result.
        keep_take: keeps one sound, while the others are still to be made.
        finish: keeps a result.
        ended: called with every job that is final.
    """

    def __init__(
        self,
        engines: Mapping[str, ServedEngine],
        queue: JobQueue,
        max_batch: int,
        timeout_seconds: float,
        keep_take: KeepTake,
        finish: Finish,
        ended: Ended,
    ) -> None:
        self._engines, self._queue, self._max_batch = engines, queue, max_batch
        self._timeout_seconds = timeout_seconds
        self._keep_take, self._finish, self._ended = keep_take, finish, ended
        self._thread = ThreadPoolExecutor(1, "arctone-worker")

    async def work(self) -> None:
        """Take and run jobs until cancelled."""
        while True:
            active = [_Active(job) for job in await self._queue.take(self._max_batch)]
            for one in active:
                one.job.start()
            while active:
                active = [one for one in active if await self._step(one)]

    async def close(self) -> None:
        """Wait for the step that is under way, then give the models' memory back."""
        loop = asyncio.get_running_loop()
        for engine in self._engines.values():
            await loop.run_in_executor(self._thread, engine.close)
        self._thread.shutdown(wait=True)

    def abandon(self) -> None:
        """Give the models' memory, or processes, back at once."""
        for engine in self._engines.values():
            engine.close()

    async def _step(self, one: _Active) -> bool:
        """One step of a job. Returns whether it goes on."""
        job = one.job
        try:
            self._raise_if_stopped(job)
            loop = asyncio.get_running_loop()
            event = await loop.run_in_executor(self._thread, self._next, one, loop)
            if isinstance(event, Progress):
                job.advance(event)
                return True
            self._raise_if_stopped(job)
            await self._finish(job, event)
            job.end("done")
        except (Exception, SystemExit) as problem:
            await self._fail(one, problem)
        # It stands at its result, and would hold the source and all samples until the next job.
        one.events = None
        self._ended(job)
        return False

    def _next(self, one: _Active, loop: asyncio.AbstractEventLoop) -> Progress | GenerationResult:
        """On the worker's thread: begin the job, or go one step further."""
        job = one.job
        if one.events is None:
            engine = self._engines[job.model]
            if isinstance(engine, AdaptedEngine):
                engine = engine.with_adapters(job.adapters)

            def add_part(item: int, samples: Samples) -> None:
                loop.call_soon_threadsafe(job.add_part, samples)

            def add_take(item: int, result: GenerationResult) -> None:
                warnings = self._keep_take(job, item, result)
                loop.call_soon_threadsafe(job.add_take, result, warnings)

            one.events = engine.stream(
                job.request,
                lambda: job.cancel_reason is not None,
                job.source,
                on_part=add_part if job.is_streamed else None,
                on_take=add_take if job.is_kept else None,
            )
        return next(one.events)

    def _raise_if_stopped(self, job: Job) -> None:
        if job.cancel_reason is None and time.monotonic() - job.accepted_at > self._timeout_seconds:
            job.cancel_reason = timeout_error(self._timeout_seconds)
        if job.cancel_reason is not None:
            raise job.cancel_reason

    async def _fail(self, one: _Active, problem: BaseException) -> None:
        job = one.job
        await asyncio.get_running_loop().run_in_executor(self._thread, one.drop)
        if job.cancel_reason is not None:
            if job.cancel_reason.type == "cancelled":
                job.end("cancelled", cancelled_error(len(job.takes)))
            else:
                job.end("failed", job.cancel_reason)
            return
        error = as_api_error(problem)
        if error.status >= 500 and not isinstance(problem, ApiError):
            log.error("job %s failed, request %s", job.id, job.request_id, exc_info=problem)
        if not isinstance(problem, ApiError | UsageError):
            # What failed inside may have left a graph in any state: the next job opens it again.
            await asyncio.get_running_loop().run_in_executor(self._thread, self._engines[job.model].close)
        if error.type == "storage_error":
            job.takes, job.result = (), None
        job.end("failed", error)


def timeout_error(seconds: float) -> ApiError:
    """The error of a job that took too long."""
    return ApiError(
        504, "timeout", f"the sound was not ready within {seconds:g} seconds, so the generation was stopped."
    )


def cancelled_error(num_takes: int = 0) -> ApiError:
    """The error of a job that its client cancelled after some of its sounds were finished."""
    kept = {0: "nothing was kept", 1: "its first sound is kept"}.get(
        num_takes, f"its first {num_takes} sounds are kept"
    )
    return ApiError(409, "cancelled", f"the generation was cancelled; {kept}.")
