"""How a network is trained on the devices there are: precision, processes, activation checkpoints.

Under torchrun every process trains its part of each batch, on whole networks (DDP).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from arctone.training.optim import OptimiserConfig, Optimisers
from arctone.training.task import Parts, Task


class Machine(Protocol):
    """What of a loop's settings concerns the machine."""

    @property
    def precision(self) -> str:
        """Precision of the arithmetic, as Fabric names it."""


def open_fabric(config: Machine) -> Fabric:
    """Returns Fabric for this process, or for all processes that torchrun started.

    Args:
        config: Gives the precision.

    Returns:
        The fabric.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    precision: Any = config.precision
    if world_size == 1:
        return Fabric(accelerator="auto", devices=1, precision=precision)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world_size)))
    nodes = world_size // local
    return Fabric(accelerator="auto", devices=local, num_nodes=nodes, precision=precision, strategy=DDPStrategy())


class Part:
    """A role's network with its optimisers.

    Args:
        task: Gives the losses.
        module: The role's network.
        config: Of its optimisers.
        fabric: Launched.
    """

    def __init__(self, task: Task, module: nn.Module, config: OptimiserConfig, fabric: Fabric) -> None:
        self.module, self.config, self._task, self._fabric = module, config, task, fabric
        self.optimisers = Optimisers(module, config)
        # What DDP and autocast see: the losses run inside, so that gradients are averaged once, and only this role's.
        losses = _Losses(task, module)
        self._losses = fabric.setup_module(losses)
        self._trained = [parameter for parameter in module.parameters() if parameter.requires_grad]

    def require_gradients(self, wanted: bool) -> None:
        """Sets whether the trained parameters collect gradients.

        Args:
            wanted: Whether they do.
        """
        for parameter in self._trained:
            parameter.requires_grad_(wanted)

    def backward(self, batch: Any, step: int, factor: float) -> dict[str, float]:
        """Computes the gradients of the losses and clips them.

        Args:
            batch: Of the task; `Parts` are taken one after another.
            step: Step of the loop.
            factor: Of the learning rates.

        Returns:
            The losses, and `gradient_norm` before clipping.
        """
        self.optimisers.set_rate(factor)
        parts = batch if isinstance(batch, Parts) else [batch]
        values: dict[str, float] = {}
        for number, part in enumerate(parts, start=1):
            losses = self._backward_of(part, step, is_last=number == len(parts))
            values = {name: values.get(name, 0.0) + float(value.detach()) for name, value in losses.items()}
        norm = nn.utils.clip_grad_norm_(self._trained, self.config.gradient_clip)
        return values | {"gradient_norm": float(norm)}

    def _backward_of(self, part: Any, step: int, *, is_last: bool) -> dict[str, Tensor]:
        """Processes exchange gradients once, with the last part."""
        waits = not is_last and self._fabric.world_size > 1
        with self._fabric.no_backward_sync(self._losses, enabled=waits):
            losses = self._losses(_Whole(part), step)
            self._fabric.backward(losses["total"])
        return losses

    @torch.no_grad()
    def losses(self, batch: Any, step: int) -> dict[str, float]:
        """Returns the losses of a batch; nothing is changed.

        Args:
            batch: Of the task.
            step: Step of the loop.

        Returns:
            Loss by name.
        """
        values: dict[str, float] = {}
        with self._fabric.autocast():
            for part in batch if isinstance(batch, Parts) else [batch]:
                found = self._task.losses(self.module, part, step)
                values = {name: values.get(name, 0.0) + float(value) for name, value in found.items()}
        torch.clear_autocast_cache()
        return values

    def state_dict(self) -> dict[str, Any]:
        """Returns everything needed to continue."""
        return {"module": self.module.state_dict(), "optimisers": self.optimisers.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continues from saved weights and moments.

        Args:
            saved: What `state_dict` returned.
        """
        self.module.load_state_dict(saved["module"])
        self.optimisers.load_state_dict(saved["optimisers"])


def checkpoint_activations(modules: Sequence[nn.Module]) -> None:
    """Lets the blocks of networks keep their inputs only and compute the rest again on the way back.

    Args:
        modules: Networks; those without a stack of blocks stay as they are.
    """
    for module in modules:
        for stack in _stacks(module):
            for block in stack:
                block.forward = functools.partial(_checkpointed, block.forward)


def _stacks(module: nn.Module) -> list[nn.ModuleList]:
    stacks = [child for name, child in module.named_modules() if name.split(".")[-1] == "blocks"]
    return [stack for stack in stacks if isinstance(stack, nn.ModuleList)]


def _checkpointed(forward: Callable[..., Tensor], *arguments: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*arguments)
    return checkpoint(forward, *arguments, use_reentrant=False)


class _Losses(nn.Module):
    """A role's losses as a module's forward pass."""

    def __init__(self, task: Task, module: nn.Module) -> None:
        super().__init__()
        self.inner = module
        self._task = [task]

    def forward(self, batch: _Whole, step: int) -> dict[str, Tensor]:
        return self._task[0].losses(self.inner, batch.content, step)


class _Whole:
    """A batch as Fabric shall not see it: at mixed precision it would round levels, lengths and latents to 16 bit."""

    def __init__(self, content: Any) -> None:
        self.content = content
