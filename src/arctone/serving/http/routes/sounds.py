"""Sounds at once: one request, and its answer is the audio. In the shapes of existing clients."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from arctone.errors import UsageError
from arctone.serving.http.adapters import ServedEngine
from arctone.serving.http.answers import take_name
from arctone.serving.http.errors import ApiError, request_id
from arctone.serving.http.formats import OutputFormat, encoded, output_format
from arctone.serving.http.jobs import Job
from arctone.serving.http.requests import json_object, parse_job
from arctone.serving.http.routes.about import service_of
from arctone.serving.http.store import fingerprint
from arctone.serving.http.streaming import check_format, frame_of, stream_bytes, wait_for_part

# ElevenLabs' default influence of the prompt; it means the model's own guidance here.
_USUAL_INFLUENCE = 0.3
_STRONGEST = 3.0
# Model ids that the SDKs of ElevenLabs and OpenAI know or send by themselves.
_FOREIGN_MODELS = re.compile(r"(eleven_|tts-|gpt-)[\w.-]*$")


async def sound_generation(request: Request) -> Response:
    """POST /v1/sound-generation, the shape of ElevenLabs: text, duration_seconds, prompt_influence, loop, model_id."""
    service = service_of(request)
    service.refuse_if_closed()
    wanted = output_format(request.query_params.get("output_format", "mp3"))
    body = _without_nulls(await json_object(request, service.limits))
    values, warnings = _from_elevenlabs(body, service.engines)
    return await _respond(request, values, wanted, warnings)


async def audio_generations(request: Request) -> Response:
    """POST /v1/audio/generations, in the manner of OpenAI: model, prompt or input, response_format, any other field."""
    return await _from_openai(request, "wav")


async def speech(request: Request) -> Response:
    """POST /v1/audio/speech, the shape of OpenAI: input, model, response_format; voice and instructions do nothing."""
    return await _from_openai(request, "mp3")


async def _from_openai(request: Request, usual_format: str) -> Response:
    service = service_of(request)
    service.refuse_if_closed()
    values = _without_nulls(await json_object(request, service.limits))
    name = values.pop("response_format", usual_format)
    if not isinstance(name, str):
        raise UsageError("response_format must be text.", field="response_format")
    wanted = output_format(name, "response_format")
    is_streamed = values.pop("stream", False)
    if not isinstance(is_streamed, bool):
        raise UsageError("stream must be true or false.", field="stream")
    _rename(values, "input", "prompt")
    if values.pop("speed", 1) != 1:
        raise UsageError("speed must be 1 or not given: sounds have no rate of speech.", field="speed")
    if values.pop("stream_format", "audio") != "audio":
        raise UsageError("stream_format must be audio.", field="stream_format")
    warnings = [f"{name} has no effect." for name in ("voice", "instructions") if values.pop(name, None) is not None]
    warnings += _replace_foreign_model(values, service.engines)
    return await (_stream if is_streamed else _respond)(request, values, wanted, warnings)


def _from_elevenlabs(body: dict[str, Any], engines: Mapping[str, ServedEngine]) -> tuple[dict[str, Any], list[str]]:
    """The same request with arctone's field names, and warnings about values without effect."""
    values = dict(body)
    _rename(values, "text", "prompt")
    _rename(values, "model_id", "model")
    warnings = _replace_foreign_model(values, engines)
    influence = values.pop("prompt_influence", None)
    if influence is None:
        return values, warnings
    if "cfg_scale" in values:
        raise UsageError("prompt_influence and cfg_scale say the same thing; give only one.", field="prompt_influence")
    name = values.get("model") or next(iter(engines))
    engine = engines.get(name) if isinstance(name, str) else None
    if engine is None:
        return {**values, "cfg_scale": _guidance(influence, 1.0)}, warnings
    sampling = engine.config.of_flow.sampling if engine.has_flow else engine.config.sampling
    scale = _guidance(influence, sampling.cfg_scale)
    if sampling.post_trained:
        warnings.append(f"prompt_influence has no effect: {name} is post-trained and has its guidance built in.")
        return values, warnings
    # The usual guidance is what such a model has built in, and it is quicker without the flow model.
    if engine.has_flow and influence == _USUAL_INFLUENCE:
        return values, warnings
    return {**values, "cfg_scale": scale}, warnings


def _without_nulls(body: Mapping[str, Any]) -> dict[str, Any]:
    """SDKs send null for whatever is left open."""
    return {name: value for name, value in body.items() if value is not None}


def _rename(values: dict[str, Any], theirs: str, ours: str) -> None:
    if theirs in values:
        if ours in values:
            raise UsageError(f"{ours} is given twice, the second time as {theirs}.", field=ours)
        values[ours] = values.pop(theirs)


def _replace_foreign_model(values: dict[str, Any], engines: Mapping[str, ServedEngine]) -> list[str]:
    """Let the default model answer for a model of the services whose clients call here.

    Args:
        values: Of the request; changed in place.
        engines: By model name.

    Returns:
        warnings.
    """
    name = values.get("model")
    if not isinstance(name, str) or name in engines or not _FOREIGN_MODELS.match(name):
        return []
    values["model"] = next(iter(engines))
    return [f"model {name[:60]} is not here; {values['model']} made the sound."]


