"""The application: everything it needs is given to `create_app`, nothing lives in a module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from arctone.errors import ArctoneError, UsageError
from arctone.inference.engine import Model
from arctone.serving.http.failures import ApiError, answer, answer_http
from arctone.serving.http.limits import Limits
from arctone.serving.http.makers import Maker
from arctone.serving.http.routes import about, jobs, records, sounds
from arctone.serving.http.security import Doors, Identity
from arctone.serving.http.service import Service

WEB = Path(__file__).parent / "web"
_EXPOSED = ["X-Request-Id", "X-Arctone-Seed", "X-Arctone-Warnings", "Content-Disposition", "Location", "Retry-After"]

Models = Maker | Model | Sequence[Maker | Model]


def create_app(
    models: Models,
    limits: Limits | None = None,
    *,
    more_lanes: Sequence[Models] = (),
    token: str | None = None,
    allowed_hosts: Collection[str] = (),
    cors_origins: Collection[str] = (),
    folder: Path | None = None,
    output_folder: Path | None = None,
) -> Starlette:
    """An ASGI application that makes sound.

    Args:
        models: what it serves; the first is the default.
        limits: what it takes on at most.
        more_lanes: further copies of the same models, one set for each job that is worked on at the same time.
        token: what clients must show; None = nothing, which suits loopback addresses only.
        allowed_hosts: names by which the server may be called, besides localhost and addresses in figures.
        cors_origins: whose pages may call it, such as "https://example.org".
        folder: where takes are kept until their time is over; None = a temporary folder.
        output_folder: where every take is also written as a WAV file that stays; None = nowhere.
    Raises: UsageError if no model is given, two have the same name, or the lanes differ.
    """
    lanes = [_by_name(models), *(_by_name(lane) for lane in more_lanes)]
    if any(list(lane) != list(lanes[0]) for lane in lanes):
        raise UsageError("more_lanes must have the same models as the first lane.")
    service = Service(lanes, (limits or Limits()).checked(), folder, output_folder)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = Starlette(
        routes=_routes(),
        middleware=_middleware(service, token, allowed_hosts, cors_origins),
        exception_handlers={HTTPException: answer_http, ApiError: answer, ArctoneError: answer, OSError: answer},
        lifespan=lifespan,
    )
    app.state.service = service
    app.state.needs_token = token is not None
    return app


def _middleware(
    service: Service, token: str | None, hosts: Collection[str], origins: Collection[str]
) -> list[Middleware]:
    doors = Middleware(Doors, limits=service.limits, token=token, hosts=hosts, origins=origins)
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Range", "X-Request-Id"],
        expose_headers=_EXPOSED,
    )
    # CORS stands outside the doors, so that a refusal can be read by a page that is allowed in.
    return [Middleware(Identity, answered=service.metrics.answered), *([cors] if origins else []), doors]


def _routes() -> list[Route | Mount]:
    return [
        Route("/", page),
        Mount("/static", StaticFiles(directory=WEB, check_dir=False)),
        Route("/v1/models", about.models),
        Route("/v1/limits", about.limits),
        Route("/v1/jobs", jobs.create, methods=["POST"]),
        Route("/v1/jobs/{id}", jobs.show),
        Route("/v1/jobs/{id}", jobs.delete, methods=["DELETE"]),
        Route("/v1/jobs/{id}/events", jobs.events),
        Route("/v1/jobs/{id}/takes/{index}", jobs.take),
        Route("/v1/records", records.read, methods=["POST"]),
        Route("/v1/sound-generation", sounds.sound_generation, methods=["POST"]),
        Route("/v1/audio/generations", sounds.audio_generations, methods=["POST"]),
        Route("/health", about.health),
        Route("/ready", about.ready),
        Route("/metrics", about.metrics),
        Route("/openapi.json", about.openapi),
    ]


async def page(request: Request) -> Response:
    """GET /: the page, which is a plain file."""
    if not (WEB / "index.html").is_file():
        raise HTTPException(404)
    return FileResponse(WEB / "index.html", headers={"Cache-Control": "no-cache"})


def _by_name(models: Models) -> Mapping[str, Maker]:
    given = list(models) if isinstance(models, Sequence) else [models]
    engines = [one.engine if isinstance(one, Model) else one for one in given]
    found = {engine.config.name: engine for engine in engines}
    if not found:
        raise UsageError("models must hold at least one model.")
    if len(found) < len(engines):
        raise UsageError(f"models must have different names, got {', '.join(e.config.name for e in engines)}.")
    return found
