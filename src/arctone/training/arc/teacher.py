"""The guided teacher: what the flow model makes in many steps with guidance, for the generator to reach in one, or to
make without guidance.

B items, C channels, T latent frames.
Sources: of the path's end as target, the ODE warm-up of the public ARC trainer and of Stable Audio 3 (arXiv
2605.17991); of the guided velocity, C. Meng et al., "On distillation of guided diffusion models", CVPR 2023; of the
mean velocity over several smaller steps, T. Salimans and J. Ho, "Progressive distillation", ICLR 2022.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from arctone.flow.samplers import SAMPLERS
from arctone.flow.schedules import linear, log_snr, shifted
from arctone.models.conditions import Conditions
from arctone.training.arc.config import TeacherConfig
from arctone.training.network import guided_velocity

# Its multiples fill the range from 0 to 1 evenly.
_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


class TeacherBatch(NamedTuple):
    """What a trajectory starts from, and where each item looks at it.

    Args:
        key: Names the trajectories, by the step they were drawn for and the part of its batch; equal keys have equal
            conditions and noise.
        noise: [B, C, T].
        quantiles: [B], uniform.
        weight: Of each item in the mean of all processes, a scalar.
    """

    key: tuple[int, int]
    conditions: Conditions
    noise: Tensor
    quantiles: Tensor
    weight: Tensor


class _Path(NamedTuple):
    """Points of a trajectory and the estimates of x_0 at them, the last of which is its end; [steps, B, C, T]."""

    x_t: Tensor
    x_0: Tensor


class Teacher:
    """Guided trajectories, kept until others take their place in the bank.

    They are a function of the key alone, so that a resumed run makes the same ones again.

    Args:
        module: The frozen flow model.
        config: Steps, guidance and target.
        receives_steps: Whether the generator receives the number of steps, so that paths may differ in it.
    """

    def __init__(self, module: nn.Module, config: TeacherConfig, *, receives_steps: bool = False) -> None:
        self.module, self.config = module, config
        self._counts = config.step_counts if receives_steps and config.step_counts else (config.steps,)
        self._paths: dict[tuple[int, int], _Path] = {}

    def num_steps(self, batch: TeacherBatch) -> int:
        """Return the number of steps of a batch's trajectories."""
        return self._counts[batch.key[0] % len(self._counts)]

    def times(self, batch: TeacherBatch) -> tuple[float, ...]:
        """Return the time grid of a batch's trajectories; with ping-pong that of the sampler.

        For the target "velocity" the times between the ends are moved by up to half a step, all by the same amount,
        so that over the batches all times occur. Mean velocities over steps hold for these steps alone, so there the
        grid is fixed.

        Args:
            batch: Of the teacher.

        Returns:
            From 1 to 0, one more than steps.
        """
        num_steps = self.num_steps(batch)
        if self.config.sampler == "ping_pong":
            return log_snr(num_steps)
        grid = shifted(linear(num_steps), self.config.shift)
        if self.config.target == "end" or self.config.substeps > 1:
            return grid
        moved = ((batch.key[0] + 1) * _GOLDEN_RATIO % 1 - 0.5) / num_steps
        between = shifted([t + moved for t in linear(num_steps)[1:-1]], self.config.shift)
        return (grid[0], *between, grid[-1])

    def example(self, batch: TeacherBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a point of the trajectory of each item, computing the trajectories unless the bank holds them.

        Args:
            batch: Of the teacher.

        Returns:
            x_t [B, C, T], its time [B], and x_0 [B, C, T]: the trajectory's end, or the end that the guided velocity
            at this point, or its mean over the step, leads to.
        """
        if batch.key not in self._paths:
            self._make_room(batch.key[0])
            self._paths[batch.key] = self._trajectory(batch)
        path, times = self._paths[batch.key], torch.tensor(self.times(batch), device=batch.quantiles.device)
        place = self._places(batch.quantiles, self.num_steps(batch))
        items = torch.arange(len(place), device=place.device)
        x_0 = path.x_0[-1] if self.config.target == "end" else path.x_0[place, items]
        return path.x_t[place, items], times[place], x_0

    def _make_room(self, begun: int) -> None:
        size = self.config.bank
        replaced = [key for key in self._paths if key[0] != begun and key[0] % size == begun % size]
        for key in replaced:
            del self._paths[key]

    def _places(self, quantiles: Tensor, num_steps: int) -> Tensor:
        """Which step of the trajectory each item looks at, [B]."""
        shares = torch.tensor(self.config.shares or (1.0,) * num_steps)
        edges = (shares.cumsum(0) / shares.sum()).to(quantiles.device)
        last = int(shares.nonzero().max())
        return torch.searchsorted(edges, quantiles.contiguous(), right=True).clamp(max=last)

    @torch.no_grad()
    def _trajectory(self, batch: TeacherBatch) -> _Path:
        velocity_fn = guided_velocity(self.module, batch.conditions, self.config.cfg_scale)
        sampler = SAMPLERS[self.config.sampler]
        times, num_steps = self.times(batch), self.num_steps(batch)
        parts = self.config.steps * self.config.substeps // num_steps
        steps = list(
            sampler(
                velocity_fn,
                batch.noise,
                divided(times, parts),
                lambda index: rolled(batch.noise, index, num_steps),
            )
        )
        points = [batch.noise, *(step.x.float() for step in steps[parts - 1 :: parts])]
        if parts == 1:
            return _Path(torch.stack(points[:-1]), torch.stack([step.x_0.float() for step in steps]))
        means = [
            (x - after) / (t - t_after)
            for (x, after), (t, t_after) in zip(pairwise(points), pairwise(times), strict=True)
        ]
        x_0 = [x - t * mean for x, t, mean in zip(points[:-1], times[:-1], means, strict=True)]
        return _Path(torch.stack(points[:-1]), torch.stack(x_0))


def rolled(noise: Tensor, index: int, num_steps: int) -> Tensor:
    """Return noise for the re-noising after a step: the same white noise, moved in time, which is as good as new.

    Args:
        noise: [B, C, T].
        index: Number of the step, from 1.
        num_steps: Of the trajectory.

    Returns:
        [B, C, T].
    """
    return noise.roll(max(1, index * noise.shape[-1] // num_steps), -1)


def divided(times: Sequence[float], parts: int) -> tuple[float, ...]:
    """Divide each step of a time grid into equal parts.

    Args:
        times: The grid, from 1 to 0.
        parts: Number of parts of each step.

    Returns:
        The finer grid.
    """
    steps = ((first + (last - first) * part / parts) for first, last in pairwise(times) for part in range(parts))
    return (*steps, times[-1])
