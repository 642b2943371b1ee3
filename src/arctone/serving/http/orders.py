"""From what a client sends to a checked order: which model, which request, within this server's limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from arctone.audio.waveform import Waveform
from arctone.errors import UsageError
from arctone.inference.request import FIELDS, Defaults, GenerationRequest, from_dict, resolve
from arctone.inference.request_fields import RequestField
from arctone.serving.http.failures import ApiError
from arctone.serving.http.jobs import Job
from arctone.serving.http.limits import Limits
from arctone.serving.http.makers import Maker

# A client that could change the threads would make the engine open its graphs anew at every request.
SERVER_DECIDES = ("threads",)
# What each capability is asked for with.
CAPABILITIES = {
    "generate": "prompt",
    "init": "init_noise_level",
    "inpaint": "inpaint",
    "extend": "extend",
    "loop": "loop",
}


def offered_fields(limits: Limits) -> tuple[RequestField, ...]:
    """Fields that clients may set, with the tighter limits of this server."""
    tighter = {
        "steps": limits.max_steps,
        "variations": limits.max_variations,
        "duration_seconds": limits.max_duration_seconds,
    }
    return tuple(
        msgspec.structs.replace(field, maximum=min(field.maximum or tighter[field.name], tighter[field.name]))
        if field.name in tighter
        else field
        for field in FIELDS
        if field.name not in SERVER_DECIDES
    )


def offered_defaults(
    engine: Maker, limits: Limits, request: GenerationRequest | None = None, source_seconds: float | None = None
) -> Defaults:
    """A model's own defaults, for a request or in general, as far as this server goes along; they are published, so
    nothing changes in silence.
    """
    own = engine.defaults if request is None else engine.defaults_for(request, source_seconds)
    return msgspec.structs.replace(
        own,
        steps=min(own.steps, limits.max_steps),
        duration_seconds=min(own.duration_seconds, limits.max_duration_seconds),
        max_duration_seconds=min(own.max_duration_seconds, limits.max_duration_seconds),
    )


def capabilities() -> list[str]:
    """What can be asked for."""
    names = {field.name for field in FIELDS}
    return [capability for capability, field in CAPABILITIES.items() if field in names]


def ordered(
    values: Mapping[str, Any], engines: Mapping[str, Maker], limits: Limits, source: Waveform | None = None
) -> Job:
    """A job for what a client wants. Args: values: model, if not the default one, and fields of a request.

    Raises: ApiError 404 for an unknown model; UsageError for everything else that cannot be met.
    """
    wanted = dict(values)
    model = _model(wanted.pop("model", None), engines)
    for name in SERVER_DECIDES:
        if name in wanted:
            raise UsageError(f"{name} is decided by the server and cannot be part of a request.")
    request = from_dict(wanted)
    _check_limits(request, limits)
    seconds = None if source is None else source.duration_seconds
    resolved = resolve(request, offered_defaults(engines[model], limits, request, seconds), seconds)
    _check_limits(resolved, limits)
    _check_total(resolved, limits)
    # The engine fills in its own number of threads.
    return Job(model, msgspec.structs.replace(resolved, threads=None), source)


def _model(name: Any, engines: Mapping[str, Maker]) -> str:
    if name is None:
        return next(iter(engines))
    if not isinstance(name, str) or name not in engines:
        raise ApiError(404, "unknown_model", f"model must be one of {', '.join(engines)}.", "model")
    return name


def _check_limits(request: GenerationRequest, limits: Limits) -> None:
    for field in offered_fields(limits):
        value = getattr(request, field.name)
        if field.kind in (int, float) and value is not None and field.maximum is not None and value > field.maximum:
            raise UsageError(f"{field.name} must be {field.allowed} on this server, got {value}.")


def _check_total(request: GenerationRequest, limits: Limits) -> None:
    total = request.variations * float(request.duration_seconds or 0.0)
    if total > limits.max_total_seconds:
        raise UsageError(
            f"duration_seconds times variations must be at most {limits.max_total_seconds:g} seconds on this server, "
            f"got {total:g}."
        )
