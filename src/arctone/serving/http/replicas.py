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
from typing import Any, Literal, Protocol

from arctone.audio.waveform import Waveform
from arctone.errors import ArctoneError, ModelError
from arctone.inference.engine import Engine, EngineName, Model, load
from arctone.inference.request import Defaults, GenerationRequest, GenerationResult, Progress
from arctone.model_folder.config import ModelConfig

Event = Progress | GenerationResult
_END_SECONDS = 5.0


class ReplicaLost(ArctoneError):
    """The process of an engine ended or does not answer; the next request starts another one."""


@dataclass(frozen=True)
class Opening:
    """How the process opens its model: see `arctone.load`. model_hash: of the model that the parent knows."""

    folder: str
    engine: EngineName
    threads: int | None
    model_hash: str


@dataclass(frozen=True)
class Order:
    """What the parent sends: begin a sound, go one step further, or drop it."""

    what: Literal["begin", "next", "drop"]
    number: int
    request: GenerationRequest | None = None
    source: Waveform | None = None


class Link(Protocol):
    """A worker in another process, here or on another machine."""

    def ask(self, order: Order, seconds: float) -> Any:
        """Its answer, which may be an exception. Raises: EOFError or OSError if none comes in time."""

    def close(self) -> None:
        """End the worker."""


class Replica:
    """A Maker whose sounds are made elsewhere. Used by one lane alone.

    Args: model: the same model, opened here for its config only. engine, threads: see `arctone.load`.
    step_seconds: after how long without an answer the worker is given up. start: makes a worker; a process by default.
    folder: where the worker finds the model; None = where it lies here.
    """

    def __init__(
        self,
        model: Model,
        engine: EngineName = "auto",
        threads: int | None = None,
        step_seconds: float = 300.0,
        start: Callable[[Opening], Link] | None = None,
        folder: str | None = None,
    ) -> None:
        self.config: ModelConfig = model.config
        self.model_hash = model.engine.model_hash
        self._model = model
        self._opening = Opening(folder or str(model.folder), engine, threads, self.model_hash)
        self._step_seconds = step_seconds
        self._start = start or ProcessLink
        self._numbers = count()
        self._link: Link | None = None

    @property
    def name(self) -> str:
        """Which engine this is: "native" or "torch"."""
        return self._model.engine.name

    @property
    def has_flow(self) -> bool:
        """See Maker."""
        return self._model.engine.has_flow

    @property
    def defaults(self) -> Defaults:
        """See Maker."""
        return self._model.engine.defaults

    def defaults_for(self, request: GenerationRequest, source_seconds: float | None = None) -> Defaults:
        """See Maker."""
        return self._model.engine.defaults_for(request, source_seconds)

    @property
    def process_id(self) -> int | None:
        """Of the process, if one runs here."""
        return self._link.process_id if isinstance(self._link, ProcessLink) else None

    def stream(
        self, request: GenerationRequest, cancel: Callable[[], bool] | None = None, source: Waveform | None = None
    ) -> Iterator[Event]:
        """See Maker. Raises: ReplicaLost, and whatever the engine raises."""
        number = next(self._numbers)
        is_over = False
        self._begin(Order("begin", number, request, source))
        try:
            while not is_over:
                event = self._ask(Order("next", number))
                is_over = isinstance(event, GenerationResult)
                yield event
        finally:
            if not is_over and self._link is not None:
                self._ask(Order("drop", number))

    def close(self) -> None:
        """End the worker; the next stream starts another one."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _begin(self, order: Order) -> None:
        was_there = self._link is not None
        try:
            self._ask(order)
        except ReplicaLost:
            # It was lost while it had nothing to do, so no sound is lost with it.
            if not was_there:
                raise
            self._ask(order)

    def _ask(self, order: Order) -> Any:
        if self._link is None:
            self._link = self._start(self._opening)
        try:
            answer = self._link.ask(order, self._step_seconds)
        except (EOFError, OSError):
            self.close()
            raise ReplicaLost("the process that made the sound was lost.") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


class ProcessLink:
    """A worker in a process of this machine."""

    def __init__(self, opening: Opening) -> None:
        # A forked copy of a process with threads may hold their locks for ever.
        context = multiprocessing.get_context("spawn")
        self._connection, there = context.Pipe()
        self._process = context.Process(target=_work, args=(there, opening), daemon=True)
        self._process.start()
        there.close()

    @property
    def process_id(self) -> int | None:
        """Of the process."""
        return self._process.pid

    def ask(self, order: Order, seconds: float) -> Any:
        """See Link."""
        self._connection.send(order)
        if not self._connection.poll(seconds):
            raise EOFError
        return self._connection.recv()

    def close(self) -> None:
        """See Link."""
        self._connection.close()
        self._process.join(0.5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(_END_SECONDS)
        self._process.close()


class Worker:
    """The other end: an engine and the sounds that it is making, one step at each order."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._engine: Engine | None = None
        self._streams: dict[int, Iterator[Event]] = {}

    def answer(self, order: Order) -> Event | Exception | None:
        """What comes of an order; an exception is an answer too."""
        try:
            return self._answer(order)
        except Exception as problem:
            self._streams.pop(order.number, None)
            return problem if isinstance(problem, ArctoneError) else RuntimeError(repr(problem))

    def _answer(self, order: Order) -> Event | None:
        if order.what == "begin":
            assert order.request is not None
            self._streams[order.number] = self._opened().stream(order.request, None, order.source)
        elif order.what == "next":
            event = next(self._streams[order.number])
            if isinstance(event, GenerationResult):
                del self._streams[order.number]
            return event
        else:
            self._streams.pop(order.number, None)
        return None

    def _opened(self) -> Engine:
        if self._engine is None:
            opening = self._opening
            engine = load(opening.folder, opening.engine, opening.threads).engine
            if engine.model_hash != opening.model_hash:
                engine.close()
                raise ModelError(f"{opening.folder} is another model here than where the server started.")
            self._engine = engine
        return self._engine


def _work(connection: Connection, opening: Opening) -> None:
    """The process: answer orders until the parent hangs up, or is gone."""
    # Stop signals reach all processes of a terminal, but it is the parent who decides when work ends.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    worker = Worker(opening)
    while True:
        try:
            order: Order = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(worker.answer(order))
