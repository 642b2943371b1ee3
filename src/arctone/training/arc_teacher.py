"""The guided teacher: what the flow model makes in many steps with guidance, for the generator to reach in one, or to
make without guidance.

B items, C channels, T latent frames.
Sources: of the path's end as target, the ODE warm-up of the public ARC trainer and of Stable Audio 3 (arXiv
2605.17991); of the guided velocity, C. Meng et al., "On distillation of guided diffusion models", CVPR 2023.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from arctone.flow.path import expand
from arctone.flow.samplers import euler
from arctone.flow.schedules import linear
from arctone.models.conditions import Conditions
from arctone.training.arc_config import ArcConfig
from arctone.training.guided import guided_velocity

# Its multiples fill the range from 0 to 1 evenly.
_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


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

    Args: module: the frozen flow model. config: steps, guidance and target.
    """

    def __init__(self, module: nn.Module, config: ArcConfig) -> None:
        self.module, self.config = module, config
        self._paths: dict[tuple[int, int], list[Tensor]] = {}

    def times(self, batch: TeacherBatch) -> Tensor:
        """Grid of a batch's trajectories, from 1 to 0.

        Where velocities are learned the times between are moved by up to half a step, all by the same, so that over the
        batches all times occur: a sampler may look at any of them.
        """
        grid = torch.tensor(linear(self.config.teacher_steps))
        if self.config.teacher_target == "velocity":
            grid[1:-1] += ((batch.key[0] + 1) * _GOLDEN_RATIO % 1 - 0.5) / self.config.teacher_steps
        return grid

    def example(self, batch: TeacherBatch) -> tuple[Tensor, Tensor, Tensor]:
        """For each item a point of its trajectory, x_t [B, C, T], its time [B] and x_0 [B, C, T]: the trajectory's end,
        or where the guided velocity at this point leads to.
        """
        if batch.key not in self._paths:
            kept = {key: path for key, path in self._paths.items() if key[0] == batch.key[0]}
            self._paths = kept | {batch.key: self._trajectory(batch)}
        path, times = self._paths[batch.key], self.times(batch).to(batch.quantiles.device)
        place = (batch.quantiles * (len(times) - 1)).long().clamp(max=len(times) - 2)
        items, points = torch.arange(len(place), device=place.device), torch.stack(path)
        x_t, t = points[place, items], times[place]
        if self.config.teacher_target == "end":
            return x_t, t, path[-1]
        share = expand(t / (t - times[place + 1]), x_t)
        return x_t, t, x_t + share * (points[place + 1, items] - x_t)

    @torch.no_grad()
    def _trajectory(self, batch: TeacherBatch) -> list[Tensor]:
        velocity_fn = guided_velocity(self.module, batch.conditions, self.config.teacher_cfg_scale)
        steps = euler(velocity_fn, batch.noise, self.times(batch).tolist(), lambda _: batch.noise)
        return [batch.noise, *(step.x.float() for step in steps)]
