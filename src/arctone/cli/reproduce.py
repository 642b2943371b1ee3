"""`arctone reproduce`: the paper's comparison in miniature."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def reproduce(
    budget: Annotated[str, typer.Option(help="Time for all of it, such as 5m, 60m or 6h")] = "60m",
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
        int | None, typer.Option(min=4, help="Held-out prompts of every row; else as many as there is time for")
    ] = None,
    embedder: Annotated[
        list[str] | None, typer.Option("--embedder", "-e", help="aisfx, musicnn or corpus-clap; repeatable, else all")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all if not given")] = None,
) -> None:
    """Train a flow, ARC, its baselines and its ablations, measure all, write a report.

    Interrupt it whenever you like: called again it continues with the stage it was at.

    Example: arctone reproduce --budget 60m --out outputs/reproduction
    """
    from arctone.data.encoders import use_threads
    from arctone.evaluation.embedders.protocol import OFFLINE, open_embedder
    from arctone.model_folder.folder import find_model
    from arctone.training.recipes import recipe
    from arctone.workflows.reproduce.report import write_report
    from arctone.workflows.reproduce.run import Reproduction, Settings, parse_budget

    given_parts = {"data": latents is not None, "flow": keep_flow}
    length = parse_budget(budget, tuple(name for name, is_given in given_parts.items() if is_given))
    given = find_model(model)
    embedders = [open_embedder(name) for name in embedder or OFFLINE]
    if threads is not None:
        use_threads(threads)
    plan = recipe(length.recipe)
    settings = Settings(
        length, out, source, given, plan, embedders, keep_flow=keep_flow, latents=latents, num_prompts=prompts
    )
    Reproduction(settings, lambda stage: typer.echo(stage, err=True)).run()
    typer.echo(write_report(out))
