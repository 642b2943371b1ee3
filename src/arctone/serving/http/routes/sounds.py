"""Sounds at once: one request, and its answer is the audio. In the shapes of existing clients."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from arctone.errors import UsageError
from arctone.serving.http.bodies import json_object
from arctone.serving.http.engines import ServedEngine
from arctone.serving.http.errors import ApiError, request_id
from arctone.serving.http.formats import OutputFormat, encoded, output_format
from arctone.serving.http.idempotency import fingerprint
from arctone.serving.http.jobs import Job
from arctone.serving.http.requests import parse_job
from arctone.serving.http.routes.about import service_of
from arctone.serving.http.take_names import take_name

# ElevenLabs' default influence of the prompt; it means the model's own guidance here.
_USUAL_INFLUENCE = 0.3
_STRONGEST = 3.0


async def sound_generation(request: Request) -> Response:
    """POST /v1/sound-generation, the shape of ElevenLabs: text, duration_seconds, prompt_influence, loop, model_id."""
    service = service_of(request)
    service.refuse_if_closed()
    wanted = output_format(request.query_params.get("output_format", "mp3"))
    body = await json_object(request, service.limits)
    values, warnings = _from_elevenlabs(body, service.engines)
    return await _respond(request, values, wanted, warnings)


async def audio_generations(request: Request) -> Response:
    """POST /v1/audio/generations, in the manner of OpenAI: model, prompt or input, response_format, any other field."""
    service = service_of(request)
    service.refuse_if_closed()
    values = await json_object(request, service.limits)
    name = values.pop("response_format", "wav")
    if not isinstance(name, str):
        raise UsageError("response_format must be text.")
    wanted = output_format(name, "response_format")
    if "input" in values:
        if "prompt" in values:
            raise UsageError("prompt is given twice, the second time as input.")
        values["prompt"] = values.pop("input")
    return await _respond(request, values, wanted, [])


def _from_elevenlabs(body: Mapping[str, Any], engines: Mapping[str, ServedEngine]) -> tuple[dict[str, Any], list[str]]:
    """The same request with arctone's field names, and warnings about values without effect."""
    values = dict(body)
    for theirs, ours in (("text", "prompt"), ("model_id", "model")):
        if theirs in values:
            if ours in values:
                raise UsageError(f"{ours} is given twice, the second time as {theirs}.")
            values[ours] = values.pop(theirs)
    influence = values.pop("prompt_influence", None)
    if influence is None:
        return values, []
    if "cfg_scale" in values:
        raise UsageError("prompt_influence and cfg_scale say the same thing; give only one.")
    name = values.get("model") or next(iter(engines))
    engine = engines.get(name) if isinstance(name, str) else None
    if engine is None:
        return {**values, "cfg_scale": _guidance(influence, 1.0)}, []
    sampling = engine.config.of_flow.sampling if engine.has_flow else engine.config.sampling
    scale = _guidance(influence, sampling.cfg_scale)
    if sampling.post_trained:
        return values, [f"prompt_influence has no effect: {name} is post-trained and has its guidance built in."]
    # The usual guidance is what such a model has built in, and it is quicker without the flow model.
    if engine.has_flow and influence == _USUAL_INFLUENCE:
        return values, []
    return {**values, "cfg_scale": scale}, []


def _guidance(influence: Any, usual: float) -> float:
    """Straight from 1 (no guidance) over the model's own scale at 0.3 to three times that at 1."""
    if isinstance(influence, bool) or not isinstance(influence, int | float) or not 0 <= influence <= 1:
        raise UsageError(f"prompt_influence must be a number from 0 to 1, got {str(influence)[:40]}.")
    if influence <= _USUAL_INFLUENCE:
        return 1.0 + (usual - 1.0) * influence / _USUAL_INFLUENCE
    more = (influence - _USUAL_INFLUENCE) / (1.0 - _USUAL_INFLUENCE)
    return min(20.0, usual * (1.0 + (_STRONGEST - 1.0) * more))


async def _respond(request: Request, values: dict[str, Any], wanted: OutputFormat, warnings: list[str]) -> Response:
    service = service_of(request)
    key = request.headers.get("idempotency-key")
    job = parse_job(values, service.engines, service.limits)
    if job.request.variations != 1:
        raise UsageError(f"variations must be 1 where the answer is one sound, got {job.request.variations}.")
    job.is_kept = key is not None
    job.request_id = request_id(request)
    job, _ = await service.submit_once(job, key, fingerprint({**values, "address": request.url.path}))
    await _finished_or_gone(request, job)
    return await _sent(request, job, wanted, warnings)


async def _finished_or_gone(request: Request, job: Job) -> None:
    """Wait for the job, and cancel it as soon as its client hangs up; one that is kept may be asked for again."""
    finished = asyncio.ensure_future(job.finished())
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((finished, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (finished, gone):
            task.cancel()
        if not job.is_final and not job.is_kept:
            service_of(request).cancel(job)
    if not job.is_final:
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
    all_warnings = [*result.warnings, *warnings, *([wanted.warning] if wanted.warning else [])]
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
