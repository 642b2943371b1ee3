"""Jobs and the queue that they wait in."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
from msgspec import Struct

from arctone.audio.waveform import Samples
from arctone.inference.request import GenerationRequest, GenerationResult, Progress
from arctone.inference.source import Source
from arctone.serving.http.answers import JobAnswer, JobResult, State, Take
from arctone.serving.http.errors import ApiError

FINAL: tuple[State, ...] = ("done", "failed", "cancelled")


class Job(Struct, eq=False):
    """Changed only on the event loop's thread.

    Args:
        model: its name.
        request: resolved.
        source: the decoded upload.
        reserved_bytes: memory that was set aside for it.
        adapters: names and strengths.
        is_kept: takes go to the store, and clients ask for them later; otherwise one waiting client gets the result.
        is_streamed: its client gets parts of the sound before it is whole.
        parts: that no client has fetched yet, [channels, samples] each, as the model made them.
    """

    model: str
    request: GenerationRequest
    source: Source | None = None
    reserved_bytes: int = 0
    adapters: tuple[tuple[str, float], ...] = ()
    is_kept: bool = True
    is_streamed: bool = False
    parts: deque[Samples] = msgspec.field(default_factory=deque)
    id: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(18))
    state: State = "queued"
    progress: Progress | None = None
    error: ApiError | None = None
    result: GenerationResult | None = None
    takes: tuple[Take, ...] = ()
    warnings: list[str] = msgspec.field(default_factory=list)
    accepted_at: float = msgspec.field(default_factory=time.monotonic)
    started_at: float | None = None
    finished_at: float | None = None
    was_fetched: bool = False
    request_id: str = ""
    cancel_reason: ApiError | None = None
    changed: asyncio.Event = msgspec.field(default_factory=asyncio.Event)

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINAL

    def start(self) -> None:
        """A worker takes it."""
        self.state, self.started_at = "running", time.monotonic()
        self.notify()

    def advance(self, progress: Progress) -> None:
        """One stage or step further."""
        self.progress = progress
        self.notify()

    def add_part(self, samples: Samples) -> None:
        """Some more of the sound is there."""
        self.parts.append(samples)
        self.notify()

    def end(self, state: State, error: ApiError | None = None) -> None:
        """Reach a final state; only the first call counts."""
        if self.is_final:
            return
        self.state, self.error, self.finished_at = state, error, time.monotonic()
        self.progress, self.source = None, None
        self.notify()

    def add_take(self, one: GenerationResult, warnings: list[str]) -> None:
        """Another sound is finished, and its samples lie in the store; the result holds all sounds so far."""
        self.takes += self._describe(one, len(self.takes))
        self.warnings += warnings
        so_far = self.result
        if so_far is not None:
            one = msgspec.structs.replace(one, seeds=so_far.seeds + one.seeds, num_over=so_far.num_over + one.num_over)
        self.result = msgspec.structs.replace(one, waveforms=())
        self.notify()

    def hold(self, result: GenerationResult) -> None:
        """Keep a result; the samples of a job that is kept lie in the store and not here."""
        self.takes = self._describe(result, 0)
        self.result = msgspec.structs.replace(result, waveforms=()) if self.is_kept else result

    def _describe(self, result: GenerationResult, first: int) -> tuple[Take, ...]:
        pairs = zip(result.seeds, result.waveforms, strict=True)
        return tuple(
            Take(
                index=index,
                seed=seed,
                num_samples=sound.num_samples,
                num_channels=sound.num_channels,
                sample_rate=sound.sample_rate,
                duration_seconds=sound.duration_seconds,
                audio_url=f"/v1/jobs/{self.id}/takes/{index}",
            )
            for index, (seed, sound) in enumerate(pairs, first)
        )

    def notify(self) -> None:
        """Wake everyone who watches."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def finished(self) -> None:
        """Return once the state is final."""
        while not self.is_final:
            await self.changed.wait()

    async def changes(self, pause_seconds: float) -> AsyncIterator[bool]:
        """True after each change, False after a pause without one; the state now comes first, the final one last."""
        while True:
            changed = self.changed
            yield True
            while not changed.is_set():
                if self.is_final:
                    return
                try:
                    await asyncio.wait_for(changed.wait(), pause_seconds)
                except TimeoutError:
                    yield False
            if self.is_final:
                yield True
                return

    def answer(self, position: int | None, eta_seconds: float | None) -> JobAnswer:
        """Describe the job to clients.

        Args:
            position: Jobs that wait before it; None if it does not wait.
            eta_seconds: Estimated seconds until the result; None if not known.

        Returns:
            The body of the answer.
        """
        return JobAnswer(
            id=self.id,
            state=self.state,
            position=position,
            eta_seconds=None if eta_seconds is None else round(eta_seconds, 2),
            progress=self.progress,
            error=None if self.error is None else self.error.detail(self.request_id),
            request={
                "model": self.model,
                **shown_request(self.request),
                **({"lora": dict(self.adapters)} if self.adapters else {}),
            },
            result=self._result(),
        )

    def _result(self) -> JobResult | None:
        result = self.result
        if result is None:
            return None
        return JobResult(
            model_name=result.model_name,
            model_hash=result.model_hash,
            version=result.version,
            warnings=(*result.warnings, *self.warnings),
            timings_ms={name: round(value, 2) for name, value in result.timings_ms.items()},
            takes=self.takes,
            selection=result.selection,
        )


def shown_request(request: GenerationRequest) -> dict[str, Any]:
    """The resolved request without its threads, which the server decides."""
    values: dict[str, Any] = msgspec.to_builtins(request)
    values.pop("threads", None)
    return values


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
        """Queue a job.

        Args:
            job: The job.

        Raises:
            ApiError: 429 if the queue is full.
        """
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
    return request.num_candidates * max(1.0, float(request.duration_seconds or 1.0)) * per_second


def _done_part(job: Job) -> float:
    """0 to 1, how much of a job's items and steps is done."""
    progress = job.progress
    if progress is None:
        return 0.0
    within = progress.step / max(1, progress.num_steps) if progress.stage == "sampling" else 0.0
    whole = 1.0 if progress.stage == "decoding" else within
    return min(1.0, (progress.item + whole) / job.request.variations)
