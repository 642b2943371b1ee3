"""Read requests of the HTTP API: bodies within their limits, JSON or forms, to a job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import IO, TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request

from arctone.errors import UsageError
from arctone.files.text import parse_json
from arctone.inference.request import FIELDS, Defaults, GenerationRequest, from_dict
from arctone.inference.request_fields import RequestField, wrapped_seed
from arctone.inference.resolution import resolve
from arctone.inference.source import Source
from arctone.serving.http.adapters import ServedEngine, parse_adapters
from arctone.serving.http.errors import ApiError
from arctone.serving.http.formats import Limits
from arctone.serving.http.jobs import Job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


Value = TypeVar("Value")


async def json_object(request: Request, limits: Limits) -> dict[str, Any]:
    """Read the body as a JSON object.

    Args:
        request: The HTTP request.
        limits: Of this server.

    Returns:
        The object.

    Raises:
        ApiError: 400, 408, 413 or 415.
    """
    if media_type(request) not in ("application/json", ""):
        raise ApiError(
            415, "unsupported_media_type", f"the body must be application/json, got {media_type(request)[:60]}."
        )
    body = bytearray()

    async def read() -> None:
        async for chunk in request.stream():
            body.extend(chunk)
            if len(body) > limits.max_json_bytes:
                raise ApiError(413, "too_large", f"the JSON body must have at most {limits.max_json_bytes} bytes.")

    await in_time(read(), limits)
    return parsed_object(bytes(body))


def parsed_object(data: bytes | str) -> dict[str, Any]:
    """Parse a JSON object.

    Args:
        data: The text.

    Returns:
        The object.

    Raises:
        ApiError: 400 in one sentence.
    """
    try:
        values = parse_json(data)
    except ValueError as problem:
        raise ApiError(400, "invalid_json", f"the request is not valid JSON: {problem}.") from None
    if not isinstance(values, dict):
        raise ApiError(400, "invalid_json", "the request must be a JSON object.")
    return values


@asynccontextmanager
async def form(
    request: Request, limits: Limits, parts: Mapping[str, bool]
) -> AsyncIterator[dict[str, str | IO[bytes]]]:
    """Read the parts of a multipart form.

    Args:
        request: The HTTP request.
        limits: Of this server.
        parts: Allowed names; True for a file.

    Yields:
        Parts by name: text, or an open file that lives as long as the context.

    Raises:
        ApiError: 400, 408 or 413.
    """
    reading = request.form(max_files=1, max_fields=len(parts), max_part_size=limits.max_json_bytes)
    found = await in_time(_awaited(reading), limits)
    try:
        values: dict[str, str | IO[bytes]] = {}
        for name, value in found.multi_items():
            if name not in parts or name in values:
                raise ApiError(400, "invalid_request", f"the form has the parts {', '.join(parts)}, each once at most.")
            if isinstance(value, UploadFile) and not parts[name]:
                value = (await value.read(limits.max_json_bytes + 1)).decode("utf-8", "replace")
            values[name] = value.file if isinstance(value, UploadFile) else value
        yield values
    finally:
        await request.close()


async def in_time(reading: Awaitable[Value], limits: Limits) -> Value:
    """Wait for what is read, if the client sends it in time.

    Args:
        reading: What is awaited.
        limits: Of this server.

    Returns:
        Its value.

    Raises:
        ApiError: 408 after the time; 400 if the client goes away meanwhile.
    """
    try:
        return await asyncio.wait_for(reading, limits.body_timeout_seconds)
    except TimeoutError:
        raise ApiError(
            408,
            "timeout",
            f"the body did not arrive within {limits.body_timeout_seconds:g} seconds.",
            headers={"Connection": "close"},
        ) from None
    except ClientDisconnect:
        raise ApiError(400, "disconnected", "the client went away before its request was whole.") from None


def media_type(request: Request) -> str:
    """The Content-Type without its parameters, in small letters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _awaited(reading: Awaitable[Value]) -> Value:
    return await reading


# A client that could change the threads would make the engine open its graphs again at every request.
SERVER_DECIDES = ("threads",)
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
    """Make a job from a client's values.

    Args:
        values: Fields of a request, and `model` if not the default one.
        engines: By model name; the first is the default.
        limits: Of this server.
        source: The decoded upload.
        source_seconds: Length of a sound that is not here, for an estimate.

    Returns:
        The job.

    Raises:
        ApiError: 404 for an unknown model.
        UsageError: For everything else that cannot be met.
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
    """Replace the seeds of other programs: -1 means a drawn one, and 64-bit numbers lose their highest bit.

    Args:
        values: Of the request; changed in place.

    Returns:
        warnings.
    """
    seed = values.get("seed")
    if isinstance(seed, bool) or not isinstance(seed, int):
        return []
    if seed == -1:
        values["seed"] = None
    elif wrapped_seed(seed) != seed:
        values["seed"] = wrapped_seed(seed)
        return [f"seed {seed} is above 2**63 - 1; seed {values['seed']} was used."]
    return []


def model_name(name: Any, engines: Mapping[str, ServedEngine]) -> str:
    """Find the model of a request.

    Args:
        name: As the client wrote it; None = the default one.
        engines: By model name; the first is the default.

    Returns:
        The name of the model.

    Raises:
        ApiError: 404 if there is no such model.
    """
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
    total = request.num_candidates * float(request.duration_seconds or 0.0)
    if total > limits.max_total_seconds:
        counted = "the number of candidates" if request.diverse else "variations"
        raise UsageError(
            f"duration_seconds times {counted} must be at most {limits.max_total_seconds:g} seconds on this server, "
            f"got {total:g}.",
            field="duration_seconds",
        )
