"""Reading what a client sends, within bytes and seconds: JSON, or a form with a request and a sound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import IO, TYPE_CHECKING, Any, TypeVar

from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request

from arctone.files.text import parse_json
from arctone.serving.http.errors import ApiError
from arctone.serving.http.limits import Limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Value = TypeVar("Value")


async def json_object(request: Request, limits: Limits) -> dict[str, Any]:
    """The body as a JSON object. Raises: ApiError 400, 408, 413 or 415."""
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
    """A JSON object. Raises: ApiError 400 in one sentence."""
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
    """The parts of a multipart form: text, or an open file that lives as long as the context.

    Args: parts: allowed names; True for a file. Raises: ApiError 400, 408 or 413.
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
    """What is read, if the client sends it in time. Raises: ApiError 408; 400 if the client goes away meanwhile."""
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
