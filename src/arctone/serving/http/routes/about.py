"""What the server is and how it is: models, limits, health, metrics, its own description."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from arctone.inference.request_fields import RequestField
from arctone.serving.http.formats import FILE_FORMATS, output_names
from arctone.serving.http.limits import Limits
from arctone.serving.http.makers import Maker
from arctone.serving.http.metrics import CONTENT_TYPE
from arctone.serving.http.openapi import document
from arctone.serving.http.orders import capabilities, offered_defaults, offered_fields
from arctone.serving.http.service import Service


async def models(request: Request) -> Response:
    """GET /v1/models."""
    service = service_of(request)
    fields = [field_json(field) for field in offered_fields(service.limits)]
    found = [
        {
            **model_json(name, engine, service.limits),
            "is_default": number == 0,
            "fields": fields,
            "capabilities": capabilities(),
        }
        for number, (name, engine) in enumerate(service.engines.items())
    ]
    return JSONResponse({"models": found})


async def limits(request: Request) -> Response:
    """GET /v1/limits."""
    service = service_of(request)
    formats = {"file_formats": list(FILE_FORMATS), "output_formats": output_names()}
    return JSONResponse({**service.limits.published(), **formats})


async def health(request: Request) -> Response:
    """GET /health: the process answers."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """GET /ready: 200 if a new job would be taken on now, whatever the length of the line; else 503."""
    service = service_of(request)
    if service.is_draining or not service.is_ready:
        return JSONResponse({"status": "draining"}, 503, headers={"Retry-After": "10"})
    return JSONResponse({"status": "ready", "waiting": len(service.queue), "running": len(service.queue.running)})


async def metrics(request: Request) -> Response:
    """GET /metrics, for Prometheus."""
    return Response(service_of(request).metrics.text(), headers={"Content-Type": CONTENT_TYPE})


async def openapi(request: Request) -> Response:
    """GET /openapi.json."""
    service = service_of(request)
    return JSONResponse(document(service.limits, list(service.engines), needs_token=request.app.state.needs_token))


def model_json(name: str, engine: Maker, limits: Limits) -> dict[str, Any]:
    """What clients may know of a model."""
    config = engine.config
    defaults: dict[str, Any] = msgspec.to_builtins(offered_defaults(engine, limits))
    longest = defaults.pop("max_duration_seconds")
    return {
        "name": name,
        "sample_rate": config.sample_rate,
        "channels": config.channels,
        "max_duration_seconds": longest,
        "window_seconds": min(config.dit.max_seconds, longest),
        "post_trained": config.sampling.post_trained,
        "has_flow": engine.has_flow,
        "model_hash": engine.model_hash,
        "engine": engine.name,
        "defaults": defaults,
    }


def field_json(field: RequestField) -> dict[str, Any]:
    """A field as forms are built from it."""
    kinds = {str: "text", int: "integer", float: "number", bool: "boolean", tuple: "regions"}
    values: dict[str, Any] = {
        name: getattr(field, name) for name in field.__struct_fields__ if name not in ("kind", "short")
    }
    return {**values, "kind": "choice" if field.choices else kinds[field.kind], "allowed": field.allowed}


def service_of(request: Request) -> Service:
    """The service of the application that got this request."""
    service: Service = request.app.state.service
    return service
