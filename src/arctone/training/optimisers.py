"""Optimisers and their schedule."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import torch
from torch import nn


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

    def set_rate(self, factor: float) -> None:
        """Scale every learning rate by a factor of its base."""
        for part, rates in zip(self.parts, self.base_rates, strict=True):
            for group, rate in zip(part.param_groups, rates, strict=True):
                group["lr"] = rate * factor

    def step(self) -> None:
        """Update all weights, then forget the gradients."""
        for part in self.parts:
            part.step()
            part.zero_grad(set_to_none=True)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, object]]:
        """Everything needed to continue."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, saved: list[dict[str, object]]) -> None:
        """Continue from saved moments."""
        for part, state in zip(self.parts, saved, strict=True):
            part.load_state_dict(state)


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


def rate_factor(step: int, *, warmup_steps: int, total_steps: int, floor: float = 0.02) -> float:
    """Linear warm-up to 1, then a cosine down to `floor` at `total_steps`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min((step - warmup_steps) / max(total_steps - warmup_steps, 1), 1.0)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
