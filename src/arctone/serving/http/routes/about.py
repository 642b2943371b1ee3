"""Routes about the server: models, limits, health, metrics, the OpenAPI document."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from arctone.inference.request_fields import RequestField
from arctone.serving.http.adapters import AdaptedEngine, ServedEngine
from arctone.serving.http.answers import (
    FieldAnswer,
    FieldKind,
    HealthAnswer,
    LimitsAnswer,
    ModelAnswer,
    ModelsAnswer,
    ReadyAnswer,
    json_response,
)
from arctone.serving.http.errors import ApiError
from arctone.serving.http.formats import FILE_FORMATS, Limits, output_names
from arctone.serving.http.metrics import CONTENT_TYPE
from arctone.serving.http.openapi import document
from arctone.serving.http.requests import capabilities, offered_defaults, offered_fields
from arctone.serving.http.service import Service

_KINDS: dict[type, FieldKind] = {str: "text", int: "integer", float: "number", bool: "boolean", tuple: "regions"}
# OpenAI's clients need a date; models of a folder have none.
_CREATED = 0


async def models(request: Request) -> Response:
    """GET /v1/models."""
    found = all_models(service_of(request))
    return json_response(ModelsAnswer(object="list", data=found, models=found))


async def model(request: Request) -> Response:
    """GET /v1/models/{name}."""
    name = request.path_params["name"]
    for found in all_models(service_of(request)):
        if found.name == name:
            return json_response(found)
    raise ApiError(404, "unknown_model", "there is no such model; GET /v1/models lists them.", "model")


async def limits(request: Request) -> Response:
    """GET /v1/limits."""
    values = msgspec.to_builtins(service_of(request).limits)
    return json_response(LimitsAnswer(**values, file_formats=FILE_FORMATS, output_formats=tuple(output_names())))


async def health(request: Request) -> Response:
    """GET /health: the process answers."""
    return json_response(HealthAnswer(status="ok"))


async def ready(request: Request) -> Response:
    """GET /ready: 200 if a new job would be accepted now, whatever the length of the queue; else 503."""
    service = service_of(request)
    waiting, running = len(service.queue), len(service.queue.running)
    if service.is_draining or not service.is_ready:
        draining = ReadyAnswer(status="draining", waiting=waiting, running=running)
        return json_response(draining, 503, {"Retry-After": "10"})
    return json_response(ReadyAnswer(status="ready", waiting=waiting, running=running))


async def metrics(request: Request) -> Response:
    """GET /metrics, for Prometheus."""
    return Response(service_of(request).metrics.text(), headers={"Content-Type": CONTENT_TYPE})


async def openapi(request: Request) -> Response:
    """GET /openapi.json."""
    service = service_of(request)
    adapters = sorted({name for model in all_models(service) for name in model.adapters})
    return JSONResponse(
        document(service.limits, list(service.engines), needs_token=request.app.state.needs_token, adapters=adapters)
    )


def all_models(service: Service) -> tuple[ModelAnswer, ...]:
    """All models of a server, the default one first."""
    return tuple(
        model_answer(name, engine, service.limits, is_default=number == 0)
        for number, (name, engine) in enumerate(service.engines.items())
    )


def model_answer(name: str, engine: ServedEngine, limits: Limits, *, is_default: bool) -> ModelAnswer:
    """A model as clients see it."""
    config = engine.config
    defaults: dict[str, Any] = msgspec.to_builtins(offered_defaults(engine, limits))
    longest = defaults.pop("max_duration_seconds")
    return ModelAnswer(
        id=name,
        object="model",
        created=_CREATED,
        owned_by="arctone",
        name=name,
        is_default=is_default,
        sample_rate=config.sample_rate,
        channels=config.channels,
        max_duration_seconds=longest,
        window_seconds=min(config.dit.max_seconds, longest),
        post_trained=config.sampling.post_trained,
        has_flow=engine.has_flow,
        model_hash=engine.model_hash,
        engine=engine.name,
        defaults=defaults,
        fields=tuple(field_answer(field) for field in offered_fields(limits)),
        capabilities=tuple(capabilities()),
        adapters=engine.adapters if isinstance(engine, AdaptedEngine) else (),
    )


def field_answer(field: RequestField) -> FieldAnswer:
    """A field for building forms."""
    values = {name: getattr(field, name) for name in field.__struct_fields__ if name in FieldAnswer.__struct_fields__}
    kind: FieldKind = "choice" if field.choices else _KINDS[field.kind]
    return FieldAnswer(**{**values, "kind": kind, "allowed": field.allowed})


def service_of(request: Request) -> Service:
    """The service of the application that received this request."""
    service: Service = request.app.state.service
    return service