def _guidance(influence: Any, usual: float) -> float:
    """Straight from 1 (no guidance) over the model's own scale at 0.3 to three times that at 1."""
    if isinstance(influence, bool) or not isinstance(influence, int | float) or not 0 <= influence <= 1:
        raise UsageError(
            f"prompt_influence must be a number from 0 to 1, got {str(influence)[:40]}.", field="prompt_influence"
        )
    if influence <= _USUAL_INFLUENCE:
        return 1.0 + (usual - 1.0) * influence / _USUAL_INFLUENCE
    more = (influence - _USUAL_INFLUENCE) / (1.0 - _USUAL_INFLUENCE)
    return min(20.0, usual * (1.0 + (_STRONGEST - 1.0) * more))


async def _stream(request: Request, values: dict[str, Any], wanted: OutputFormat, warnings: list[str]) -> Response:
    """Answer with the sound while it is made."""
    service = service_of(request)
    job = _one_sound(request, values)
    engine = service.engines[job.model]
    check_format(wanted, engine.config)
    if job.adapters or "idempotency-key" in request.headers:
        raise UsageError("stream cannot be combined with lora or an Idempotency-Key.", field="stream")
    job.is_kept, job.is_streamed = False, True
    frame = await asyncio.to_thread(frame_of, job, engine, wanted.codec)
    await service.submit(job)
    await _until_or_gone(request, job, wait_for_part(job))
    if job.error is not None:
        raise job.error
    sample_bytes = 2 * engine.config.channels * frame.num_samples
    headers = {
        "X-Arctone-Seed": str(job.request.seed),
        "X-Arctone-Model": _plain(engine.config.name),
        "X-Arctone-Sample-Rate": str(engine.config.sample_rate),
        "Content-Disposition": _disposition(job, wanted),
        "Content-Length": str(len(frame.head) + sample_bytes + len(frame.tail)),
        "X-Accel-Buffering": "no",
    }
    all_warnings = [*frame.warnings, *job.warnings, *warnings]
    if all_warnings:
        headers["X-Arctone-Warnings"] = _plain(" ".join(all_warnings))

    async def content() -> AsyncIterator[bytes]:
        try:
            async for data in stream_bytes(job, frame, engine.config.sample_rate):
                yield data
        finally:
            if not job.is_final:
                service.cancel(job)

    return StreamingResponse(content(), media_type=wanted.media_type, headers=headers)


def _one_sound(request: Request, values: dict[str, Any]) -> Job:
    """The job of a request whose answer is a sound."""
    service = service_of(request)
    job = parse_job(values, service.engines, service.limits)
    if job.request.variations != 1:
        raise UsageError(
            f"variations must be 1 where the answer is one sound, got {job.request.variations}.", field="variations"
        )
    job.request_id = request_id(request)
    return job


async def _respond(request: Request, values: dict[str, Any], wanted: OutputFormat, warnings: list[str]) -> Response:
    service = service_of(request)
    key = request.headers.get("idempotency-key")
    job = _one_sound(request, values)
    job.is_kept = key is not None
    job, _ = await service.submit_once(job, key, fingerprint({**values, "address": request.url.path}))
    await _until_or_gone(request, job, job.finished())
    return await _sent(request, job, wanted, warnings)


async def _until_or_gone(request: Request, job: Job, ready: Coroutine[Any, Any, None]) -> None:
    """Wait for the job, and cancel it as soon as its client hangs up; one that is kept may be asked for again."""
    awaited = asyncio.ensure_future(ready)
    gone = asyncio.ensure_future(_disconnected(request))
    is_ready = False
    try:
        await asyncio.wait((awaited, gone), return_when=asyncio.FIRST_COMPLETED)
        is_ready = awaited.done()
    finally:
        for task in (awaited, gone):
            task.cancel()
        if not is_ready and not job.is_kept:
            service_of(request).cancel(job)
    if not is_ready:
        raise ApiError(499, "disconnected", "the client went away.")


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _sent(request: Request, job: Job, wanted: OutputFormat, warnings: list[str]) -> Response:
    result = job.result
    if job.error is not None or result is None:
        raise job.error or ApiError(410, "not_found", "the sound is not kept any more.")
    waveform = (
        result.waveforms[0] if result.waveforms else await asyncio.to_thread(service_of(request).store.sound, job, 0)
    )
    data = await asyncio.to_thread(encoded, waveform, wanted, result.to_metadata(0))
    all_warnings = [*result.warnings, *job.warnings, *warnings, *([wanted.warning] if wanted.warning else [])]
    headers = {
        "X-Arctone-Seed": str(result.seeds[0]),
        "X-Arctone-Model": _plain(result.model_name),
        "X-Arctone-Sample-Rate": str(wanted.sample_rate or waveform.sample_rate),
        "Content-Disposition": _disposition(job, wanted),
    }
    if all_warnings:
        headers["X-Arctone-Warnings"] = _plain(" ".join(all_warnings))
    job.was_fetched = True
    return Response(data, media_type=wanted.media_type, headers=headers)


def _plain(text: str) -> str:
    """Text as headers may hold it."""
    return " ".join(text.encode("ascii", "replace").decode().split())


def _disposition(job: Job, wanted: OutputFormat) -> str:
    name = take_name(job.request.prompt, int(job.request.seed or 0), wanted.codec)
    return f"attachment; filename*=utf-8''{quote(name)}"
