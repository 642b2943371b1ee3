"""What a stage will take: parameters, memory on each device, and speed, before anything is trained.

Memory is weights, moments and averages, which are counted, and the hidden values of a step, which are measured on this
machine with one and with two items and grow by the same amount for every further item.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from arctone.training.loop import Trainer
from arctone.training.offload import PIECE_BYTES
from arctone.training.task import Parts

# Devices that people rent, in GB of 10^9 bytes: number and memory of each.
DEVICES = ((1, 24), (1, 80), (8, 80))
_SIZES = (1, 2)


@dataclasses.dataclass(frozen=True)
class RolePlan:
    """One network of a stage.

    Attributes:
        name: Of the role.
        parameters: Number of its trained parameters.
        weight_bytes: Of its weights and buffers.
        moment_bytes: Of its optimisers' moments.
        gradient_bytes: Of its gradients.
        hidden_bytes: Of the hidden values of a step, at the number of items that pass at a time.
        item_seconds: Of an update, for each item, on this machine.
        frames: Latent frames of an item.
    """

    name: str
    parameters: int
    weight_bytes: int
    moment_bytes: int
    gradient_bytes: int
    hidden_bytes: int
    item_seconds: float
    frames: int


@dataclasses.dataclass(frozen=True)
class StagePlan:
    """All networks of a stage.

    Attributes:
        roles: Those that are trained.
        frozen_bytes: Of networks that are not trained.
        average_bytes: Of the averaged weights.
        items: Items of a step, of all processes together.
        is_offloaded: Whether moments and averages are in memory only while they are needed.
    """

    roles: tuple[RolePlan, ...]
    frozen_bytes: int
    average_bytes: int
    items: int
    is_offloaded: bool = False

    @property
    def memory(self) -> int:
        """Bytes that a device needs; each has whole networks."""
        weights = sum(role.weight_bytes for role in self.roles) + self.frozen_bytes
        if self.is_offloaded:
            # Moments come a piece at a time when the hidden values are gone, the average when the gradients are gone.
            pieces = [min(role.moment_bytes, 2 * PIECE_BYTES) for role in self.roles]
            steps = [
                role.gradient_bytes + max(role.hidden_bytes, piece)
                for role, piece in zip(self.roles, pieces, strict=True)
            ]
            return weights + max(*steps, self.average_bytes)
        kept = sum(role.moment_bytes for role in self.roles) + self.average_bytes
        return weights + kept + max(role.gradient_bytes + role.hidden_bytes for role in self.roles)

    @property
    def seconds_per_step(self) -> float:
        """Seconds of a step on this machine, the mean over the roles."""
        return self.items * sum(role.item_seconds for role in self.roles) / len(self.roles)

    @property
    def frames_per_hour(self) -> float:
        """Latent frames that pass in an hour on this machine."""
        return 3600 * self.items * self.roles[0].frames / self.seconds_per_step

    def lines(self) -> list[str]:
        """Returns the plan as lines of text."""
        found = [f"{role.name}: {role.parameters / 1e6:.1f} M parameters are trained" for role in self.roles]
        found.append(f"memory on a device: about {self.memory / 1e9:.2f} GB besides the program's own")
        for number, size in DEVICES:
            verdict = "fits" if self.memory / 1e9 < 0.75 * size else "does not fit with certainty"
            found.append(f"{number} x {size} GB: {verdict}")
        found.append(
            f"measured here: {self.seconds_per_step:.2f} s for a step of {self.items} items, "
            f"{3600 / self.seconds_per_step:.0f} steps and {self.frames_per_hour:.3g} latent frames an hour"
        )
        return found


def plan_stage(stage: Any) -> StagePlan:
    """Returns the plan of a stage, whose folder stays as it is.

    Args:
        stage: A stage on latents, with a field `out`.

    Returns:
        Memory, time and sizes.

    Raises:
        UsageError: As the stage itself.
        ModelError: As the stage itself.
    """
    with tempfile.TemporaryDirectory() as folder:
        return plan_trainer(dataclasses.replace(stage, out=Path(folder) / "out").trainer())


def plan_trainer(trainer: Trainer) -> StagePlan:
    """Returns the plan of what a trainer does.

    Args:
        trainer: Its weights stay as they are.

    Returns:
        Memory, time and sizes.
    """
    task = trainer.task
    items = _items(task.batch(0, 0, 1))
    roles = tuple(_plan_role(trainer, name) for name in task.roles)
    frozen = sum(_bytes(module) for module in task.frozen)
    return StagePlan(roles, frozen, _bytes(trainer.module), items, trainer.config.offload)


def _plan_role(trainer: Trainer, name: str) -> RolePlan:
    part = trainer.parts[name]
    for other, one in trainer.parts.items():
        one.require_gradients(other == name)
    trained = [value for value in part.module.parameters() if value.requires_grad]
    step = next((step for step in range(trainer.config.total_steps) if trainer.task.role_at(step) == name), 0)
    whole = trainer.task.batch(step, 0, 1)
    at_once = _items(whole[0] if isinstance(whole, Parts) else whole)
    measured = [_measure(trainer, name, step, size) for size in _SIZES if size <= at_once]
    hidden, seconds, frames = measured[-1]
    if len(measured) == len(_SIZES):
        hidden = measured[0][0] + (measured[1][0] - measured[0][0]) * (at_once - 1)
    gradient_bytes = sum(value.numel() * value.element_size() for value in trained)
    if not isinstance(whole, Parts):
        # The only pass makes room for gradients while hidden values go.
        hidden = max(hidden - gradient_bytes // 2, hidden // 2)
    moments = sum(
        _moment_bytes(group, optimiser) for optimiser in part.optimisers.parts for group in optimiser.param_groups
    )
    return RolePlan(
        name,
        sum(value.numel() for value in trained),
        _bytes(part.module),
        moments,
        gradient_bytes,
        hidden,
        seconds / min(at_once, _SIZES[-1]),
        frames,
    )


def _measure(trainer: Trainer, name: str, step: int, size: int) -> tuple[int, float, int]:
    """Returns bytes of hidden values, seconds and frames of one pass with this many items, with gradients allocated."""
    task: Any = trainer.task
    config = task.config
    has_parts = hasattr(config, "micro_items")
    if has_parts:
        _set_config(task, dataclasses.replace(config, micro_items=size))
    try:
        batch = trainer.fabric.to_device(task.batch(step, 0, 1))
    finally:
        _set_config(task, config)
    part = trainer.parts[name]
    batch = batch[0] if isinstance(batch, Parts) else batch
    part.backward(batch, step, 0.0)
    known = [*part.module.parameters(), *(value.grad for value in part.module.parameters() if value.grad is not None)]
    known += [
        value for module in (*task.roles.values(), *task.frozen) for value in (*module.parameters(), *module.buffers())
    ]
    started = time.monotonic()
    with LiveBytes([*known, *_tensors(batch)]) as live:
        part.backward(batch, step, 0.0)
    seconds = time.monotonic() - started
    part.optimisers.zero_grad()
    return live.peak, seconds, _frames(batch)


def _set_config(task: Any, config: Any) -> None:
    task.config = config
    if hasattr(task, "material"):
        task.material.config = config


def _moment_bytes(group: Mapping[str, Any], optimiser: torch.optim.Optimizer) -> int:
    """Adam keeps two moments of each parameter, Muon one."""
    number = 1 if isinstance(optimiser, torch.optim.Muon) else 2
    return number * sum(value.numel() * value.element_size() for value in group["params"])


def _bytes(module: nn.Module) -> int:
    return sum(value.numel() * value.element_size() for value in module.state_dict().values())


def _tensors(batch: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)]


def _items(batch: Any) -> int:
    if isinstance(batch, Parts):
        return sum(_items(part) for part in batch)
    return max((len(value) for value in _tensors(batch) if value.ndim >= 3), default=1)


def _frames(batch: Any) -> int:
    return max((value.shape[-1] for value in _tensors(batch) if value.ndim == 3), default=1)


class LiveBytes(TorchDispatchMode):
    """A context that follows how many bytes of new tensors live at a time.

    Args:
        known: Tensors that were there before; they and views of them do not count.
    """

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()
        self.present, self.peak = 0, 0
        self._seen: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._known = {value.untyped_storage().data_ptr() for value in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, Tensor):
                self._count(leaf)
        return found

    def _count(self, value: Tensor) -> None:
        storage = value.untyped_storage()
        if storage in self._seen or storage.data_ptr() in self._known:
            return
        size = storage.nbytes()
        self._seen[storage] = size
        self.present += size
        self.peak = max(self.peak, self.present)
        weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self.present -= size
