"""A stage of training on the terminal: threads, progress bar, and what is written at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from arctone.training.loop import Trainer


def use_threads(threads: int | None) -> None:
    """CPU threads of this process; None leaves them."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def run_to_end(trainer: Trainer, finish: Callable[[], None]) -> None:
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
            losses = (f"{name} {means[name]:.3f}" for name in means if name.endswith("total"))
            progress.update(task, completed=step, description=", ".join(losses).replace("total", "loss"))

        try:
            trainer.run(show)
        finally:
            finish()
    typer.echo(
        f"{trainer.step} of {trainer.config.total_steps} steps done, weights in {trainer.folder.parent}", err=True
    )
