"""Records: what a sound file that arctone made says about itself."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from arctone.audio.tags import read_metadata
from arctone.errors import InputFileError, UsageError
from arctone.files.atomic import temporary_folder
from arctone.inference.request import from_metadata
from arctone.serving.http.answers import RecordAnswer, json_response
from arctone.serving.http.bodies import form, in_time, media_type
from arctone.serving.http.errors import ApiError
from arctone.serving.http.jobs import shown_request
from arctone.serving.http.routes.about import service_of


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
    """The record as fields of a request, with the model and what made it. Raises: ApiError 422."""
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
