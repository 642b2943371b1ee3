"""Optimisers, their schedule, and the average of the weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map

from arctone.training.offload import FileMemory, OffloadedMoments, trim_heap


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """How fast one network is trained."""

    rate: float = 1e-3
    # Rate of Muon for the blocks' matrices; 0 = AdamW for everything.
    matrix_rate: float = 0.0
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.01
    # Largest norm of the gradient.
    gradient_clip: float = 1.0


class Optimisers:
    """Muon for the matrices inside the blocks, AdamW for everything else, stepped as one.

    Source: Muon (Jordan et al., 2024), in the division of labour that Stable Audio 3 uses.
    """

    def __init__(self, module: nn.Module, config: OptimiserConfig) -> None:
        matrices, others = _divide((name, value) for name, value in module.named_parameters() if value.requires_grad)
        decay = config.weight_decay
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(others, lr=config.rate, betas=config.betas, weight_decay=decay, fused=True)
        ]
        if matrices and config.matrix_rate > 0:
            self.parts.append(torch.optim.Muon(matrices, lr=config.matrix_rate, weight_decay=decay))
        elif matrices:
            self.parts[0].add_param_group({"params": matrices})
        self.base_rates = [[float(group["lr"]) for group in part.param_groups] for part in self.parts]
        self._offloaded: list[OffloadedMoments] = []

    def offload(self, folder: Path) -> None:
        """Keeps the moments in a file from now on; before the first step.

        Args:
            folder: Where the file lies.
        """
        self._offloaded = [OffloadedMoments(part, folder) for part in self.parts]

    def rest(self) -> None:
        """Lets the system take the moments out of memory, where they are in a file."""
        for moments in self._offloaded:
            moments.rest()

    def set_rate(self, factor: float) -> None:
        """Scale every learning rate by a factor of its base."""
        for part, rates in zip(self.parts, self.base_rates, strict=True):
            for group, rate in zip(part.param_groups, rates, strict=True):
                group["lr"] = rate * factor

    def step(self) -> None:
        """Update all weights, then forget the gradients."""
        for moments in self._offloaded:
            moments.step()
        if self._offloaded:
            trim_heap()
        for part in self.parts if not self._offloaded else ():
            part.step()
            part.zero_grad(set_to_none=True)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, object]]:
        """Everything needed to continue, gathered from all shards; every process must call it."""
        return [tree_map(whole, part.state_dict()) for part in self.parts]

    def load_state_dict(self, saved: list[dict[str, object]]) -> None:
        """Continue from saved moments."""
        for part, state in zip(self.parts, saved, strict=True):
            parameters = [value for group in part.param_groups for value in group["params"]]
            moments: dict[int, dict[str, Tensor]] = state["state"]  # type: ignore[assignment]
            mine = {
                place: {name: shard_like(value, parameters[place]) for name, value in values.items()}
                for place, values in moments.items()
            }
            part.load_state_dict({**state, "state": mine})
        self.rest()


def whole(value: object) -> object:
    """Returns a tensor whose shards, if it has any, were gathered from all processes; anything else as it is.

    Args:
        value: Anything.

    Returns:
        The whole tensor, or the value.
    """
    return value.full_tensor() if isinstance(value, DTensor) else value


def shard_like(value: Tensor, parameter: Tensor) -> Tensor:
    """Returns this process's shard of a tensor, where a parameter of the same shape has shards.

    Args:
        value: The same in all processes.
        parameter: Of a network.

    Returns:
        The shard, or the tensor itself.
    """
    if not isinstance(parameter, DTensor) or isinstance(value, DTensor) or value.shape != parameter.shape:
        return value
    placed = value.to(parameter.device)
    return distribute_tensor(placed, parameter.device_mesh, parameter.placements, src_data_rank=None)


def _local(value: Tensor) -> Tensor:
    """The values that this process holds, in the same memory."""
    return value.to_local() if isinstance(value, DTensor) else value


# What the stacks of blocks are called in the transformer and in the autoencoder.
_STACKS = (".blocks.", ".fine.", ".coarse.")


def _divide(named: Iterable[tuple[str, nn.Parameter]]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Matrices inside the blocks of a network, and all other parameters."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in named:
        inside = any(stack in f".{name}" for stack in _STACKS) and parameter.ndim == 2 and name.endswith("weight")
        (matrices if inside else others).append(parameter)
    return matrices, others


def inverse_rate_factor(step: int, *, inv_gamma: float = 1e6, power: float = 0.5, warmup: float = 0.995) -> float:
    """Returns the learning rate's factor of a slow inverse decay with an exponential warm-up.

    Args:
        step: Step of the loop.
        inv_gamma: Steps after which the rate has fallen to 2^-power.
        power: Exponent of the decay.
        warmup: The warm-up lacks warmup^(step + 1) of the full rate.

    Source: InverseLR of k-diffusion, which the public trainer uses.

    Returns:
        0 to 1.
    """
    return float((1 - warmup ** (step + 1)) * (1 + step / inv_gamma) ** -power)


def rate_factor(step: int, *, warmup_steps: int, total_steps: int, floor: float = 0.02) -> float:
    """Compute the factor of the learning rate: a linear warm-up to 1, then a cosine.

    Args:
        step: From 0.
        warmup_steps: Length of the warm-up.
        total_steps: Where the cosine ends.
        floor: Its end, 0 to 1.

    Returns:
        0 to 1.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min((step - warmup_steps) / max(total_steps - warmup_steps, 1), 1.0)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


