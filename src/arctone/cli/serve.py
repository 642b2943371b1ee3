"""`arctone serve`: the page and the API, from the command line."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from arctone.cli.options import CompiledOption, DeviceOption, EngineOption, PrecisionOption, open_model
from arctone.errors import UsageError
from arctone.inference.load_options import LoadOptions

if TYPE_CHECKING:
    from arctone.inference.engine import Model
    from arctone.serving.http.adapters import ServedEngine

EXAMPLES = """\b
Examples:
  arctone serve
  arctone serve --port 9000 --model spark --model runs/mine
  arctone serve --concurrency 2 --threads 1 --queue 64
  arctone serve --ray auto --replicas 16 --threads 2
  arctone serve --host 0.0.0.0 --token-file token.txt --allowed-host studio.lan

\b
Only this machine reaches the server unless --host says otherwise, and then clients need a token.
The first Ctrl-C or SIGTERM lets accepted requests finish, the second ends at once."""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog=EXAMPLES)
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; anything but loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any free one.")] = 8000,
    model: Annotated[
        list[str] | None,
        typer.Option("-m", "--model", metavar="NAME", help="Name or folder of a model; repeatable. Default: spark."),
    ] = None,
    engine: EngineOption = "auto",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    compiled: CompiledOption = False,
    token: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What clients must show; others may see it in the process list.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File that holds the token; else ARCTONE_TOKEN is read.")
    ] = None,
    allowed_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Name this server is called by; repeatable.")
    ] = None,
    cors_origin: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Origin whose pages may use this server; repeatable.")
    ] = None,
    queue: Annotated[int, typer.Option(min=1, help="Requests that may wait; one more is refused.")] = 32,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Requests worked on at the same time.")] = 1,
    replicas: Annotated[
        int,
        typer.Option(min=0, max=64, help="The same, each in a process of its own. Default: none."),
    ] = 0,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Let the replicas run on a Ray cluster: auto, HOST:PORT, or local for one on this machine.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=64, help="Compatible requests that advance together.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="CPU threads of each; default: all, shared evenly.")
    ] = None,
    output_folder: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also write every take there as a WAV file, for good.")
    ] = None,
    max_seconds: Annotated[float, typer.Option(min=0.1, help="Longest sound, in seconds.")] = 300.0,
    job_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds from a request to its sound.")] = 300.0,
    drain: Annotated[float, typer.Option(min=0.1, help="Seconds that a stop lets requests go on.")] = 30.0,
    keep_seconds: Annotated[float, typer.Option(min=1, help="How long takes can be fetched.")] = 3600.0,
    keep_jobs: Annotated[int, typer.Option(min=1, help="How many finished jobs are kept.")] = 200,
    keep_bytes: Annotated[int, typer.Option(min=1, help="How many bytes of takes are kept.")] = 512 * 2**20,
    lora: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER", help="Adapter of the first model that requests may choose; repeatable, needs torch."
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    log_requests: Annotated[bool, typer.Option("--log-requests", help="One line on stderr for each request.")] = False,
) -> None:
    """Serve sound: a page for people, an API for programs."""
    from arctone.serving.http.formats import Limits
    from arctone.serving.http.middleware import checked_origin, token_for
    from arctone.serving.http.process import bound_socket

    limits = Limits(
        max_queue=queue,
        max_batch=batch,
        max_duration_seconds=max_seconds,
        job_timeout_seconds=job_timeout,
        drain_seconds=drain,
        retention_seconds=keep_seconds,
        retention_jobs=keep_jobs,
        retention_bytes=keep_bytes,
    ).checked()
    how = LoadOptions(engine=engine, threads=threads, device=device, precision=precision, compiled=compiled)
    secret = token_for(host, token, token_file)
    origins = [checked_origin(origin) for origin in cors_origin or []]
    if ray is not None and lora:
        raise UsageError("lora cannot be combined with --ray.", field="lora")
    if ray is not None:
        if concurrency > 1 or port == 0:
            raise UsageError("with --ray give --replicas instead of --concurrency, and a port that is not 0.")
        from arctone.serving.ray.serving import Serving
        from arctone.serving.ray.serving import run as run_on_ray

        serving = Serving(
            models=tuple(model or ["spark"]),
            options=msgspec.structs.replace(how, threads=threads or 1),
            replicas=max(1, replicas),
            limits=limits,
            token=secret,
            allowed_hosts=(host, *(allowed_host or [])),
            cors_origins=tuple(origins),
            output_folder=None if output_folder is None else str(output_folder.absolute()),
        )
        run_on_ray(serving, ray, host, port, ready=lambda: print(_url(host, port), flush=True))
        return
    with bound_socket(host, port) as listener:
        from arctone.serving.http.app import create_app
        from arctone.serving.http.process import run

        engines = _load_engines(model or ["spark"], how, concurrency, replicas)
        if lora:
            engines = _with_adapters(engines, lora, how)
        server = create_app(
            engines[0],
            limits,
            more_workers=engines[1:],
            token=secret,
            allowed_hosts=[host, *(allowed_host or [])],
            cors_origins=origins,
            output_folder=output_folder,
        )
        _log_to_stderr(requests=log_requests)
        address = _url(host, listener.getsockname()[1])
        print(address, flush=True)
        if open_page:
            import webbrowser

            # The socket listens already: the browser waits until the server answers.
            webbrowser.open(address)
        run(server, listener)


def _load_engines(
    models: list[str], options: LoadOptions, concurrency: int, replicas: int
) -> list[list[Model | ServedEngine]]:
    """Open the models of each worker, in this process or in one of their own."""
    from arctone.inference.load_options import usable_threads

    if replicas and concurrency > 1:
        raise UsageError(
            f"concurrency {concurrency} and replicas {replicas} say the same thing; give only one.", field="concurrency"
        )
    num_workers = replicas or concurrency
    each = options.threads or max(1, usable_threads() // num_workers)
    options = msgspec.structs.replace(options, threads=each)
    loaded = [[open_model(model, options) for model in models] for _ in range(num_workers)]
    if not replicas:
        return [list(models) for models in loaded]
    from arctone.serving.http.replicas import Replica

    return [[Replica(model, options) for model in models] for models in loaded]


def _with_adapters(
    workers: list[list[Model | ServedEngine]], words: list[str], options: LoadOptions
) -> list[list[Model | ServedEngine]]:
    """Let requests to the first model choose adapters; each is opened once now, so that a wrong one is refused."""
    from arctone.inference.engine import Model
    from arctone.serving.http.adapters import AdaptedEngine, parse_named_folders

    folders = parse_named_folders(words)
    adapted: list[list[Model | ServedEngine]] = []
    for first, *others in workers:
        if not isinstance(first, Model):
            raise UsageError("lora cannot be combined with --replicas; use --concurrency.", field="lora")

        def open_with(pairs: tuple[tuple[Path, float], ...], folder: Path = first.folder) -> ServedEngine:
            return open_model(str(folder), msgspec.structs.replace(options, engine="torch", adapters=pairs)).engine

        adapted.append([AdaptedEngine(first.engine, folders, open_with), *others])
    for folder in folders.values():
        open_with(((folder, 1.0),)).close()
    return adapted


def _log_to_stderr(*, requests: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name, level in (
        ("arctone.serving.http", logging.INFO if requests else logging.WARNING),
        ("uvicorn", logging.ERROR),
    ):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
