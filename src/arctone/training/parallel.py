"""How a network is trained on the devices there are: precision, processes, activation checkpoints.

Under torchrun every process trains its part of each batch: on whole networks (DDP), or on shards (FSDP), each with a
part of all weights, gradients, moments and averages; the weights of a block are gathered while it is computed.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.utils.checkpoint import checkpoint

from arctone.errors import UsageError
from arctone.training.offload import trim_heap
from arctone.training.optim import OptimiserConfig, Optimisers, shard_like, whole
from arctone.training.task import Parts, Task

STRATEGIES = ("ddp", "fsdp")


class Machine(Protocol):
    """What of a loop's settings concerns the machine."""

    @property
    def precision(self) -> str:
        """Precision of the arithmetic, as Fabric names it."""

    @property
    def strategy(self) -> str:
        """ "ddp" or "fsdp", where there are several processes."""


def open_fabric(config: Machine) -> Fabric:
    """Returns Fabric for this process, or for all processes that torchrun started.

    Args:
        config: Gives precision and strategy.

    Returns:
        The fabric.

    Raises:
        UsageError: If FSDP is asked of one process, or 16-bit floats of a CPU.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    precision: Any = config.precision
    if precision == "16-mixed" and not torch.cuda.is_available():
        raise UsageError(
            "precision: '16-mixed' needs a GPU with CUDA, and none was found; choose bf16-mixed or 32-true",
            field="precision",
        )
    if world_size == 1:
        if config.strategy == "fsdp":
            raise UsageError("strategy: 'fsdp' shards networks over several processes; start them with torchrun")
        return Fabric(accelerator="auto", devices=1, precision=precision)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world_size)))
    nodes = world_size // local
    return Fabric(accelerator="auto", devices=local, num_nodes=nodes, precision=precision, strategy=DDPStrategy())


def loss_scaler(fabric: Fabric) -> Any:
    """Returns what scales the losses so that small gradients do not vanish in 16-bit floats.

    Args:
        fabric: Whose precision is asked.

    Returns:
        torch's GradScaler at "16-mixed", None at other precisions.
    """
    return getattr(fabric.strategy.precision, "scaler", None)


class Part:
    """A role's network with its optimisers.

    Args:
        task: Gives the losses.
        module: The role's network.
        config: Of its optimisers.
        fabric: Launched.
        is_sharded: Whether each process holds a shard of the network only.
        offload: Folder of a file that keeps the moments between steps; None keeps them in memory.
    """

    def __init__(
        self,
        task: Task,
        module: nn.Module,
        config: OptimiserConfig,
        fabric: Fabric,
        *,
        is_sharded: bool = False,
        offload: Path | None = None,
    ) -> None:
        self.module, self.config, self._task, self._fabric = module, config, task, fabric
        self._is_sharded, self._is_offloaded = is_sharded, offload is not None
        if is_sharded:
            shard(module, fabric)
        self.optimisers = Optimisers(module, config)
        # What DDP and autocast see: the losses run inside, so that gradients are averaged once, and only this role's.
        losses = _Losses(task, module)
        self._losses: Any = losses if is_sharded else fabric.setup_module(losses)
        if offload is not None:
            self.optimisers.offload(offload)
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
        count = self._greatest(len(parts))
        for number in range(1, count + 1):
            # Processes call sharded networks equally often; one that has no part left repeats its last, for nothing.
            is_extra = number > len(parts)
            losses = self._backward_of(parts[-1 if is_extra else number - 1], step, number == count, is_extra)
            if self._is_offloaded:
                trim_heap()
            if not is_extra:
                values = {name: values.get(name, 0.0) + float(value.detach()) for name, value in losses.items()}
        self._unscale()
        norm: Any = whole(nn.utils.clip_grad_norm_(self._trained, self.config.gradient_clip))
        return values | {"gradient_norm": float(norm)}

    def _unscale(self) -> None:
        """Divides the gradients by the scale of the losses, before their norm is taken, and adjusts the scale: an
        overflow, which the loop sees as a norm that is not finite, halves it.
        """
        scaler = loss_scaler(self._fabric)
        if scaler is not None:
            for optimiser in self.optimisers.parts:
                scaler.unscale_(optimiser)
            scaler.update()

    def _greatest(self, count: int) -> int:
        """The greatest number of parts of all processes, where they must agree on it."""
        if not self._is_sharded:
            return count
        greatest = torch.tensor(count, device=self._fabric.device)
        distributed.all_reduce(greatest, op=distributed.ReduceOp.MAX)
        return int(greatest)

    def _backward_of(self, part: Any, step: int, is_last: bool, is_extra: bool) -> dict[str, Tensor]:
        """Processes exchange gradients once, with the last part."""
        if self._is_sharded:
            return self._sharded_backward_of(part, step, is_last, is_extra)
        waits = not is_last and self._fabric.world_size > 1
        with self._fabric.no_backward_sync(self._losses, enabled=waits):
            losses = self._losses(_Whole(part), step)
            self._fabric.backward(losses["total"])
        return losses

    def _sharded_backward_of(self, part: Any, step: int, is_last: bool, is_extra: bool) -> dict[str, Tensor]:
        for module in self.module.modules():
            if isinstance(module, FSDPModule):
                module.set_requires_gradient_sync(is_last, recurse=False)
        with self._fabric.autocast():
            losses: dict[str, Tensor] = self._losses(_Whole(part), step)
        (losses["total"] * (0.0 if is_extra else 1.0)).backward()
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
        parts = batch if isinstance(batch, Parts) else [batch]
        with self._fabric.autocast():
            for number in range(self._greatest(len(parts))):
                found = self._task.losses(self.module, parts[min(number, len(parts) - 1)], step)
                if number >= len(parts):
                    continue
                values = {name: values.get(name, 0.0) + float(value) for name, value in found.items()}
        torch.clear_autocast_cache()
        return values

    def state_dict(self) -> dict[str, Any]:
        """Returns everything needed to continue, gathered from all shards; every process must call it."""
        weights = {name: whole(value) for name, value in self.module.state_dict().items()}
        return {"module": weights, "optimisers": self.optimisers.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continues from saved weights and moments.

        Args:
            saved: What `state_dict` returned, with whichever strategy and number of processes.
        """
        present = self.module.state_dict()
        weights = {
            name: shard_like(value, present[name]) if name in present else value
            for name, value in saved["module"].items()
        }
        self.module.load_state_dict(weights)
        self.optimisers.load_state_dict(saved["optimisers"])


