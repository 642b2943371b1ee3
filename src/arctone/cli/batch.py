"""`arctone generate --batch`: the lines of a file, made here one after another or on a Ray cluster."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from arctone.audio.files import FORMATS
from arctone.cli.options import open_model
from arctone.cli.output import finished
from arctone.errors import InputFileError, UsageError
from arctone.inference.load_options import LoadOptions
from arctone.serving.batch import Line, Report, is_done, read_line_source, with_seed, write_line

if TYPE_CHECKING:
    from arctone.inference.engine import Model

RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Make a batch on a Ray cluster: auto, HOST:PORT, or local for one on this machine. -o: a folder that all "
        "its machines share.",
    ),
]


def left_to_make(lines: Iterable[Line], report: Report, precision: str, *, force: bool) -> list[Line]:
    """The lines whose files are not all there yet; the others go into the report."""
    left: list[Line] = []
    for line in lines:
        try:
            if not force and is_done(line, precision):
                report.skipped.append(line.number)
            else:
                left.append(line)
        except (UsageError, InputFileError) as problem:
            report.failed[line.number] = problem
    return left


@dataclass(frozen=True)
class BatchConfig:
    """What a batch is generated with.

    Args:
        model: name or folder.
        options: that it is opened with.
        ray: address of a cluster; None = this program generates it.
    """

    model: str
    options: LoadOptions
    ray: str | None = None


def generate_batch(
    lines: list[Line], how: BatchConfig, threads: int | None, report: Report, *, force: bool, quiet: bool
) -> None:
    """Make every line that is not there yet. Each file appears whole or not at all, so that a stopped batch goes on."""
    if how.ray is not None:
        left = left_to_make(lines, report, how.options.precision, force=force)
        _make_on_ray(left, how, threads or 1, report, force=force, quiet=quiet)
        return
    model = open_model(how.model, how.options)
    for line in left_to_make(lines, report, how.options.precision, force=force):
        try:
            _make(line, model, quiet=quiet)
            count_made(line, report, quiet=quiet)
        except (UsageError, InputFileError) as problem:
            report.failed[line.number] = problem


def _make(line: Line, model: Model, *, quiet: bool) -> None:
    waveform, name = read_line_source(line)
    request = with_seed(line).request
    result = finished(model.engine.stream(request, None, waveform, name), request.variations, quiet=quiet)
    tell_warnings(line.number, result.warnings)
    write_line(line, result)


def _make_on_ray(
    lines: list[Line], how: BatchConfig, threads: int, report: Report, *, force: bool, quiet: bool
) -> None:
    from arctone.serving.ray.batches import WorkerConfig, generate_on_ray, joined, num_workers_that_fit

    by_number = {line.number: line for line in lines}
    # Ray tells of lost workers on standard output, where a report may be due.
    with contextlib.redirect_stdout(sys.stderr), joined(how.ray or "") as ray:
        options = msgspec.structs.replace(how.options, threads=threads)
        config = WorkerConfig(how.model, options, num_workers_that_fit(ray, threads))
        for outcome in generate_on_ray(lines, config, force=force):
            tell_warnings(outcome.number, outcome.warnings)
            if outcome.problem is None:
                count_made(by_number[outcome.number], report, quiet=quiet)
            elif isinstance(outcome.problem, UsageError | InputFileError):
                report.failed[outcome.number] = outcome.problem
            else:
                raise outcome.problem
    report.made.sort()


def tell_warnings(number: int, warnings: Iterable[str]) -> None:
    """Warnings about a line, for people."""
    for warning in warnings:
        print(f"warning: line {number}: {warning}", file=sys.stderr)


def count_made(line: Line, report: Report, *, quiet: bool) -> None:
    """A line is made."""
    report.made.append(line.number)
    if not quiet:
        print(f"line {line.number}: {', '.join(str(path) for path in line.paths)}", file=sys.stderr)


def batch_folder(output: str | None, format: str | None) -> tuple[Path, str]:
    """Choose the folder of the results of a batch, and their format.

    Args:
        output: Of `-o`.
        format: Of `--format`.

    Returns:
        The folder, made if it is not there, and the format.

    Raises:
        UsageError: If the folder cannot be made, or the format is unknown.
    """
    chosen = format or "wav"
    if chosen not in FORMATS:
        raise UsageError(f"format must be one of {', '.join(FORMATS)}, got '{chosen}'.", field="format")
    if output == "-":
        raise UsageError("--batch writes files, so -o must be a folder, got '-'.", field="batch")
    folder = Path(output or ".")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UsageError(
            f"{folder} cannot be the folder of a batch: {(problem.strerror or str(problem)).lower()}."
        ) from None
    return folder, chosen
