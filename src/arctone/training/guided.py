"""A DiT with guidance as a velocity function for the samplers, and at a level of each item's own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from arctone.flow.guidance import guided
from arctone.flow.samplers import VelocityFn
from arctone.models.conditions import Conditions


def guided_at(dit: nn.Module, x: Tensor, t: Tensor, conditions: Conditions, cfg_scale: float) -> Tensor:
    """Velocity [B, C, T] of x [B, C, T] at levels t [B]; at scale 1 the network is called once, otherwise twice."""
    with_text: Tensor = dit(x, t, conditions)
    if cfg_scale == 1:
        return with_text
    return guided(with_text, dit(x, t, conditions.unconditional()), cfg_scale)


def guided_velocity(dit: nn.Module, conditions: Conditions, cfg_scale: float) -> VelocityFn:
    """Velocity [B, C, T] of x [B, C, T] at a time t for these conditions."""

    def velocity_of(x: Tensor, t: float) -> Tensor:
        return guided_at(dit, x, torch.full((len(x),), t, device=x.device), conditions, cfg_scale)

    return velocity_of
