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
from typing import NamedTuple

import torch
from torch import Tensor, nn

from arctone.flow.path import add_noise, expand
from arctone.models.conditions import Conditions
from arctone.training.arc.losses import latent_error
from arctone.training.batches import Batches
from arctone.training.distill.config import ConsistencyConfig
from arctone.training.network import estimate_x_0, guided_at, untracked
from arctone.training.noise_levels import sampler_levels
from arctone.training.randomness import load_material
from arctone.training.task import LatentTask

# What a draw is for.
_TEMPO, _LEVELS, _LAW, _NOISE = range(4)


class ConsistencyBatch(NamedTuple):
    """One step's material: real latents x_0 [B, C, T], their level t [B] and noise, and each item's weight."""

    x_0: Tensor
    conditions: Conditions
    weight: Tensor
    t: Tensor
    noise: Tensor


class ConsistencyTask(LatentTask):
    """Task of the training loop with one role, generator.

    Args:
        student: Velocity network.
        teacher: Velocity network, frozen.
        batches: Latents with their conditions.
        config: Settings; None = the defaults.
        cfg_scale: Of the teacher's guidance.
        seed: Of everything that is drawn.
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
        self.batches, self.cfg_scale, self.seed = batches, cfg_scale, seed

    @property
    def roles(self) -> Mapping[str, nn.Module]:
        """See `Task`."""
        return {"generator": self.student}

    @property
    def frozen(self) -> Sequence[nn.Module]:
        """See `Task`."""
        return [self.teacher]

    def role_at(self, step: int) -> str:
        """See `Task`."""
        return "generator"

    def batch(self, step: int, rank: int, world_size: int) -> ConsistencyBatch:
        """See `Task`."""
        dropout = self.config.tempo_dropout
        found = load_material(self.batches, self.seed, step, rank, world_size, tempo_dropout=dropout, purpose=_TEMPO)
        draws = found.draws
        quantiles = draws.quantiles(_LEVELS)
        of_sampler = draws.quantiles(_LAW) < self.config.sampler_share
        t = torch.where(of_sampler, sampler_levels(quantiles, self.config.step_counts)[0], 1 - quantiles)
        return ConsistencyBatch(found.x_0, found.conditions, draws.weight, t, draws.noise(_NOISE, found.shape))

    def losses(self, module: nn.Module, batch: ConsistencyBatch, step: int) -> dict[str, Tensor]:
        """Returns how far the student's estimates at both ends of a teacher's step are apart."""
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
        """Returns the student's x_0 [B, C, T], one step from x_t at levels t [B]."""
        return estimate_x_0(self.student, x_t, t, conditions)
