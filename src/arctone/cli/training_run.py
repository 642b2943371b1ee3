"""A stage of training on the terminal: threads, progress bar, and what is written at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from arctone.training.loop import Trainer
    from arctone.training.stages import Stage


def use_threads(threads: int | None) -> None:
    """Sets the CPU threads of this process; None leaves them."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def plan_or_train(stage: Stage, *, plan_only: bool) -> None:
    """Prints what a stage will take, or trains it.

    Args:
        stage: On latents.
        plan_only: Whether nothing is trained.
    """
    if not plan_only:
        train(stage)
        return
    from arctone.training.plan import plan_stage

    for line in plan_stage(stage).lines():
        typer.echo(line)


def train(stage: Stage) -> Trainer:
    """Trains a stage with a progress bar, then writes the model; an interruption keeps the checkpoint and the model so
    far, a failure what was there before.

    Args:
        stage: What is trained.
    """
    from arctone.training.stages import run_stage

    trainer = run_stage(stage, run_with_bar)
    _tell_end(trainer)
    return trainer


def run_with_bar(trainer: Trainer) -> None:
    """Runs a trainer to its end with a progress bar, which the first process alone shows.

    Args:
        trainer: At its beginning, or where an interrupted run stopped.
    """
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
    hidden = not trainer.fabric.is_global_zero
    with Progress(*columns, console=Console(stderr=True), disable=hidden) as progress:
        task = progress.add_task("", total=trainer.config.total_steps, completed=trainer.step)

        def show(step: int, means: dict[str, float]) -> None:
            losses = (f"{name} {means[name]:.3f}" for name in means if name.endswith("total"))
            progress.update(task, completed=step, description=", ".join(losses).replace("total", "loss"))

        trainer.run(show)


def _tell_end(trainer: Trainer) -> None:
    if trainer.fabric.is_global_zero:
        done = f"{trainer.step} of {trainer.config.total_steps} steps done, weights in {trainer.folder.parent}"
        typer.echo(done, err=True)
