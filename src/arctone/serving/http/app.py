"""The application: `create_app` receives everything it needs, nothing lives in a module."""

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
from arctone.serving.http.adapters import ServedEngine
from arctone.serving.http.errors import ApiError, answer_error, answer_http_error
from arctone.serving.http.formats import Limits
from arctone.serving.http.middleware import Guard, Identity
from arctone.serving.http.routes import about, jobs, sounds
from arctone.serving.http.service import Service

WEB = Path(__file__).parent / "web"
_EXPOSED = ["X-Request-Id", "X-Arctone-Seed", "X-Arctone-Warnings", "Content-Disposition", "Location", "Retry-After"]

Models = ServedEngine | Model | Sequence[ServedEngine | Model]


def create_app(
    models: Models,
    limits: Limits | None = None,
    *,
    more_workers: Sequence[Models] = (),
    token: str | None = None,
    allowed_hosts: Collection[str] = (),
    cors_origins: Collection[str] = (),
    folder: Path | None = None,
    output_folder: Path | None = None,
) -> Starlette:
    """Build the ASGI application.

    Args:
        models: The models to serve; the first is the default.
        limits: Upper bounds of everything that clients can request.
        more_workers: Further copies of the same models, one set for each further job that runs at the same time.
        token: Needed from clients; None = none, which suits loopback addresses only.
        allowed_hosts: Names by which the server may be called, next to localhost and addresses in figures.
        cors_origins: Origins whose pages may call it, such as "https://example.org".
        folder: Where takes are kept until their time is over; None = a temporary folder.
        output_folder: Where every take is also written as a WAV file that stays; None = nowhere.

    Returns:
        The application.

    Raises:
        UsageError: No model is given, two have the same name, or the workers differ.
    """
    engines = [_by_name(models), *(_by_name(more) for more in more_workers)]
    if any(list(one) != list(engines[0]) for one in engines):
        raise UsageError("more_workers must have the same models as the first worker.", field="more_workers")
    service = Service(engines, (limits or Limits()).checked(), folder, output_folder)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = Starlette(
        routes=_routes(),
        middleware=_middleware(service, token, allowed_hosts, cors_origins),
        exception_handlers={
            HTTPException: answer_http_error,
            **dict.fromkeys((ApiError, ArctoneError, OSError), answer_error),
        },
        lifespan=lifespan,
    )
    app.state.service = service
    app.state.needs_token = token is not None
    return app


def _middleware(
    service: Service, token: str | None, hosts: Collection[str], origins: Collection[str]
) -> list[Middleware]:
    guard = Middleware(Guard, limits=service.limits, token=token, hosts=hosts, origins=origins)
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "DELETE"],
        # SDKs add headers of their own (x-stainless-lang); none of them changes what a request may do.
        allow_headers=["*"],
        expose_headers=_EXPOSED,
    )
    # CORS wraps the guard, so that a page of an allowed origin can read a refusal.
    return [Middleware(Identity, answered=service.metrics.answered), *([cors] if origins else []), guard]


def _routes() -> list[Route | Mount]:
    return [
        Route("/", page),
        Route("/docs", api_page),
        Mount("/static", StaticFiles(directory=WEB, check_dir=False)),
        Route("/v1/models", about.models),
        Route("/v1/models/{name}", about.model),
        Route("/v1/limits", about.limits),
        Route("/v1/estimates", jobs.estimate, methods=["POST"]),
        Route("/v1/jobs", jobs.create, methods=["POST"]),
        Route("/v1/jobs/{id}", jobs.show),
        Route("/v1/jobs/{id}", jobs.delete, methods=["DELETE"]),
        Route("/v1/jobs/{id}/events", jobs.events),
        Route("/v1/jobs/{id}/takes/{index}", jobs.take),
        Route("/v1/records", jobs.read, methods=["POST"]),
        Route("/v1/sound-generation", sounds.sound_generation, methods=["POST"]),
        Route("/v1/audio/speech", sounds.speech, methods=["POST"]),
        Route("/v1/audio/generations", sounds.audio_generations, methods=["POST"]),
        Route("/health", about.health),
        Route("/ready", about.ready),
        Route("/metrics", about.metrics),
        Route("/openapi.json", about.openapi),
    ]


async def page(request: Request) -> Response:
    """GET /: the studio page, which is a plain file."""
    return _file("index.html")


async def api_page(request: Request) -> Response:
    """GET /docs: the OpenAPI document as a page; it loads nothing from other hosts."""
    return _file("docs.html")


def _file(name: str) -> Response:
    if not (WEB / name).is_file():
        raise HTTPException(404)
    return FileResponse(WEB / name, headers={"Cache-Control": "no-cache"})


def _by_name(models: Models) -> Mapping[str, ServedEngine]:
    given = list(models) if isinstance(models, Sequence) else [models]
    engines = [one.engine if isinstance(one, Model) else one for one in given]
    found = {engine.config.name: engine for engine in engines}
    if not found:
        raise UsageError("models must hold at least one model.", field="models")
    if len(found) < len(engines):
        raise UsageError(
            f"models must have different names, got {', '.join(e.config.name for e in engines)}.", field="models"
        )
    return found