def shard(module: nn.Module, fabric: Fabric) -> None:
    """Splits a network's parameters over all processes: each of its blocks, then the rest.

    Args:
        module: Network, which is called as a module; its parameters become shards.
        fabric: Launched with several processes.
    """
    fabric.to_device(module)
    mesh = init_device_mesh(fabric.device.type, (fabric.world_size,))
    for stack in _stacks(module):
        for block in stack:
            # Keys and values of the conditions are computed for all blocks before the first runs.
            attention = getattr(block, "cross_attention", None)
            if isinstance(attention, nn.Module) and hasattr(attention, "keys_values"):
                fully_shard(attention, mesh=mesh, reshard_after_forward=True)
                register_fsdp_forward_method(attention, "keys_values")
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
    # Warned of are in-place changes of what a network returns; nothing here makes any.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    # Gathered again in each call, the rest too: what requires gradients changes with the role of the step.
    fully_shard(module, mesh=mesh, reshard_after_forward=True)


def checkpoint_activations(modules: Sequence[nn.Module]) -> None:
    """Lets the blocks of networks keep their inputs only and compute the rest again on the way back.

    Args:
        modules: Networks; those without a stack of blocks stay as they are.
    """
    for module in modules:
        for stack in _stacks(module):
            for block in stack:
                block.forward = functools.partial(_checkpointed, block.forward)


def is_shardable(module: nn.Module) -> bool:
    """Returns whether a network can be sharded; small ones without blocks, and those with a single number among their
    parameters, which torch does not shard, stay whole in every process.

    Args:
        module: Network.

    Returns:
        Whether it has blocks, and no single numbers.
    """
    return bool(_stacks(module)) and all(value.ndim > 0 for value in module.parameters())


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
