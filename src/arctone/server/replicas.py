"""An engine in a process of its own: a crash of native code costs the sound it happened at, and nothing else.

The parent asks for every step, so that it cancels, counts and takes turns exactly as with an engine of its own.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from arctone.audio.waveform import Waveform
from arctone.config_model import ModelConfig
from arctone.engine import EngineName, Model, load
from arctone.errors import ArctoneError
from arctone.request import Defaults, GenerationRequest, GenerationResult, Progress

Event = Progress | GenerationResult
_END_SECONDS = 5.0


class ReplicaLost(ArctoneError):
    """The process of an engine ended or does not answer; the next request starts another one."""


@dataclass(frozen=True)
class Opening:
    """How the process opens its model: see `arctone.load`."""

    folder: str
    engine: EngineName
    threads: int | None


@dataclass(frozen=True)
class _Order:
    """What the parent sends: begin a sound, go one step further, or drop it."""

    what: Literal["begin", "next", "drop"]
    number: int
    request: GenerationRequest | None = None
    source: Waveform | None = None


class Replica:
    """A Maker whose sounds are made elsewhere. Used by one lane alone.

    Args: model: the same model, opened here for its config only. engine, threads: see `arctone.load`.
    step_seconds: after how long without an answer the process is given up.
    """

    def __init__(
        self, model: Model, engine: EngineName = "auto", threads: int | None = None, step_seconds: float = 300.0
    ) -> None:
        self.config: ModelConfig = model.config
        self.model_hash = model.engine.model_hash
        self._model = model
        self._opening = Opening(str(model.folder), engine, threads)
        self._step_seconds = step_seconds
        self._numbers = count()
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    @property
    def name(self) -> str:
        """Which engine this is: "native" or "torch"."""
        return self._model.engine.name

    @property
    def defaults(self) -> Defaults:
        """What is used where a request leaves a field open."""
        return self._model.engine.defaults

    @property
    def process_id(self) -> int | None:
        """Of the process, if one runs."""
        return None if self._process is None else self._process.pid

    def stream(
        self, request: GenerationRequest, cancel: Callable[[], bool] | None = None, source: Waveform | None = None
    ) -> Iterator[Event]:
        """See Maker. Raises: ReplicaLost, and whatever the engine raises."""
        number = next(self._numbers)
        is_over = False
        self._ask(_Order("begin", number, request, source))
        try:
            while not is_over:
                event = self._ask(_Order("next", number))
                is_over = isinstance(event, GenerationResult)
                yield event
        finally:
            if not is_over and self._connection is not None:
                self._ask(_Order("drop", number))

    def close(self) -> None:
        """End the process; the next stream starts another one."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if connection is not None:
            connection.close()
        if process is not None:
            process.join(0.5)
            if process.is_alive():
                process.kill()
                process.join(_END_SECONDS)
            process.close()

    def _ask(self, order: _Order) -> Any:
        connection = self._connection or self._start()
        try:
            connection.send(order)
            if not connection.poll(self._step_seconds):
                raise EOFError
            answer = connection.recv()
        except (EOFError, OSError):
            self.close()
            raise ReplicaLost("the process that made the sound was lost.") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _start(self) -> Connection:
        # A forked copy of a process with threads may hold their locks for ever.
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        self._process = context.Process(target=_work, args=(there, self._opening), daemon=True)
        self._process.start()
        there.close()
        self._connection = here
        return here


def _work(connection: Connection, opening: Opening) -> None:
    """The process: answer orders until the parent hangs up, or is gone."""
    # Stop signals reach all processes of a terminal, but it is the parent who decides when work ends.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    engine = None
    streams: dict[int, Iterator[Event]] = {}
    while True:
        try:
            order: _Order = connection.recv()
        except (EOFError, OSError):
            return
        try:
            if engine is None:
                engine = load(opening.folder, opening.engine, opening.threads).engine
            connection.send(_answered(order, streams, engine.stream))
        except Exception as problem:
            streams.pop(order.number, None)
            connection.send(problem if isinstance(problem, ArctoneError) else RuntimeError(repr(problem)))


def _answered(
    order: _Order, streams: dict[int, Iterator[Event]], stream: Callable[..., Iterator[Event]]
) -> Event | None:
    if order.what == "begin":
        streams[order.number] = stream(order.request, None, order.source)
    elif order.what == "next":
        event = next(streams[order.number])
        if isinstance(event, GenerationResult):
            del streams[order.number]
        return event
    else:
        streams.pop(order.number, None)
    return None
