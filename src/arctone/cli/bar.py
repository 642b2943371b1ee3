"""A bar for work that counts things: what is done, out of how many, and the time that is left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def counted_bar(words: str, quiet: bool) -> Iterator[Callable[..., None]]:
    """A progress bar with the time that is left, on stderr; nothing if stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total, stage="": None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task, shown = bar.add_task(words, total=None), [""]

        def show(done: int, total: int, stage: str = "") -> None:
            if stage != shown[0]:
                shown[0] = stage
                bar.reset(task, total=total, description=f"{words} {stage}")
            bar.update(task, completed=done, total=total)

        yield show
