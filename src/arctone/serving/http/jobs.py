"""One order of sound on its way through the server, and how clients see it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from arctone.audio.waveform import Waveform
from arctone.inference.request import GenerationRequest, GenerationResult, Progress
from arctone.serving.http.failures import ApiError

State = Literal["queued", "running", "done", "failed", "cancelled"]
FINAL: tuple[State, ...] = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Take:
    """One sound of a finished job, without the sound: that lies in the store."""

    index: int
    seed: int
    num_samples: int
    num_channels: int
    sample_rate: int

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate


@dataclass(eq=False)
class Job:
    """Changed only on the event loop's thread.

    Args: model: its name. request: resolved. source: decoded upload. is_kept: takes go to the store, and clients ask
        for them later; otherwise one waiting client gets the result at once.
    """

    model: str
    request: GenerationRequest
    source: Waveform | None = None
    is_kept: bool = True
    id: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    state: State = "queued"
    progress: Progress | None = None
    error: ApiError | None = None
    result: GenerationResult | None = None
    takes: tuple[Take, ...] = ()
    warnings: list[str] = field(default_factory=list)
    accepted_at: float = field(default_factory=time.monotonic)
    started_at: float | None = None
    finished_at: float | None = None
    was_fetched: bool = False
    request_id: str = ""
    cancel_reason: ApiError | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINAL

    @property
    def waiting_bytes(self) -> int:
        """Memory that the upload holds."""
        return 0 if self.source is None else self.source.samples.nbytes

    def start(self) -> None:
        """A lane takes it."""
        self.state, self.started_at = "running", time.monotonic()
        self.tell()

    def advance(self, progress: Progress) -> None:
        """One stage or step further."""
        self.progress = progress
        self.tell()

    def end(self, state: State, error: ApiError | None = None) -> None:
        """Reach a final state; only the first call counts."""
        if self.is_final:
            return
        self.state, self.error, self.finished_at = state, error, time.monotonic()
        self.progress, self.source = None, None
        self.tell()

    def hold(self, result: GenerationResult) -> None:
        """Take over a result; of a job that is kept, the sound itself lies in the store and not here."""
        self.takes = tuple(
            Take(index, seed, sound.num_samples, sound.num_channels, sound.sample_rate)
            for index, (seed, sound) in enumerate(zip(result.seeds, result.waveforms, strict=True))
        )
        self.result = msgspec.structs.replace(result, waveforms=()) if self.is_kept else result

    def tell(self) -> None:
        """Wake everyone who watches."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def finished(self) -> None:
        """Return once the state is final."""
        while not self.is_final:
            await self._changed.wait()

    async def changes(self, pause_seconds: float) -> AsyncIterator[bool]:
        """True after each change, False after a pause without one; the state now comes first, the final one last."""
        while True:
            changed = self._changed
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


def as_json(job: Job, position: int | None, eta_seconds: float | None) -> dict[str, Any]:
    """The job as clients see it. Args: position: 0 is next. eta_seconds: until the result, as far as known."""
    return {
        "id": job.id,
        "state": job.state,
        "position": position,
        "eta_seconds": None if eta_seconds is None else round(eta_seconds, 2),
        "progress": None if job.progress is None else msgspec.to_builtins(job.progress),
        "error": None if job.error is None else job.error.body(job.request_id)["error"],
        "request": {"model": job.model, **shown_request(job.request)},
        "result": _result(job) if job.state == "done" else None,
    }


def shown_request(request: GenerationRequest) -> dict[str, Any]:
    """The resolved request without what the server decides: its threads."""
    values: dict[str, Any] = msgspec.to_builtins(request)
    values.pop("threads", None)
    return values


def _result(job: Job) -> dict[str, Any] | None:
    result = job.result
    if result is None:
        return None
    return {
        "model_name": result.model_name,
        "model_hash": result.model_hash,
        "version": result.version,
        "warnings": [*result.warnings, *job.warnings],
        "timings_ms": {name: round(value, 2) for name, value in result.timings_ms.items()},
        "takes": [
            {
                "index": take.index,
                "seed": take.seed,
                "num_samples": take.num_samples,
                "duration_seconds": take.duration_seconds,
                "audio_url": f"/v1/jobs/{job.id}/takes/{take.index}",
            }
            for take in job.takes
        ],
    }
