"""The upper bounds of the server, in one value that it also publishes."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from arctone.errors import UsageError

_Count = Annotated[int, Meta(ge=1)]
_Seconds = Annotated[float, Meta(gt=0)]


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The upper bounds of one server; seconds are wall-clock time unless the name says audio or duration.

    Raises: UsageError from `checked` in one sentence that names the limit.
    """

    max_queue: _Count = 32
    """Jobs that wait; one more is answered with 429."""
    max_batch: _Count = 1
    """Compatible jobs that one worker advances together, step by step."""
    max_body_bytes: _Count = 32 * 2**20
    max_json_bytes: _Count = 64 * 2**10
    max_audio_seconds: _Seconds = 300.0
    """Of an uploaded sound, counted while it is decoded."""
    max_waiting_audio_bytes: _Count = 160 * 2**20
    """Decoded uploads that all unfinished jobs together may hold; reserved before decoding."""
    max_arriving_bytes: _Count = 2**30
    """Bodies of all open requests together; one more byte is answered with 503."""
    max_steps: _Count = 200
    max_variations: _Count = 16
    max_duration_seconds: _Seconds = 300.0
    max_total_seconds: _Seconds = 600.0
    """Of all variations of one request together."""
    job_timeout_seconds: _Seconds = 300.0
    """From acceptance to result."""
    header_timeout_seconds: _Seconds = 10.0
    """From connecting to the end of the request's headers."""
    body_timeout_seconds: _Seconds = 60.0
    send_timeout_seconds: _Seconds = 30.0
    """How long a client may leave unread what is sent to it; slower than 1,000 bytes a second counts as not reading."""
    max_connections: _Count = 1_000
    """Open at the same time; on one more, everything but /health and /ready is answered with 503."""
    drain_seconds: _Seconds = 30.0
    """How long a stop signal lets accepted jobs go on."""
    retention_seconds: _Seconds = 3600.0
    """How long a finished job and its takes are kept."""
    retention_jobs: _Count = 200
    retention_bytes: _Count = 512 * 2**20
    """Takes on disk, all formats together."""

    def checked(self) -> Limits:
        """The same limits, their own ranges checked."""
        try:
            msgspec.convert(msgspec.to_builtins(self), Limits)
        except msgspec.ValidationError as problem:
            raise UsageError(f"limits cannot be used: {str(problem).lower()}.", field="limits") from None
        return self

    def published(self) -> dict[str, Any]:
        """JSON-ready, for clients."""
        return dict(msgspec.to_builtins(self))
