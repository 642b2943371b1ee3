"""Batches on Ray Data: every line of a JSONL file on whichever worker is free, the files the same as made in a row.

The folder of the results must be the same for all machines. A line is done when its files are there, so that a worker
that is lost costs the line it was at, and another one makes it.
"""

from __future__ import annotations

import dataclasses
import logging
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arctone import errors
from arctone.errors import ArctoneError
from arctone.inference.load_options import LoadOptions
from arctone.inference.loading import load_model
from arctone.serving.batch.generate import is_done, read_line_source, with_seed, write_line
from arctone.serving.batch.lines import Line
from arctone.serving.ray.cluster import name_everywhere

# The lines of a block are reported together, and a lost worker's block begins again.
_MAX_BLOCKS = 2_000


@dataclass(frozen=True)
class Outcome:
    """What became of a line. problem: None if it was made."""

    number: int
    warnings: tuple[str, ...]
    problem: ArctoneError | None


@dataclass(frozen=True)
class WorkerConfig:
    """Workers that generate the lines.

    Args:
        model: name or folder of the model, the same on all machines.
        options: that each worker opens it with; its threads are the processors that the worker reserves.
        num_workers: at most.
    """

    model: str
    options: LoadOptions
    num_workers: int


class BatchWorker:
    """A worker of Ray Data; opens its model once."""

    def __init__(self, config: WorkerConfig) -> None:
        opened = load_model(config.model, config.options)
        self._engine = opened.engine
        self._precision = config.options.precision

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """From a line to what became of it, both as Ray Data's rows."""
        line: Line = pickle.loads(row["line"])
        try:
            warnings, problem = self._made(line, force=row["force"]), ("", "")
        except ArctoneError as found:
            warnings, problem = [], (type(found).__name__, str(found))
        return {"number": line.number, "warnings": warnings, "kind": problem[0], "sentence": problem[1]}

    def _made(self, line: Line, *, force: bool) -> list[str]:
        # A worker before this one may have been lost right after it had written the files.
        if not force and is_done(line, self._precision):
            return []
        waveform, name = read_line_source(line)
        result = self._engine.generate(line.request, source=waveform, source_name=name)
        write_line(line, result)
        return list(result.warnings)


def generate_on_ray(lines: Sequence[Line], config: WorkerConfig, *, force: bool) -> Iterator[Outcome]:
    """Make all lines on the cluster that this program is connected to; outcomes in the order in which they come.

    Raises: ModelError if the model is not here; RuntimeError if Ray gives up.
    """
    if not lines:
        return
    config = dataclasses.replace(config, model=name_everywhere(config.model))
    from ray import data

    # The program tells its progress itself, in the words of a batch that is made in a row.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    data.DataContext.get_current().enable_progress_bars = False
    # Seeds are drawn here, so that a line that is made twice is the same sound.
    given = {line.number: line for line in lines}
    rows = [{"line": pickle.dumps(_absolute(with_seed(line))), "force": force} for line in lines]
    outcomes = data.from_items(rows, override_num_blocks=min(len(rows), _MAX_BLOCKS)).map(
        BatchWorker,
        fn_constructor_args=(config,),
        compute=data.ActorPoolStrategy(size=min(config.num_workers, len(rows)), max_tasks_in_flight_per_actor=1),
        num_cpus=config.options.threads or 1,
    )
    for row in outcomes.iter_rows():
        problem = _problem(row["kind"], row["sentence"], given[row["number"]].source)
        yield Outcome(row["number"], tuple(row["warnings"]), problem)


def _absolute(line: Line) -> Line:
    """Workers have other working folders."""
    source = None if line.source is None else line.source.absolute()
    return dataclasses.replace(line, source=source, paths=tuple(path.absolute() for path in line.paths))


def _problem(kind: str, sentence: str, source: Path | None) -> ArctoneError | None:
    """The error that a worker reported, with the source as it was given."""
    if not kind:
        return None
    if source is not None:
        sentence = sentence.replace(str(source.absolute()), str(source))
    found: type[ArctoneError] = getattr(errors, kind, ArctoneError)
    return found(sentence)
