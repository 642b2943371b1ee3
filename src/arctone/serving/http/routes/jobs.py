"""Routes of jobs and of records."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from arctone.audio.tags import read_metadata
from arctone.errors import InputFileError, UsageError
from arctone.files.atomic import temporary_folder
from arctone.inference.request import from_metadata
from arctone.serving.http.answers import EstimateAnswer, RecordAnswer, json_response, take_name
from arctone.serving.http.errors import ApiError, request_id
from arctone.serving.http.formats import MEDIA_TYPES, file_format
from arctone.serving.http.jobs import Job, shown_request
from arctone.serving.http.requests import form, in_time, json_object, media_type, model_name, parse_job, parsed_object
from arctone.serving.http.routes.about import service_of
from arctone.serving.http.store import fingerprint


async def read(request: Request) -> Response:
    """POST /v1/records: the body is a sound file, or a form with one as the part audio."""
    service = service_of(request)
    with temporary_folder() as folder:
        path = folder / "upload.audio"
        with path.open("xb") as copy:
            await _copy_to(copy, request)
        async with service.decoders:
            record = await asyncio.to_thread(_record, path)
    return json_response(RecordAnswer(record=record))


async def _copy_to(copy: Any, request: Request) -> None:
    limits = service_of(request).limits
    if media_type(request) == "multipart/form-data":
        async with form(request, limits, {"audio": True}) as parts:
            file = parts.get("audio")
            if file is None or isinstance(file, str):
                raise ApiError(400, "invalid_request", "the form needs the part audio, a file.", "audio")
            await asyncio.to_thread(shutil.copyfileobj, file, copy)
        return

    async def whole() -> None:
        async for chunk in request.stream():
            copy.write(chunk)

    await in_time(whole(), limits)


def _record(path: Path) -> dict[str, Any]:
    """Read the record of a file as fields of a request, with the model and what made it.

    Args:
        path: The file.

    Returns:
        Values by name.

    Raises:
        ApiError: 422 if it holds none.
    """
    try:
        found = read_metadata(path)
    except InputFileError as problem:
        sentence = str(problem).replace(str(path), "audio")
        raise ApiError(422, "invalid_audio", sentence, "audio") from None
    if found is None:
        raise ApiError(422, "no_record", "audio carries no record of arctone.", "audio")
    try:
        request = from_metadata(found)
    except UsageError as problem:
        raise ApiError(422, "no_record", f"audio carries a record that cannot be used: {problem}", "audio") from None
    about = {name: str(found.get(name, ""))[:200] for name in ("model", "model_hash", "version", "engine")}
    return {**shown_request(request), **about}


# Proxies and clients take a silent stream for a dead one.
HEARTBEAT_SECONDS = 10.0
_MAX_RANGES = 4


async def create(request: Request) -> Response:
    """POST /v1/jobs."""
    service = service_of(request)
    service.refuse_if_closed()
    job, mark = await _parse_body(request)
    job.request_id = request_id(request)
    key = request.headers.get("idempotency-key")
    try:
        accepted, is_new = await service.submit_once(job, key, mark)
    except BaseException:
        service.release(job)
        raise
    if not is_new:
        service.release(job)
    job = accepted
    headers = {"Location": f"/v1/jobs/{job.id}"} | ({} if is_new else {"Idempotency-Replayed": "true"})
    return json_response(service.view(job), 202, headers)


async def estimate(request: Request) -> Response:
    """POST /v1/estimates: the steps and seconds of a request, before it is made."""
    service = service_of(request)
    body = await json_object(request, service.limits)
    unknown = set(body) - {"request", "source_seconds"}
    values, seconds = body.get("request"), body.get("source_seconds")
    if unknown or not isinstance(values, dict):
        raise UsageError("the body must have request, an object, and may have source_seconds.", field="request")
    longest = service.limits.max_audio_seconds
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (is_number and 0 < seconds <= longest):
        raise UsageError(
            f"source_seconds must be a number above 0, and at most {longest:g} on this server.", field="source_seconds"
        )
    job = parse_job(values, service.engines, service.limits, source_seconds=seconds)
    work = service.queue.estimate_seconds(job)
    answer = EstimateAnswer(
        steps=int(job.request.steps or 1),
        duration_seconds=float(job.request.duration_seconds or 0.0),
        seconds=None if work is None else round(work, 2),
    )
    return json_response(answer)


async def show(request: Request) -> Response:
    """GET /v1/jobs/{id}."""
    return json_response(service_of(request).view(_job(request)))


async def delete(request: Request) -> Response:
    """DELETE /v1/jobs/{id}: cancel what goes on (200), forget what is final (204)."""
    service, job = service_of(request), _job(request)
    if job.is_final:
        service.store.forget(job)
        return Response(status_code=204)
    service.cancel(job)
    return json_response(service.view(job))


async def events(request: Request) -> Response:
    """GET /v1/jobs/{id}/events: server-sent events until the job is final."""
    service, job = service_of(request), _job(request)

    async def stream() -> AsyncIterator[str]:
        last = ""
        async for is_change in job.changes(HEARTBEAT_SECONDS):
            if not is_change:
                yield ": still here\n\n"
                continue
            name = "progress" if job.state == "running" and job.progress is not None else job.state
            data = msgspec.json.encode(service.view(job)).decode()
            if data != last:
                yield f"event: {name}\ndata: {data}\n\n"
            last = data

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def take(request: Request) -> Response:
    """GET /v1/jobs/{id}/takes/{index}: a sound file, whole or in ranges."""
    service, job = service_of(request), _job(request)
    format = file_format(request.query_params.get("format", "wav"))
    index = _index(request, job)
    path = await asyncio.to_thread(service.store.audio_file, job, index, format)
    service.store.tidy()
    job.was_fetched = job.is_final
    name = take_name(job.request.prompt, job.takes[index].seed, format)
    headers = {"Cache-Control": "private, max-age=3600, immutable"}
    _drop_silly_ranges(request)
    return FileResponse(path, media_type=MEDIA_TYPES[format], filename=name, headers=headers)


def _job(request: Request) -> Job:
    return service_of(request).store.get(request.path_params["id"])


def _index(request: Request, job: Job) -> int:
    text = request.path_params["index"]
    index = int(text) if text.isascii() and text.isdecimal() and len(text) <= 3 else None
    if index is None or index >= job.request.variations:
        raise ApiError(404, "not_found", f"the job has the takes 0 to {job.request.variations - 1}.")
    if index >= len(job.takes):
        raise ApiError(409, "not_done", f"the job is {job.state} and has {len(job.takes)} takes, so not take {index}.")
    return index


def _drop_silly_ranges(request: Request) -> None:
    """Many small ranges cost more than the whole file, which RFC 9110 (14.2) lets a server send instead."""
    if request.headers.get("range", "").count(",") >= _MAX_RANGES:
        kept = [(name, value) for name, value in request.scope["headers"] if name != b"range"]
        request.scope["headers"] = kept


async def _parse_body(request: Request) -> tuple[Job, str]:
    """The job of a body, JSON or a form with a sound, and the body's fingerprint."""
    service = service_of(request)
    if media_type(request) != "multipart/form-data":
        values = await json_object(request, service.limits)
        return parse_job(values, service.engines, service.limits), fingerprint(values)
    async with form(request, service.limits, {"request": False, "audio": True}) as parts:
        if not isinstance(parts.get("request"), str) or isinstance(parts.get("audio"), str):
            raise ApiError(
                400, "invalid_request", "the form needs the part request (JSON), and the part audio must be a file."
            )
        values = parsed_object(str(parts["request"]))
        if "audio" not in parts:
            return parse_job(values, service.engines, service.limits), fingerprint(values)
        return await _with_source(request, values, parts["audio"])


async def _with_source(request: Request, values: dict[str, Any], file: str | IO[bytes]) -> tuple[Job, str]:
    service = service_of(request)
    assert not isinstance(file, str)
    model = model_name(values.get("model"), service.engines)
    source, num_bytes = await service.decode(file, model)
    try:
        job = await asyncio.to_thread(parse_job, values, service.engines, service.limits, source)
    except BaseException:
        service.memory.release(num_bytes)
        raise
    job.reserved_bytes = num_bytes
    return job, fingerprint(values, source.record.sha256)
