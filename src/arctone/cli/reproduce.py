"""`arctone reproduce`: the paper's comparison in miniature."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arctone.cli.output import counted_bar, waiting

if TYPE_CHECKING:
    from arctone.workflows.reproduce.budget import Budget
    from arctone.workflows.reproduce.run import Settings

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def reproduce(
    budget: Annotated[str, typer.Option(help="Time for the whole command, such as 5m, 60m or 6h")] = "60m",
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder; a reproduction that was interrupted continues there")
    ] = Path("outputs/reproduction"),
    source: Annotated[
        str, typer.Option(help="Where clips come from: corpus:, a folder, a manifest, shards")
    ] = "corpus:",
    model: Annotated[str, typer.Option(help="Model whose autoencoder and text encoder are used, by name or folder")] = (
        "spark"
    ),
    keep_flow: Annotated[
        bool, typer.Option("--keep-flow", help="Use the model's own transformer as the flow instead of training one")
    ] = False,
    latents: Annotated[
        Path | None,
        typer.Option(help="Folder that `arctone data encode` wrote with this model; else clips are encoded"),
    ] = None,
    prompts: Annotated[
        int | None,
        typer.Option(
            min=4, help="Held-out prompts of every row, however long they take; else as many as there is time for"
        ),
    ] = None,
    embedder: Annotated[
        list[str] | None,
        typer.Option(
            "--embedder",
            "-e",
            help="aisfx, musicnn or corpus-clap; repeatable, else all, below ten minutes corpus-clap",
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all if not given")] = None,
) -> None:
    """Train a flow, ARC, its baselines and its ablations, measure all, write a report.

    Interrupt it whenever you like: called again it continues with the stage it was at.

    Example: arctone reproduce --budget 60m --out outputs/reproduction
    """
    from arctone.workflows.reproduce.budget import parse_budget

    given_parts = {"data": latents is not None, "flow": keep_flow}
    length = parse_budget(budget, tuple(name for name, is_given in given_parts.items() if is_given))
    started = time.monotonic()
    with waiting("opening the model and what measures it"):
        settings = _settings(length, out, source, model, keep_flow, latents, prompts, embedder, threads)
    _run(settings, started)


def _settings(
    length: Budget,
    out: Path,
    source: str,
    model: str,
    keep_flow: bool,
    latents: Path | None,
    prompts: int | None,
    embedder: list[str] | None,
    threads: int | None,
) -> Settings:
    from arctone.data.encoders import use_threads
    from arctone.evaluation.embedders.protocol import OFFLINE, open_embedder
    from arctone.model_folder.folder import find_model
    from arctone.training.recipes import recipe
    from arctone.workflows.reproduce.run import Settings

    given = find_model(model)
    embedders = [open_embedder(name) for name in embedder or (("corpus-clap",) if length.is_brief else OFFLINE)]
    if threads is not None:
        use_threads(threads)
    plan = recipe(length.recipe)
    return Settings(
        length, out, source, given, plan, embedders, keep_flow=keep_flow, latents=latents, num_prompts=prompts
    )


def _run(settings: Settings, started: float) -> None:
    from arctone.workflows.reproduce.report import write_report
    from arctone.workflows.reproduce.run import Reproduction

    with counted_bar("", quiet=False) as show:
        work = Reproduction(settings, lambda stage: typer.echo(stage, err=True), show)
        work.deadline.take(time.monotonic() - started)
        work.run()
        report = write_report(settings.out)
    typer.echo(report)
