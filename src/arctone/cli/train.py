"""`arctone train`: the stages of training, each resumable."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arctone.errors import UsageError

if TYPE_CHECKING:
    from arctone.training.loop import Trainer
    from arctone.training.recipes import Recipe

app = typer.Typer(no_args_is_help=True, help="Train models: first the autoencoder, then the flow on its latents.")

PRECISIONS = ("bf16-mixed", "16-mixed", "32-true")

RecipeOption = Annotated[str, typer.Option(help="spark (the bundled model) or spark-minutes (minutes on two cores)")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Model folder; an interrupted run continues there")]
StepsOption = Annotated[int | None, typer.Option(min=1, help="Steps in all; the recipe's own if not given")]
MinutesOption = Annotated[float | None, typer.Option(min=0.01, help="Stop after so many minutes; progress is kept")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of weights, batches and noise")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads; all if not given")]
PrecisionOption = Annotated[str | None, typer.Option(help=f"{', '.join(PRECISIONS)}; the recipe's own if not given")]
InitOption = Annotated[str | None, typer.Option(help="A model, by name or folder, whose weights a new run begins with")]
DemoOption = Annotated[int, typer.Option(min=0, help="Write demo audio every so many steps; 0 = never")]


@app.command()
def autoencoder(
    data: Annotated[str, typer.Option(help="A folder, a manifest, shards, or corpus:")] = "corpus:",
    out: OutOption = Path("runs/spark"),
    recipe: RecipeOption = "spark",
    steps: StepsOption = None,
    max_minutes: MinutesOption = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    precision: PrecisionOption = None,
    demo_every: DemoOption = 0,
    init: InitOption = None,
) -> None:
    """Train the autoencoder that turns sound into latents and back.

    Example: arctone train autoencoder --recipe spark-minutes --out runs/mine --max-minutes 3
    """
    from arctone.training import stages

    plan = _planned(recipe, "autoencoder_loop", steps, max_minutes, seed, precision, demo_every)
    _use_threads(threads)
    _run(
        stages.autoencoder(plan, data, out, _folder(init)),
        lambda trainer: stages.finish_autoencoder(plan, trainer, out),
    )


@app.command()
def flow(
    latents: Annotated[Path, typer.Option(help="Folder that `arctone data encode` wrote")],
    out: OutOption = Path("runs/spark"),
    recipe: RecipeOption = "spark",
    steps: StepsOption = None,
    max_minutes: MinutesOption = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    precision: PrecisionOption = None,
    demo_every: DemoOption = 0,
    init: InitOption = None,
) -> None:
    """Train the diffusion transformer as a rectified flow on encoded latents.

    Example: arctone train flow --latents runs/mine/latents --recipe spark-minutes --out runs/mine --max-minutes 3
    """
    from arctone.training import stages

    plan = _planned(recipe, "flow_loop", steps, max_minutes, seed, precision, demo_every)
    _use_threads(threads)
    _run(stages.flow(plan, latents, out, _folder(init)), lambda trainer: stages.finish_flow(plan, trainer, out))


def _planned(
    name: str,
    loop: str,
    steps: int | None,
    max_minutes: float | None,
    seed: int,
    precision: str | None,
    demo_every: int,
) -> Recipe:
    """The recipe with the options that were given put in their places."""
    from arctone.training.recipes import recipe

    plan = recipe(name)
    if precision is not None and precision not in PRECISIONS:
        raise UsageError(f"precision: {precision!r} is unknown, choose from {', '.join(PRECISIONS)}")
    changes: dict[str, Any] = {"max_minutes": max_minutes, "seed": seed, "demo_every": demo_every}
    changes |= {} if steps is None else {"total_steps": steps}
    changes |= {} if precision is None else {"precision": precision}
    changed: dict[str, Any] = {loop: dataclasses.replace(getattr(plan, loop), **changes)}
    return dataclasses.replace(plan, **changed)


def _folder(model: str | None) -> Path | None:
    from arctone.model_folder import find_model

    return None if model is None else find_model(model)


def _use_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _run(trainer: Trainer, finish: Callable[[Trainer], None]) -> None:
    """Train with a progress bar, then write the model; an interruption keeps the checkpoint and the model so far."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=trainer.config.total_steps, completed=trainer.step)

        def show(step: int, means: dict[str, float]) -> None:
            progress.update(task, completed=step, description=f"loss {means['total']:.3f}" if means else "")

        try:
            trainer.run(show)
        finally:
            finish(trainer)
    typer.echo(
        f"{trainer.step} of {trainer.config.total_steps} steps done, weights in {trainer.folder.parent}", err=True
    )
