"""What distillation is told to do, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from arctone.errors import UsageError
from arctone.models.discriminator import HEADS
from arctone.training.arc.losses import GAMES

KINDS = ("dmd", "consistency")
# A relativistic game has no meaning here: real and fake latents are not made from each other.
DMD_GAMES = tuple(name for name, game in GAMES.items() if not game.paired)


@dataclasses.dataclass(frozen=True)
class DmdConfig:
    """Settings of distribution-matching distillation. Raises: UsageError for a value that has no meaning."""

    # Guidance of the teacher; the flow model's own sampling scale if not given.
    cfg_scale: float | None = None
    # Ping-pong steps of the student. Training visits the sampler's levels for this number, and for its divisors.
    steps: int = 8
    # Whether the student's input at later steps is made of its own outputs, or of real latents.
    backward_simulation: bool = True
    # Updates of the fake score for one of the student (two time-scale rule).
    fake_updates: int = 5
    # Levels at which the two scores are compared, and the fake score is trained: uniform between these.
    level_low: float = 0.02
    level_high: float = 0.98
    # Adversarial term: its weight for the student (0 = none), the judge's weight beside the fake score's own loss, the
    # game (least_squares is Presto's, softplus DMD2's), the head, and after how many blocks it listens (3 of 4).
    gan_weight: float = 0.005
    judge_weight: float = 0.01
    game: str = "least_squares"
    head: str = "conv"
    num_blocks: int | None = None
    # Level of what is judged: sigmoid(judge_mean + judge_std * normal).
    judge_mean: float = 0.0
    judge_std: float = 1.0
    # A tempo is left out as often as in the training of the flow.
    tempo_dropout: float = 0.3

    def __post_init__(self) -> None:
        _one_of("game", self.game, DMD_GAMES)
        _one_of("head", self.head, HEADS)
        for name in ("steps", "fake_updates"):
            _in_range(self, name, 1)
        for name in ("gan_weight", "judge_weight"):
            _in_range(self, name, 0)
        _in_range(self, "tempo_dropout", 0, 1)
        if self.num_blocks is not None:
            _in_range(self, "num_blocks", 1)
        if self.cfg_scale is not None:
            _in_range(self, "cfg_scale", 0)
        if not self.judge_std > 0:
            raise UsageError(f"judge_std: {self.judge_std!r} is not possible, it must be above 0")
        # At level 1 nothing is left of what is compared, and at level 0 the score of the data is not defined.
        if not 0 < self.level_low < self.level_high < 1:
            raise UsageError(
                f"level_low: {self.level_low!r} and level_high: {self.level_high!r} must be between 0 and 1, in this "
                "order"
            )


@dataclasses.dataclass(frozen=True)
class ConsistencyConfig:
    """Settings of consistency distillation. Raises: UsageError for a value that has no meaning."""

    # Guidance of the teacher; the flow model's own sampling scale if not given.
    cfg_scale: float | None = None
    # The teacher's Euler step is 1 / intervals long: the student learns where that many steps would end.
    intervals: int = 24
    # Part of the items whose level is one of the ping-pong sampler's with these step counts; the others' is uniform.
    sampler_share: float = 0.5
    step_counts: tuple[int, ...] = (1, 2, 4, 8)
    # Below this error (RMS of unit-variance latents) the distance is quadratic, above it linear.
    huber: float = 0.001
    # A tempo is left out as often as in the training of the flow.
    tempo_dropout: float = 0.3

    def __post_init__(self) -> None:
        _in_range(self, "intervals", 1)
        for name in ("sampler_share", "tempo_dropout"):
            _in_range(self, name, 0, 1)
        if self.cfg_scale is not None:
            _in_range(self, "cfg_scale", 0)
        if not self.huber > 0:
            raise UsageError(f"huber: {self.huber!r} is not possible, it must be above 0")
        if not self.step_counts or min(self.step_counts) < 1:
            raise UsageError(f"step_counts: {self.step_counts!r} is not possible, it needs numbers of at least 1")


def _one_of(name: str, value: str, allowed: Iterable[str]) -> None:
    if value not in allowed:
        raise UsageError(f"{name}: {value!r} is unknown, choose from {', '.join(allowed)}")


def _in_range(config: Any, name: str, low: float, high: float = float("inf")) -> None:
    value = getattr(config, name)
    if not low <= value <= high:
        allowed = f"at least {low:g}" if high == float("inf") else f"{low:g} to {high:g}"
        raise UsageError(f"{name}: {value!r} is not possible, it must be {allowed}")
