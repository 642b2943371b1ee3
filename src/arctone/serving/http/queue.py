"""The bounded queue of waiting jobs: who is next, who may run together, how long it will take."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable

from arctone.serving.http.errors import ApiError
from arctone.serving.http.jobs import Job

# Weight of the newest job in the moving average of costs.
_NEWEST = 0.2
# Decoding and text of a second of sound cost about as much as this many sampling steps.
_STEPS_OF_DECODING = 3


class JobQueue:
    """First come, first served. Used on the event loop's thread only.

    Args:
        max_length: jobs that may wait.
        num_workers: jobs that run at the same time, for the estimates.
    """

    def __init__(self, max_length: int, num_workers: int) -> None:
        self._max_length, self._num_workers = max_length, num_workers
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._arrived = asyncio.Condition()
        self._seconds_per_unit: float | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> tuple[Job, ...]:
        """Jobs in the workers."""
        return tuple(self._running)

    @property
    def waiting(self) -> tuple[Job, ...]:
        """Waiting jobs, the next first."""
        return tuple(self._waiting)

    def refuse_if_full(self) -> None:
        """Raise the 429 that a further job gets; Retry-After is when about half of the queue will be gone."""
        if len(self._waiting) >= self._max_length:
            seconds = self._seconds(self._waiting) / (2 * self._num_workers)
            retry = str(max(1, math.ceil(seconds)))
            raise ApiError(
                429,
                "queue_full",
                f"{len(self._waiting)} requests are waiting, which is all that this server lets wait; try again later.",
                headers={"Retry-After": retry},
            )

    async def put(self, job: Job) -> None:
        """Queue a job. Raises: ApiError 429 if the queue is full."""
        self.refuse_if_full()
        self._waiting.append(job)
        async with self._arrived:
            self._arrived.notify()

    async def take(self, max_jobs: int) -> list[Job]:
        """Wait for the next job; it comes with those behind it that may run in the same batch.

        Jobs overtake nobody but incompatible ones, and only when they start together with the first of the queue.
        """
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self._waiting) > 0)
            first = self._waiting[0]
            fitting = [job for job in self._waiting if batch_key(job) == batch_key(first)]
            # Another worker that is free would have to wait for what is packed too eagerly here.
            fair_share = math.ceil(len(self._waiting) / self._num_workers)
            batch = fitting[: max(1, min(max_jobs, fair_share))]
            for job in batch:
                self._waiting.remove(job)
                self._running.append(job)
            return batch

    def remove(self, job: Job) -> None:
        """A job is final: it neither waits nor runs any more."""
        if job in self._waiting:
            self._waiting.remove(job)
        if job in self._running:
            self._running.remove(job)
            if job.state == "done" and job.started_at and job.finished_at:
                self._learn((job.finished_at - job.started_at) / units(job))

    def position(self, job: Job) -> int | None:
        """How many wait before this one; None if it does not wait."""
        return self._waiting.index(job) if job in self._waiting else None

    def eta_seconds(self, job: Job) -> float | None:
        """Until the result, from what jobs took so far; None before any job has finished, and for final jobs."""
        if self._seconds_per_unit is None or job.is_final:
            return None
        ahead = list(self._running)
        if job in self._waiting:
            ahead += list(self._waiting)[: self._waiting.index(job) + 1]
            return self._seconds(ahead) / self._num_workers
        return self._seconds([job])

    def estimate_seconds(self, job: Job) -> float | None:
        """Seconds of work for a job, without waiting; None before any job has finished."""
        return None if self._seconds_per_unit is None else self._seconds([job])

    def _learn(self, seconds_per_unit: float) -> None:
        known = self._seconds_per_unit
        self._seconds_per_unit = seconds_per_unit if known is None else known + _NEWEST * (seconds_per_unit - known)

    def _seconds(self, jobs: Iterable[Job]) -> float:
        return (self._seconds_per_unit or 0.0) * sum(units(job) * (1 - _done_part(job)) for job in jobs)


def batch_key(job: Job) -> tuple[object, ...]:
    """Jobs with the same key go through the same graphs the same number of times."""
    request = job.request
    length = None if request.duration_seconds is None else round(request.duration_seconds, 3)
    return (
        job.model,
        job.adapters,
        length,
        request.steps,
        request.sampler,
        request.cfg_scale in (0, 1),
        job.source is None,
    )


def units(job: Job) -> float:
    """Work of a job in passes of the transformer over one second of sound."""
    request = job.request
    passes = 1 if request.cfg_scale in (0, 1) else 2
    per_second = passes * int(request.steps or 1) + _STEPS_OF_DECODING
    # Below a second the graphs' shortest window sets the cost.
    return request.variations * max(1.0, float(request.duration_seconds or 1.0)) * per_second


def _done_part(job: Job) -> float:
    """0 to 1, how much of a job's items and steps is done."""
    progress = job.progress
    if progress is None:
        return 0.0
    within = progress.step / max(1, progress.num_steps) if progress.stage == "sampling" else 0.0
    whole = 1.0 if progress.stage == "decoding" else within
    return min(1.0, (progress.item + whole) / job.request.variations)
