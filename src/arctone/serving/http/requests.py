"""From the values that a client sends to a checked job: which model, which request, within this server's limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from arctone.errors import UsageError
from arctone.flow.noise import MAX_SEED
from arctone.inference.request import FIELDS, Defaults, GenerationRequest, from_dict, resolve
from arctone.inference.request_fields import RequestField
from arctone.inference.source import Source
from arctone.serving.http.adapters import parse_adapters
from arctone.serving.http.engines import ServedEngine
from arctone.serving.http.errors import ApiError
from arctone.serving.http.jobs import Job
from arctone.serving.http.limits import Limits

# A client that could change the threads would make the engine open its graphs again at every request.
SERVER_DECIDES = ("threads",)
MAX_FOREIGN_SEED = 2**64 - 1
# The field that requests each capability.
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
    engine: ServedEngine, limits: Limits, request: GenerationRequest | None = None, source_seconds: float | None = None
) -> Defaults:
    """A model's own defaults, for a request or in general, within this server's limits, which are published."""
    own = engine.defaults if request is None else engine.defaults_for(request, source_seconds)
    return msgspec.structs.replace(
        own,
        steps=min(own.steps, limits.max_steps),
        duration_seconds=min(own.duration_seconds, limits.max_duration_seconds),
        max_duration_seconds=min(own.max_duration_seconds, limits.max_duration_seconds),
    )


def capabilities() -> list[str]:
    """Names of the edits and kinds of sound that clients may request."""
    names = {field.name for field in FIELDS}
    return [capability for capability, field in CAPABILITIES.items() if field in names]


def parse_job(
    values: Mapping[str, Any],
    engines: Mapping[str, ServedEngine],
    limits: Limits,
    source: Source | None = None,
    source_seconds: float | None = None,
) -> Job:
    """A job from a client's values.

    Args:
        values: fields of a request, and `model` if not the default one.
        engines: by model name; the first is the default.
        limits: of this server.
        source: the decoded upload.
        source_seconds: length of a sound that is not here, for an estimate.

    Raises: ApiError 404 for an unknown model; UsageError for everything else that cannot be met.
    """
    wanted = dict(values)
    model = model_name(wanted.pop("model", None), engines)
    for name in SERVER_DECIDES:
        if name in wanted:
            raise UsageError(f"{name} is decided by the server and cannot be part of a request.", field=name)
    adapters = parse_adapters(wanted.pop("lora", None), engines[model])
    warnings = _replace_seed(wanted)
    request = from_dict(wanted)
    _check_limits(request, limits)
    seconds = source_seconds if source is None else source.duration_seconds
    resolved = resolve(request, offered_defaults(engines[model], limits, request, seconds), seconds)
    _check_limits(resolved, limits)
    _check_total(resolved, limits)
    # The engine fills in its own number of threads.
    return Job(model, msgspec.structs.replace(resolved, threads=None), source, warnings=warnings, adapters=adapters)


def _replace_seed(values: dict[str, Any]) -> list[str]:
    """Seeds of other programs: -1 means a drawn one, and 64-bit numbers lose their highest bit. Returns: warnings."""
    seed = values.get("seed")
    if isinstance(seed, bool) or not isinstance(seed, int):
        return []
    if seed == -1:
        values["seed"] = None
    elif MAX_SEED < seed <= MAX_FOREIGN_SEED:
        values["seed"] = seed - MAX_SEED - 1
        return [f"seed {seed} is above 2**63 - 1; seed {values['seed']} was used."]
    return []


def model_name(name: Any, engines: Mapping[str, ServedEngine]) -> str:
    """The model of a request; None means the default one. Raises: ApiError 404 if there is no such model."""
    if name is None:
        return next(iter(engines))
    if not isinstance(name, str) or name not in engines:
        raise ApiError(404, "unknown_model", f"model must be one of {', '.join(engines)}.", "model")
    return name


def _check_limits(request: GenerationRequest, limits: Limits) -> None:
    for field in offered_fields(limits):
        value = getattr(request, field.name)
        if field.kind in (int, float) and value is not None and field.maximum is not None and value > field.maximum:
            raise UsageError(f"{field.name} must be {field.allowed} on this server, got {value}.", field=field.name)


def _check_total(request: GenerationRequest, limits: Limits) -> None:
    total = request.variations * float(request.duration_seconds or 0.0)
    if total > limits.max_total_seconds:
        raise UsageError(
            f"duration_seconds times variations must be at most {limits.max_total_seconds:g} seconds on this server, "
            f"got {total:g}.",
            field="duration_seconds",
        )
