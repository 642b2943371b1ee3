"""Progress of a generation on stderr: the stage, the sound, and when it will be done. Silent when nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from arctone.inference.request import GenerationResult, Progress


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


_WORDS = {
    "text": "reading the prompt",
    "encoding": "reading the source",
    "sampling": "sampling",
    "decoding": "decoding",
}


def finished(events: Iterable[Progress | GenerationResult], variations: int, *, quiet: bool) -> GenerationResult:
    """Run a generation to its end, with a bar if stderr is a terminal. Returns: its result."""
    if quiet or not sys.stderr.isatty():
        return _last(events)
    with _Bar(variations) as bar:
        return _last(events, bar)


def _last(events: Iterable[Progress | GenerationResult], bar: _Bar | None = None) -> GenerationResult:
    for event in events:
        if isinstance(event, GenerationResult):
            return event
        if bar is not None:
            bar.show(event)
    raise RuntimeError("the engine ended without a result")


class _Bar:
    """A bar that starts anew with each stage of each sound."""

    def __init__(self, variations: int) -> None:
        from rich import progress
        from rich.console import Console

        self._variations = variations
        self._progress = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=None)
        self._shown: tuple[str, int] | None = None

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *problem: Any) -> None:
        self._progress.stop()

    def show(self, event: Progress) -> None:
        """Move the bar to where the event is."""
        if self._shown != (event.stage, event.item):
            self._shown = (event.stage, event.item)
            self._progress.reset(self._task, total=event.num_steps, description=self._words(event))
        self._progress.update(self._task, completed=event.step)

    def _words(self, event: Progress) -> str:
        sound = f" sound {event.item + 1} of {self._variations}" if self._variations > 1 else ""
        return _WORDS[event.stage] + sound
