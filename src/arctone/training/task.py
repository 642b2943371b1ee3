"""What a training task is, and checks of values that recipes set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from arctone.errors import UsageError
from arctone.training.batches import Batches

# Writes audio of the present weights: called with the task's batches, the demo folder, the averaged weights, the step.
Listener = Callable[[Batches, Path, dict[str, Tensor], int], None]


class Task(Protocol):
    """One stage of training: its networks (roles), their batches and their losses.

    Each step updates one role. The first role is the one that is averaged, kept and listened to.
    """

    @property
    def roles(self) -> Mapping[str, nn.Module]:
        """Networks that are trained, by name."""

    @property
    def frozen(self) -> Sequence[nn.Module]:
        """Networks that the losses need and nothing trains."""

    def role_at(self, step: int) -> str:
        """Returns the role that a step updates."""

    def rate_scale(self, step: int) -> float:
        """Returns the factor of the step's learning rates, besides the schedule."""

    def batch(self, step: int, rank: int, world_size: int) -> Any:
        """Returns this process's part of the batch of a step."""

    def losses(self, module: nn.Module, batch: Any, step: int) -> dict[str, Tensor]:
        """Returns named scalars for the role of this step, whose network is `module`; `total` is minimised.

        Only its parameters require gradients; other roles may be used, and gradients pass through them.
        """

    def describe(self, step: int) -> str:
        """Returns the names of a step's clips, for an error message; "" where they have none."""

    def demo(self, folder: Path, state: dict[str, Tensor], step: int) -> None:
        """Writes audio that lets a person hear the present state."""


class Parts(list[Any]):
    """A batch in several parts whose losses add up to its own: gradients of one part at a time need less memory."""


class SteadyRate:
    """What a task need not define: the schedule alone sets its learning rates, and its batches have no names."""

    def rate_scale(self, step: int) -> float:
        """See `Task`."""
        return 1.0

    def describe(self, step: int) -> str:
        """See `Task`."""
        describe = getattr(getattr(self, "batches", None), "describe", None)
        return describe(step) if describe else ""


class LatentTask(SteadyRate):
    """What tasks on latents share: batches, and a listener that writes demo audio where a decoder was given."""

    batches: Batches
    listener: Listener | None = None
    # Why the networks cannot be sharded over processes; "" where they can.
    shards_refused = ""

    def demo(self, folder: Path, state: dict[str, Tensor], step: int) -> None:
        """See `Task`."""
        if self.listener is not None:
            self.listener(self.batches, folder, state, step)


class OneRole(LatentTask):
    """What a task with a single network, `module`, need not define."""

    module: nn.Module
    frozen: Sequence[nn.Module] = ()

    @property
    def roles(self) -> Mapping[str, nn.Module]:
        """See `Task`."""
        return {"model": self.module}

    def role_at(self, step: int) -> str:
        """See `Task`."""
        return "model"


def micro_batches(items: int, size: int) -> list[slice]:
    """Returns the items of each part of a batch; none where the batch stays whole.

    Args:
        items: Size of the batch.
        size: Items of a part; 0 = all.

    Returns:
        Slices of the batch.
    """
    return [slice(start, start + size) for start in range(0, items, size)] if 0 < size < items else []


def check_choice(config: Any, name: str, allowed: Iterable[str], prefix: str = "") -> None:
    """Refuses a setting that is not one of the allowed words.

    Args:
        config: Settings, as attributes.
        name: Of the setting.
        allowed: Its words.
        prefix: What the user writes before the name, with a dot.

    Raises:
        UsageError: If the setting is another word.
    """
    value = getattr(config, name)
    if value not in allowed:
        raise UsageError(f"{prefix}{name}: {value!r} is unknown, choose from {', '.join(allowed)}")


def check_range(config: Any, names: Iterable[str], low: float, high: float = float("inf"), prefix: str = "") -> None:
    """Refuses settings outside a range; None is not looked at.

    Args:
        config: Settings, as attributes.
        names: Of the settings.
        low: Lowest value.
        high: Highest value.
        prefix: What the user writes before the name, with a dot.

    Raises:
        UsageError: If one is outside, or no number.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            allowed = f"at least {low:g}" if high == float("inf") else f"{low:g} to {high:g}"
            raise UsageError(f"{prefix}{name}: {value!r} is not possible, it must be {allowed}")


def check_above_zero(config: Any, names: Iterable[str], prefix: str = "") -> None:
    """Refuses settings that are not above 0.

    Args:
        config: Settings, as attributes.
        names: Of the settings.
        prefix: What the user writes before the name, with a dot.

    Raises:
        UsageError: If one is 0, below, or no number.
    """
    for name in names:
        if not getattr(config, name) > 0:
            raise UsageError(f"{prefix}{name}: {getattr(config, name)!r} is not possible, it must be above 0")
