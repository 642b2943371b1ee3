"""The guided teacher: what the flow model makes in many steps with guidance, for the generator to reach in one.

B items, C channels, T latent frames.
Source: the ODE warm-up of the public ARC trainer and of Stable Audio 3 (arXiv 2605.17991).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from arctone.flow.samplers import euler
from arctone.flow.schedules import linear
from arctone.models.conditions import Conditions
from arctone.training.guided import guided_velocity


class TeacherBatch(NamedTuple):
    """What a trajectory starts from, and where each item looks at it.

    key: names the trajectories, by the step they were drawn for and the part of its batch; equal keys have equal
    conditions and noise. noise: [B, C, T]. quantiles: [B], uniform.
    weight: of each item in the mean of all processes, a scalar.
    """

    key: tuple[int, int]
    conditions: Conditions
    noise: Tensor
    quantiles: Tensor
    weight: Tensor


class Teacher:
    """Guided trajectories, kept until those of another step are asked for.

    They are a function of the key alone, so that a resumed run makes the same ones again.

    Args: module: the frozen flow model. steps: Euler steps from noise to data. cfg_scale: of the guidance.
    """

    def __init__(self, module: nn.Module, steps: int, cfg_scale: float) -> None:
        self.module, self.cfg_scale = module, cfg_scale
        self.times = linear(steps)
        self._paths: dict[tuple[int, int], list[Tensor]] = {}

    def example(self, batch: TeacherBatch) -> tuple[Tensor, Tensor, Tensor]:
        """For each item a point of its trajectory, x_t [B, C, T], its time [B] and the trajectory's end [B, C, T]."""
        if batch.key not in self._paths:
            kept = {key: path for key, path in self._paths.items() if key[0] == batch.key[0]}
            self._paths = kept | {batch.key: self._trajectory(batch)}
        path = self._paths[batch.key]
        place = (batch.quantiles * (len(self.times) - 1)).long().clamp(max=len(self.times) - 2)
        points = torch.stack(path)
        t = torch.tensor(self.times, device=place.device)[place]
        return points[place, torch.arange(len(place), device=place.device)], t, path[-1]

    @torch.no_grad()
    def _trajectory(self, batch: TeacherBatch) -> list[Tensor]:
        velocity_fn = guided_velocity(self.module, batch.conditions, self.cfg_scale)
        steps = euler(velocity_fn, batch.noise, self.times, lambda _: batch.noise)
        return [batch.noise, *(step.x.float() for step in steps)]
