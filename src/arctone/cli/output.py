"""What the command line prints: results as text or JSON, progress bars, warnings."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from arctone.errors import one_line
from arctone.inference.request import GenerationResult, Progress


def print_pairs(pairs: Mapping[str, str]) -> None:
    """One line for each name and value."""
    print_rows([[one_line(name), one_line(value)] for name, value in pairs.items()])


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Lines of columns, each as wide as its longest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


JsonOption = Annotated[bool, typer.Option("--json", help="Report on standard output as JSON.")]


def print_json(record: Any) -> None:
    """One indented JSON document on standard output."""
    print(json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False))


def result_record(result: GenerationResult, paths: list[Path]) -> dict[str, Any]:
    """A result as JSON-ready values."""
    files = [
        {"path": str(path), "seed": seed, "duration_seconds": waveform.duration_seconds}
        for path, seed, waveform in zip(paths, result.seeds, result.waveforms, strict=True)
    ]
    record = result.to_record()
    times = {stage: round(value, 3) for stage, value in result.timings_ms.items()}
    return {"files": files, **record, "timings_ms": times, "warnings": list(result.warnings)}


def print_result(result: GenerationResult, paths: list[Path], *, quiet: bool) -> None:
    """Paths on stdout, one a line; seeds, time and warnings on stderr. Warnings are printed even if quiet."""
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for path in dict.fromkeys(paths):
        print(path)
    if not quiet:
        print(_summary(result), file=sys.stderr)


def _summary(result: GenerationResult) -> str:
    seconds = result.waveforms[0].duration_seconds
    count = len(result.seeds)
    sounds = f"{count} sounds of {seconds:.2f} s" if count > 1 else f"{seconds:.2f} s of sound"
    seeds = f"seeds {result.seeds[0]} to {result.seeds[-1]}" if count > 1 else f"seed {result.seeds[0]}"
    if result.selection is not None:
        sounds = f"{sounds} chosen from {result.selection.num_candidates}"
        seeds = f"seeds {', '.join(map(str, result.seeds))}"
    how = f"{result.model_name}, {result.request.steps} steps, {seeds}"
    return f"{sounds} in {took_ms(result) / 1000:.2f} s ({how})"


def took_ms(result: GenerationResult) -> float:
    """Milliseconds of the whole generation, loading included."""
    return result.timings_ms.get("total") or sum(result.timings_ms.values())


@contextmanager
def waiting(words: str, quiet: bool = False) -> Iterator[None]:
    """A moving sign with the time that has passed, on stderr, for work of unknown length; nothing on no terminal."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich import progress
    from rich.console import Console

    columns = (progress.SpinnerColumn(), progress.TextColumn("{task.description}"), progress.TimeElapsedColumn())
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        bar.add_task(words, total=None)
        yield


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
    """Run a generation to its end, with a bar if stderr is a terminal.

    Args:
        events: Of the engine.
        variations: Number of sounds.
        quiet: No bar.

    Returns:
        Its result.
    """
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
    """A bar that starts again with each stage of each sound."""

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
