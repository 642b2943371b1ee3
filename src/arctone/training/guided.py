"""A DiT with guidance as a velocity function for the samplers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from arctone.flow.guidance import guided
from arctone.flow.samplers import VelocityFn
from arctone.models.conditions import Conditions


def guided_velocity(dit: nn.Module, conditions: Conditions, cfg_scale: float) -> VelocityFn:
    """Velocity [B, C, T] of x [B, C, T] at a time t for these conditions; at scale 1 the network is called once."""

    def velocity_of(x: Tensor, t: float) -> Tensor:
        times = torch.full((len(x),), t, device=x.device)
        with_text: Tensor = dit(x, times, conditions)
        if cfg_scale == 1:
            return with_text
        return guided(with_text, dit(x, times, conditions.unconditional()), cfg_scale)

    return velocity_of
