"""Consistency distillation of a guided flow model into a few ping-pong steps.

t = 0 is data, t = 1 noise. The student's estimate f(x_t, t) = x_t - t v(x_t, t) is x_0 itself at t = 0. Along one
trajectory of the teacher's flow it shall be the same everywhere, so it is the trajectory's end. For a level t, the
level s = max(t - 1 / intervals, 0) and the guided teacher's Euler step between them,

    x_s = x_t + (s - t) v_teacher(x_t, t)
    loss = d(f(x_t, t), stop(f(x_s, s))),   d(a, b) = sqrt(mean (a - b)^2 + huber^2) - huber

The network needs no change, and one network is trained. The target is the present student, not an average of past
ones: what is learned at low levels reaches high ones at once, which matters where updates are few.
B items, C channels, T latent frames.
Sources: Song et al. 2023, "Consistency Models", algorithm 2; Song and Dhariwal 2023, "Improved Techniques for Training
Consistency Models" (no averaged target, pseudo-Huber distance); Luo et al. 2023, "Latent Consistency Models" (guidance
inside the teacher's step).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from arctone.flow.path import add_noise, denoised, expand
from arctone.models.conditions import Conditions
from arctone.training.arc.losses import latent_error
from arctone.training.distill.config import ConsistencyConfig
from arctone.training.distill.draws import Draws
from arctone.training.flow import Batches, Listener
from arctone.training.guided import guided_at
from arctone.training.levels import sampler_levels
from arctone.training.loop import SteadyRate
from arctone.training.untracked import untracked

# What a draw is for.
_TEMPO, _LEVELS, _LAW, _NOISE = range(4)


class ConsistencyBatch(NamedTuple):
    """One step's material: real latents x_0 [B, C, T], their level t [B] and noise, and each item's weight."""

    x_0: Tensor
    conditions: Conditions
    weight: Tensor
    t: Tensor
    noise: Tensor


class ConsistencyTask(SteadyRate):
    """Task of the training loop with one role, generator.

    Args: student, teacher: velocity networks. cfg_scale: of the teacher's guidance.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        batches: Batches,
        config: ConsistencyConfig | None = None,
        *,
        cfg_scale: float,
        seed: int = 0,
    ) -> None:
        self.config = config or ConsistencyConfig()
        self.student, self.teacher = student, teacher
        self.batches, self.cfg_scale = batches, cfg_scale
        self.draws = Draws(batches, tempo_dropout=self.config.tempo_dropout, seed=seed, purpose=_TEMPO)
        self.listener: Listener | None = None

    @property
    def roles(self) -> Mapping[str, nn.Module]:
        """See `loop.Task`."""
        return {"generator": self.student}

    @property
    def frozen(self) -> Sequence[nn.Module]:
        """See `loop.Task`."""
        return [self.teacher]

    def role_at(self, step: int) -> str:
        """See `loop.Task`."""
        return "generator"

    def batch(self, step: int, rank: int, world_size: int) -> ConsistencyBatch:
        """What the loss of the step needs."""
        drawn = self.draws.of_step(step, rank, world_size)
        quantiles = drawn.quantiles(_LEVELS)
        of_sampler = drawn.quantiles(_LAW) < self.config.sampler_share
        t = torch.where(of_sampler, sampler_levels(quantiles, self.config.step_counts)[0], 1 - quantiles)
        return ConsistencyBatch(drawn.x_0, drawn.conditions, drawn.weight, t, drawn.noise(_NOISE))

    def losses(self, module: nn.Module, batch: ConsistencyBatch, step: int) -> dict[str, Tensor]:
        """How far the student's estimates at both ends of a teacher's step are apart."""
        x_t = add_noise(batch.x_0, batch.noise, expand(batch.t, batch.x_0))
        with untracked():
            target = self._target(x_t, batch.t, batch.conditions)
        error = latent_error(self.estimate(x_t, batch.t, batch.conditions), target, batch.conditions.frame_mask)
        distance = (error + self.config.huber**2).sqrt() - self.config.huber
        return {"total": (distance * batch.weight).sum()}

    def _target(self, x_t: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """The student's estimate at the end of the teacher's step; at level 0 that is the point itself."""
        s = (t - 1 / self.config.intervals).clamp_min(0)
        v = guided_at(self.teacher, x_t, t, conditions, self.cfg_scale).float()
        return self.estimate(x_t + expand(s - t, x_t) * v, s, conditions)

    def estimate(self, x_t: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """The student's x_0 [B, C, T], one step from x_t at levels t [B]."""
        return denoised(x_t, self.student(x_t, t, conditions).float(), expand(t, x_t))

    def demo(self, folder: Path, state: dict[str, Tensor], step: int) -> None:
        """Write what the present weights make of a few captions, where a decoder was given."""
        if self.listener is not None:
            self.listener(self.batches, folder, state, step)
