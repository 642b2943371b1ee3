"""Engines behind the HTTP API, and LoRA adapters that requests name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from arctone.errors import UsageError
from arctone.inference.context import OnPart
from arctone.inference.engine import OnTake
from arctone.inference.request import Defaults, GenerationRequest, GenerationResult, Progress
from arctone.inference.source import Source
from arctone.model_folder.config import ModelConfig


class ServedEngine(Protocol):
    """Generates sounds of one model, step by step; `arctone.inference.engine.Engine` is one."""

    config: ModelConfig
    model_hash: str

    @property
    def name(self) -> str:
        """Which engine this is: "native" or "torch"."""

    @property
    def has_flow(self) -> bool:
        """Whether a post-trained model has the flow model it was made from next to it, for guided requests."""

    @property
    def defaults(self) -> Defaults:
        """Values of open fields in a request for one window of sound from text; see `defaults_for`."""

    def defaults_for(self, request: GenerationRequest, source_seconds: float | None = None) -> Defaults:
        """Values of this request's open fields."""

    def stream(
        self,
        request: GenerationRequest,
        cancel: Callable[[], bool] | None = None,
        source: Source | None = None,
        *,
        on_part: OnPart | None = None,
        on_take: OnTake | None = None,
    ) -> Iterator[Progress | GenerationResult]:
        """Progress at each stage and step, the result last; an engine in another process gives no parts."""

    def close(self) -> None:
        """Give memory back; the next stream loads again."""


MAX_STRENGTH = 2.0
# Engines with adapters that stay open next to the model itself; each holds its own copy of the weights.
_MAX_OPEN = 2

Strengths = tuple[tuple[str, float], ...]
Opener = Callable[[tuple[tuple[Path, float], ...]], ServedEngine]


class AdaptedEngine:
    """A served engine whose requests may name adapters. Used by one worker alone.

    Args:
        base: the model without adapters.
        adapters: folders by the names that clients use.
        open_with: opens the model with adapter folders at strengths.
    """

    def __init__(self, base: ServedEngine, adapters: Mapping[str, Path], open_with: Opener) -> None:
        self.config: ModelConfig = base.config
        self.model_hash = base.model_hash
        self.adapters = tuple(adapters)
        self._base, self._folders, self._open_with = base, dict(adapters), open_with
        self._open: OrderedDict[Strengths, ServedEngine] = OrderedDict()

    @property
    def name(self) -> str:
        """See ServedEngine."""
        return self._base.name

    @property
    def has_flow(self) -> bool:
        """See ServedEngine."""
        return self._base.has_flow

    @property
    def defaults(self) -> Defaults:
        """See ServedEngine."""
        return self._base.defaults

    def defaults_for(self, request: GenerationRequest, source_seconds: float | None = None) -> Defaults:
        """See ServedEngine."""
        return self._base.defaults_for(request, source_seconds)

    def stream(
        self,
        request: GenerationRequest,
        cancel: Callable[[], bool] | None = None,
        source: Source | None = None,
        *,
        on_part: OnPart | None = None,
        on_take: OnTake | None = None,
    ) -> Iterator[Progress | GenerationResult]:
        """See ServedEngine."""
        return self._base.stream(request, cancel, source, on_part=on_part, on_take=on_take)

    def with_adapters(self, strengths: Strengths) -> ServedEngine:
        """Return the engine of some adapters; it is opened if it is not among the last ones.

        Called on the worker's thread.

        Args:
            strengths: Names with strengths above 0; () = the model itself.

        Returns:
            The engine.

        Raises:
            ModelError: An adapter is damaged or belongs to another model.
        """
        if not strengths:
            return self._base
        if strengths not in self._open:
            pairs = tuple((self._folders[name], strength) for name, strength in strengths)
            self._open[strengths] = self._open_with(pairs)
            while len(self._open) > _MAX_OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(strengths)
        return self._open[strengths]

    def close(self) -> None:
        """Give memory back; the next stream loads again."""
        self._base.close()
        for engine in self._open.values():
            engine.close()
        self._open.clear()


def parse_adapters(value: Any, engine: ServedEngine) -> Strengths:
    """Parse the adapters of a request.

    Args:
        value: An object of names and strengths, or None; those of strength 0 are left out.
        engine: Of the request's model.

    Returns:
        Strengths by name.

    Raises:
        UsageError: The value is no such object, or names an adapter that this model does not have here.
    """
    names = engine.adapters if isinstance(engine, AdaptedEngine) else ()
    if value is None or value == {}:
        return ()
    if not isinstance(value, dict):
        raise UsageError('lora must be an object of names and strengths, such as {"dogs": 1}.', field="lora")
    for name, strength in value.items():
        if name not in names:
            known = ", ".join(names) or "none: start the server with --lora NAME=FOLDER"
            raise UsageError(f"lora names {str(name)[:60]!r}, but this model's adapters are {known}.", field="lora")
        is_number = isinstance(strength, int | float) and not isinstance(strength, bool)
        if not is_number or not 0 <= strength <= MAX_STRENGTH:
            raise UsageError(
                f"lora {name} must be a number from 0 to {MAX_STRENGTH:g}, got {str(strength)[:40]}.", field="lora"
            )
    return tuple((name, float(value[name])) for name in names if value.get(name))


def parse_named_folders(words: list[str]) -> dict[str, Path]:
    """Parse folders written as NAME=FOLDER.

    Args:
        words: One for each folder.

    Returns:
        Folders by name.

    Raises:
        UsageError: For anything else, or a name given twice.

    >>> parse_named_folders(["dogs=runs/dogs"])["dogs"].name
    'dogs'
    """
    found: dict[str, Path] = {}
    for word in words:
        name, separator, folder = word.partition("=")
        if not separator or not folder or not name.replace("-", "").replace("_", "").isalnum():
            raise UsageError(
                f"lora must be NAME=FOLDER with a name of letters and digits, got {word[:80]!r}.", field="lora"
            )
        if name in found:
            raise UsageError(f"lora {name} is given twice.", field="lora")
        found[name] = Path(folder).expanduser()
    return found
