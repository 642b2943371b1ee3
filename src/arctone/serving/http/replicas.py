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

from arctone.errors import ArctoneError, ModelError
from arctone.inference.context import OnPart
from arctone.inference.engine import Engine, Model, OnTake
from arctone.inference.load_options import LoadOptions
from arctone.inference.loading import load_model
from arctone.inference.request import Defaults, GenerationRequest, GenerationResult, Progress
from arctone.inference.source import Source
from arctone.model_folder.config import ModelConfig

Event = Progress | GenerationResult
_END_SECONDS = 5.0


class ReplicaLost(ArctoneError):
    """The process of an engine ended or does not answer; the next request starts another one."""


@dataclass(frozen=True)
class HostConfig:
    """Arguments of `arctone.load` in the process, and the hash of the model that the parent loaded."""

    folder: str
    options: LoadOptions
    model_hash: str


@dataclass(frozen=True)
class Command:
    """A message of the parent: begin a sound, go one step further, or drop it."""

    what: Literal["begin", "next", "drop"]
    number: int
    request: GenerationRequest | None = None
    source: Source | None = None
    gives_takes: bool = False


@dataclass(frozen=True)
class EventWithTakes:
    """An event, and the sounds that were finished before it: the index of each with a result that holds it alone."""

    event: Event
    takes: tuple[tuple[int, GenerationResult], ...]


class Link(Protocol):
    """A host in another process, here or on another machine."""

    def ask(self, command: Command, seconds: float) -> Any:
        """Send a command and wait for its answer, which may be an exception.

        Args:
            command: The command.
            seconds: Longest wait.

        Returns:
            The answer.

        Raises:
            EOFError, OSError: If none comes in time.
        """

    def close(self) -> None:
        """End the host."""


class Replica:
    """A ServedEngine that runs elsewhere. Used by one worker alone.

    Args:
        model: The same model, opened here for its config only.
        options: That the host opens it with.
        step_seconds: After how long without an answer the host is given up.
        start: Makes a host; a process by default.
        folder: Where the host finds the model; None = where it lies here.
    """

    def __init__(
        self,
        model: Model,
        options: LoadOptions | None = None,
        step_seconds: float = 300.0,
        start: Callable[[HostConfig], Link] | None = None,
        folder: str | None = None,
    ) -> None:
        self.config: ModelConfig = model.config
        self.model_hash = model.engine.model_hash
        self._model = model
        self._opening = HostConfig(folder or str(model.folder), options or LoadOptions(), self.model_hash)
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
        """See ServedEngine."""
        return self._model.engine.has_flow

    @property
    def defaults(self) -> Defaults:
        """See ServedEngine."""
        return self._model.engine.defaults

    def defaults_for(self, request: GenerationRequest, source_seconds: float | None = None) -> Defaults:
        """See ServedEngine."""
        return self._model.engine.defaults_for(request, source_seconds)

    @property
    def process_id(self) -> int | None:
        """Of the process, if one runs here."""
        return self._link.process_id if isinstance(self._link, ProcessLink) else None

    def stream(
        self,
        request: GenerationRequest,
        cancel: Callable[[], bool] | None = None,
        source: Source | None = None,
        *,
        on_part: OnPart | None = None,
        on_take: OnTake | None = None,
    ) -> Iterator[Event]:
        """Generate, see ServedEngine.

        Args:
            request: The request.
            cancel: Asked between steps; True stops.
            source: The sound that is edited.
            on_part: Has no effect: the other process gives no parts.
            on_take: Receives each sound as soon as it is finished.

        Yields:
            Events, the result last.

        Raises:
            ReplicaLost: If the host is gone or does not answer; also whatever the engine raises.
        """
        number = next(self._numbers)
        is_over = False
        self._begin(Command("begin", number, request, source, gives_takes=on_take is not None))
        try:
            while not is_over:
                event = self._ask(Command("next", number))
                if isinstance(event, EventWithTakes):
                    for take in event.takes:
                        assert on_take is not None
                        on_take(*take)
                    event = event.event
                is_over = isinstance(event, GenerationResult)
                yield event
        finally:
            if not is_over and self._link is not None:
                self._ask(Command("drop", number))

    def close(self) -> None:
        """End the host; the next stream starts another one."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _begin(self, command: Command) -> None:
        was_there = self._link is not None
        try:
            self._ask(command)
        except ReplicaLost:
            # It was lost while it was idle, so no sound is lost with it.
            if not was_there:
                raise
            self._ask(command)

    def _ask(self, command: Command) -> Any:
        if self._link is None:
            self._link = self._start(self._opening)
        try:
            answer = self._link.ask(command, self._step_seconds)
        except (EOFError, OSError):
            self.close()
            raise ReplicaLost("the process that made the sound was lost.") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


class ProcessLink:
    """A host in a process of this machine."""

    def __init__(self, config: HostConfig) -> None:
        # A forked copy of a process with threads may hold their locks for ever.
        context = multiprocessing.get_context("spawn")
        self._connection, there = context.Pipe()
        self._process = context.Process(target=_work, args=(there, config), daemon=True)
        self._process.start()
        there.close()

    @property
    def process_id(self) -> int | None:
        """Of the process."""
        return self._process.pid

    def ask(self, command: Command, seconds: float) -> Any:
        """See Link."""
        self._connection.send(command)
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


class EngineHost:
    """The other end: an engine and its running sounds, one step per command."""

    def __init__(self, config: HostConfig) -> None:
        self._opening = config
        self._engine: Engine | None = None
        self._streams: dict[int, Iterator[Event]] = {}
        self._takes: list[tuple[int, GenerationResult]] = []

    def answer(self, command: Command) -> Event | EventWithTakes | Exception | None:
        """The answer to a command; an exception is an answer too."""
        try:
            return self._answer(command)
        except Exception as problem:
            self._streams.pop(command.number, None)
            return problem if isinstance(problem, ArctoneError) else RuntimeError(repr(problem))

    def _answer(self, command: Command) -> Event | EventWithTakes | None:
        if command.what == "begin":
            assert command.request is not None
            on_take = self._keep_take if command.gives_takes else None
            self._streams[command.number] = self._load().stream(command.request, None, command.source, on_take=on_take)
        elif command.what == "next":
            self._takes = []
            event = next(self._streams[command.number])
            if isinstance(event, GenerationResult):
                del self._streams[command.number]
            return EventWithTakes(event, tuple(self._takes)) if self._takes else event
        else:
            self._streams.pop(command.number, None)
        return None

    def _keep_take(self, item: int, result: GenerationResult) -> None:
        self._takes.append((item, result))

    def _load(self) -> Engine:
        if self._engine is None:
            config = self._opening
            engine = load_model(config.folder, config.options).engine
            if engine.model_hash != config.model_hash:
                engine.close()
                raise ModelError(f"{config.folder} is not the model that the server started with.")
            self._engine = engine
        return self._engine


def _work(connection: Connection, config: HostConfig) -> None:
    """The process: answer commands until the parent hangs up, or is gone."""
    # Stop signals reach all processes of a terminal, but it is the parent who decides when work ends.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    host = EngineHost(config)
    while True:
        try:
            command: Command = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(host.answer(command))