class Ema:
    """Averaged copy of a module's weights and buffers.

    The decay rises from 0 to `decay`, so that early averages forget the start. After n updates it is n / (10 + n), or
    with a power 1 - (1 + n - 2)^-power.
    Sources: TensorFlow's ExponentialMovingAverage; with a power ema-pytorch, which the public trainer uses.

    Args:
        module: Network whose state is averaged.
        decay: Highest decay, 0 to 1.
        power: Exponent of the other warm-up; None for the first.
        offload: Folder of a file that keeps the average between updates; None keeps it in memory.
    """

    def __init__(
        self, module: nn.Module, decay: float = 0.999, power: float | None = None, offload: Path | None = None
    ) -> None:
        self.decay, self.power = decay, power
        self.num_updates = 0
        present = module.state_dict()
        self._memory = None if offload is None else FileMemory(offload, [*present.values()])
        if self._memory is None:
            self.state = {name: value.detach().clone() for name, value in present.items()}
            return
        self.state = dict(zip(present, self._memory.tensors, strict=True))
        for name, value in present.items():
            self.state[name].copy_(value.detach())
        self.rest()

    def rest(self) -> None:
        """Lets the system take the average out of memory, where it is in a file."""
        if self._memory is not None:
            self._memory.rest()

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Takes one step towards the module's present weights.

        Args:
            module: The network.
        """
        self.num_updates += 1
        decay = min(self.decay, self._warm_up())
        present = module.state_dict()
        floating = [name for name, value in present.items() if value.is_floating_point()]
        averages, values = ([_local(state[name]) for name in floating] for state in (self.state, present))
        if self._memory is None:
            torch._foreach_lerp_(averages, values, 1 - decay)
        else:
            for average, value in zip(averages, values, strict=True):
                average.copy_(average.to(value.device).lerp_(value, 1 - decay))
        for name in present.keys() - set(floating):
            self.state[name].copy_(present[name])
        self.rest()

    def _warm_up(self) -> float:
        if self.power is None:
            return self.num_updates / (10 + self.num_updates)
        return 1 - (1 + max(self.num_updates - 2, 0)) ** -self.power

    def whole_state(self) -> dict[str, Tensor]:
        """Returns the average, gathered from all shards; every process must call it."""
        return tree_map(whole, self.state)  # type: ignore[no-any-return]

    def gather(self) -> None:
        """Replaces shards of the average by whole tensors, in all processes; no update may follow."""
        self.state = self.whole_state()

    def state_dict(self) -> dict[str, object]:
        """Returns everything needed to continue, gathered from all shards; every process must call it."""
        return {"num_updates": self.num_updates, "state": self.whole_state()}

    def load_state_dict(self, saved: dict[str, object]) -> None:
        """Continues from a saved average.

        Args:
            saved: What `state_dict` returned.
        """
        self.num_updates = int(saved["num_updates"])  # type: ignore[call-overload]
        state: dict[str, Tensor] = saved["state"]  # type: ignore[assignment]
        for name, value in state.items():
            self.state[name].copy_(shard_like(value, self.state[name]))
        self.rest()
