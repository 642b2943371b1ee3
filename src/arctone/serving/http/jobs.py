"""One request of sound on its way through the server, and how clients see it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from msgspec import Struct

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
    """

    model: str
    request: GenerationRequest
    source: Source | None = None
    reserved_bytes: int = 0
    adapters: tuple[tuple[str, float], ...] = ()
    is_kept: bool = True
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

    def end(self, state: State, error: ApiError | None = None) -> None:
        """Reach a final state; only the first call counts."""
        if self.is_final:
            return
        self.state, self.error, self.finished_at = state, error, time.monotonic()
        self.progress, self.source = None, None
        self.notify()

    def hold(self, result: GenerationResult) -> None:
        """Keep a result; the samples of a job that is kept lie in the store and not here."""
        pairs = zip(result.seeds, result.waveforms, strict=True)
        self.takes = tuple(
            Take(
                index=index,
                seed=seed,
                num_samples=sound.num_samples,
                num_channels=sound.num_channels,
                sample_rate=sound.sample_rate,
                duration_seconds=sound.duration_seconds,
                audio_url=f"/v1/jobs/{self.id}/takes/{index}",
            )
            for index, (seed, sound) in enumerate(pairs)
        )
        self.result = msgspec.structs.replace(result, waveforms=()) if self.is_kept else result

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
        """The job as clients see it.

        Args:
            position: jobs that wait before it; None if it does not wait.
            eta_seconds: estimated seconds until the result; None if not known.
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
            result=self._result() if self.state == "done" else None,
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
        )


def shown_request(request: GenerationRequest) -> dict[str, Any]:
    """The resolved request without its threads, which the server decides."""
    values: dict[str, Any] = msgspec.to_builtins(request)
    values.pop("threads", None)
    return values
