"""Generate a batch on a Ray cluster.

The folder of the results must be the same for all machines. A line is done when its files are there, so that a worker
that is lost costs the line it was at, and another one makes it.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import pickle
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from arctone import errors
from arctone.errors import ArctoneError, UsageError, install_hint
from arctone.inference.load_options import LoadOptions
from arctone.inference.loading import load_model
from arctone.model_folder.folder import find_model
from arctone.serving.batch import Line, is_done, read_line_source, with_seed, write_line

LOCAL = "local"
_CONNECT_SECONDS = 5.0
# What passes through the shared memory are requests and sounds of some megabytes.
_OBJECT_STORE_BYTES = 200 * 2**20


def ray_module() -> ModuleType:
    """Import Ray, which is no part of the base install.

    Returns:
        The module.

    Raises:
        UsageError: If it is not installed; says how to install it.
    """
    # Read when Ray is imported: nothing about the use of this program goes to anybody.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UsageError(f"ray is not installed: {install_hint('scale')}.") from None
    module: ModuleType = ray
    return module


@contextmanager
def joined(address: str) -> Iterator[Any]:
    """Connect to a Ray cluster. One that was started here ends with the context; another one goes on.

    Args:
        address: "auto" (the cluster that this machine is part of), "HOST:PORT", or "local" for one of this machine
            alone. A connection that is there already is used as it is.

    Yields:
        The module ray, connected.

    Raises:
        UsageError: If no cluster answers there.
    """
    ray = ray_module()
    if ray.is_initialized():
        yield ray
        return
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    _refuse_if_silent(address)
    if address == LOCAL:
        how |= {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    try:
        ray.init(address=address, **how)
    except (ConnectionError, RuntimeError, ValueError) as problem:
        reason = str(problem).strip().partition("\n")[0]
        raise UsageError(f"ray {address} is no cluster that answers: {reason[:200]}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _refuse_if_silent(address: str) -> None:
    """Refuse an address without a cluster; Ray itself would try for minutes.

    Args:
        address: HOST:PORT.

    Raises:
        UsageError: If nothing listens at HOST:PORT.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as problem:
        reason = (getattr(problem, "strerror", None) or str(problem)).lower()
        raise UsageError(f"ray {address} is no cluster that answers: {reason}.") from None


def name_everywhere(model: str) -> str:
    """Name a model so that other working folders find it.

    Args:
        model: Name or folder.

    Returns:
        The name of a model, or its absolute folder.

    Raises:
        ModelError: If it is not here.
    """
    folder = find_model(model)
    return str(folder.absolute()) if folder.absolute() == Path(model).absolute() else model


def num_workers_that_fit(ray: Any, threads: int) -> int:
    """How many workers of n threads the cluster's processors hold, at least 1."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)


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
    """Generate all lines on the cluster that this program is connected to.

    Args:
        lines: The requests.
        config: Of the workers.
        force: Replace existing files.

    Yields:
        Outcomes in the order in which they come.

    Raises:
        ModelError: If the model is not here.
        RuntimeError: If Ray gives up.
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
