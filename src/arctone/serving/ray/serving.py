"""Serve replicas with Ray.

    serve run arctone.serving.ray.serving:build model=spark replicas=8 threads=2

The server is one replica, because it alone holds the queue and the takes; it computes nothing. Each worker of it
uses an engine host of its own, step by step, exactly as with `arctone serve --replicas`.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette

from arctone.errors import UsageError
from arctone.inference.load_options import LoadOptions
from arctone.inference.loading import load_model
from arctone.serving.http.app import create_app
from arctone.serving.http.formats import Limits
from arctone.serving.http.middleware import token_for
from arctone.serving.http.replicas import Command, EngineHost, HostConfig, Replica
from arctone.serving.ray.batches import joined, name_everywhere, num_workers_that_fit, ray_module


class ActorLink:
    """See `arctone.serving.http.replicas.Link`. The actor holds as many processors as its engine has threads."""

    def __init__(self, config: HostConfig) -> None:
        self._ray: Any = ray_module()
        # Neighbours on one machine would share its caches and its memory's bandwidth.
        how = {"num_cpus": config.options.threads or 1, "scheduling_strategy": "SPREAD", "max_restarts": 0}
        self._actor = self._ray.remote(EngineHost).options(**how).remote(config)

    def ask(self, command: Command, seconds: float) -> Any:
        """See Link."""
        try:
            return self._ray.get(self._actor.answer.remote(command), timeout=seconds)
        except self._ray.exceptions.RayError as problem:
            raise EOFError from problem

    def close(self) -> None:
        """See Link."""
        self._ray.kill(self._actor)


NAME = "arctone"
_LIMITS = {field.name for field in msgspec.structs.fields(Limits)}
_OPTIONS = {field.name for field in msgspec.structs.fields(LoadOptions)}


class Serving(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is served, and how.

    Args:
        models: names or folders, the same on all machines.
        options: that each worker opens them with; it reserves as many processors as its threads.
        replicas: workers, each with its own copy of all models.
        limits: see `create_app`, as for the rest.
        token: secret of the clients.
        allowed_hosts: names that the server is called by.
        cors_origins: origins whose pages may use the server.
        output_folder: where takes are kept.
    """

    models: tuple[str, ...] = ("spark",)
    options: LoadOptions = LoadOptions(threads=1)
    replicas: int = 1
    limits: Limits = Limits()
    token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    output_folder: str | None = None


class ServeDeployment:
    """The methods that Serve calls next to the application."""

    app: Starlette

    async def drain(self) -> None:
        """Accept nothing new; return when all accepted jobs are finished and fetched, or their time is over."""
        await self.app.state.service.drain()


def application(serving: Serving) -> Any:
    """Build the Ray Serve application.

    Args:
        serving: Its settings.

    Returns:
        The application.

    Raises:
        ModelError: If a model is not here.
        UsageError: If Ray is not installed.
    """
    models = tuple(map(name_everywhere, serving.models))
    ray_module()
    from ray import serve

    def app() -> Starlette:
        return app_of(msgspec.structs.replace(serving, models=models))

    most = serving.limits.max_connections
    deployment = serve.deployment(
        serve.ingress(app)(ServeDeployment),
        name=NAME,
        num_replicas=1,
        max_ongoing_requests=most,
        max_queued_requests=most,
        # The processors are for the engine hosts; the server itself only encodes.
        ray_actor_options={"num_cpus": 0},
        graceful_shutdown_timeout_s=serving.limits.drain_seconds,
    )
    return deployment.bind()


def app_of(serving: Serving) -> Starlette:
    """`create_app` with engine hosts of the cluster."""
    names = dict.fromkeys(serving.models)
    models = {name: load_model(name, serving.options) for name in names}
    workers = [
        [Replica(model, serving.options, start=ActorLink, folder=name) for name, model in models.items()]
        for _ in range(serving.replicas)
    ]
    return create_app(
        workers[0],
        serving.limits,
        more_workers=workers[1:],
        token=serving.token,
        allowed_hosts=serving.allowed_hosts,
        cors_origins=serving.cors_origins,
        output_folder=None if serving.output_folder is None else Path(serving.output_folder),
    )


def build(arguments: Mapping[str, str]) -> Any:
    """Build the application for `serve run` and Serve's config files.

    Args:
        arguments: Names and values of Serving, of Limits, and token_file, as text.

    Returns:
        The application.

    Raises:
        UsageError: For a name or value that cannot be used.
    """
    values: dict[str, Any] = dict(arguments)
    token_file = values.pop("token_file", None)
    if token_file is not None:
        values["token"] = token_for("127.0.0.1", None, Path(token_file))
    limits = {name: values.pop(name) for name in list(values) if name in _LIMITS}
    options = {"threads": 1, **{name: values.pop(name) for name in list(values) if name in _OPTIONS}}
    for one, many in (("model", "models"), ("allowed_host", "allowed_hosts"), ("cors_origin", "cors_origins")):
        if one in values:
            values[many] = values.pop(one).split(",")
    try:
        serving = msgspec.convert({**values, "limits": limits, "options": options}, Serving, strict=False)
    except msgspec.ValidationError as problem:
        raise UsageError(f"arguments of the deployment cannot be used: {str(problem).lower()}.") from None
    return application(msgspec.structs.replace(serving, limits=serving.limits.checked()))


def run(serving: Serving, address: str, host: str, port: int, ready: Callable[[], None]) -> None:
    """Serve on a cluster until a stop signal, then drain.

    Args:
        serving: Settings of the application.
        address: Of the cluster.
        host: Address to bind.
        port: To bind.
        ready: Called once the application answers.

    Raises:
        UsageError: If the cluster does not answer or has too few processors.
        ModelError: If a model is not here.
    """
    made = application(serving)
    with joined(address) as ray:
        from ray import serve

        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        threads = serving.options.threads or 1
        most = num_workers_that_fit(ray, threads)
        if serving.replicas > most:
            raise UsageError(
                f"replicas must be at most {most}, because a worker holds {threads} of the cluster's "
                f"processors, got {serving.replicas}.",
                field="replicas",
            )
        # Before anything answers: until then a signal would end this program without a word to the cluster.
        stopped = _stop_signal()
        serve.start(http_options={"host": host, "port": port})
        try:
            handle = serve.run(made, name=NAME)
            ready()
            stopped.wait()
            handle.drain.remote().result()
        finally:
            serve.shutdown()


def _stop_signal() -> threading.Event:
    """Set by SIGINT or SIGTERM from now on."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    return stopped
