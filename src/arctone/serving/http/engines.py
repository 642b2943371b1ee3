"""The protocol of an engine that a worker uses, so that the engine may also live in another process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

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
        self, request: GenerationRequest, cancel: Callable[[], bool] | None = None, source: Source | None = None
    ) -> Iterator[Progress | GenerationResult]:
        """Progress at each stage and step, the result last."""

    def close(self) -> None:
        """Give memory back; the next stream loads again."""
