"""Consistency distillation: settings and task.

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

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from arctone.errors import UsageError
from arctone.flow.schedules import add_noise, expand
from arctone.models.conditions import Conditions
from arctone.models.discriminator import HEADS
from arctone.training.arc.losses import ADVERSARIAL_LOSSES, latent_error
from arctone.training.batches import Batches
from arctone.training.network import estimate_x_0, guided_at, untracked
from arctone.training.randomness import load_material, sampler_levels
from arctone.training.task import LatentTask, check_above_zero, check_choice, check_range

KINDS = ("dmd", "consistency")
# A relativistic loss has no meaning here: real and fake latents are not made from each other.
DMD_LOSSES = tuple(name for name, loss in ADVERSARIAL_LOSSES.items() if not loss.paired)


@dataclasses.dataclass(frozen=True)
class DmdConfig:
    """Settings of distribution-matching distillation.

    Attributes:
        cfg_scale: Guidance of the teacher; None = the flow model's own sampling scale.
        steps: Ping-pong steps of the student; training visits the sampler's levels for this number.
        backward_simulation: Whether the student's input at later steps is made of its own outputs, or of real latents.
        fake_updates: Updates of the fake score for one of the student (two time-scale rule).
        level_low: Lowest level at which the two scores are compared, and the fake score is trained; above 0.
        level_high: Highest of these levels; below 1.
        gan_weight: Of the adversarial loss in the student's steps; 0 = there is none.
        discriminator_weight: Of the discriminator's loss next to the fake score's own.
        loss: Adversarial loss: "least_squares" as in Presto, "softplus" as in DMD2, or "hinge".
        head: Name of the discriminator's head.
        num_blocks: Blocks of the fake score before the head; None = three of four.
        discriminator_level_mean: The discriminator sees latents at the level sigmoid(mean + std * normal).
        discriminator_level_std: See `discriminator_level_mean`; above 0.
        tempo_dropout: Part of the items that lose their tempo, as in the training of the flow.

    Raises:
        UsageError: For a value that has no meaning.
    """

    cfg_scale: float | None = None
    steps: int = 8
    backward_simulation: bool = True
    fake_updates: int = 5
    level_low: float = 0.02
    level_high: float = 0.98
    gan_weight: float = 0.005
    discriminator_weight: float = 0.01
    loss: str = "least_squares"
    head: str = "conv"
    num_blocks: int | None = None
    discriminator_level_mean: float = 0.0
    discriminator_level_std: float = 1.0
    tempo_dropout: float = 0.3

    def __post_init__(self) -> None:
        check_choice(self, "loss", DMD_LOSSES)
        check_choice(self, "head", HEADS)
        check_range(self, ("steps", "fake_updates", "num_blocks"), 1)
        check_range(self, ("gan_weight", "discriminator_weight", "cfg_scale"), 0)
        check_range(self, ("tempo_dropout",), 0, 1)
        check_above_zero(self, ("discriminator_level_std",))
        # At level 1 nothing is left of what is compared, and at level 0 the score of the data is not defined.
        if not 0 < self.level_low < self.level_high < 1:
            raise UsageError(
                f"level_low: {self.level_low!r} and level_high: {self.level_high!r} must be between 0 and 1, in this "
                "order"
            )


@dataclasses.dataclass(frozen=True)
class ConsistencyConfig:
    """Settings of consistency distillation.

    Attributes:
        cfg_scale: Guidance of the teacher; None = the flow model's own sampling scale.
        intervals: The teacher's Euler step is 1 / intervals long; the student learns where that many steps would end.
        sampler_share: Part of the items whose level is one of the ping-pong sampler's; the others' is uniform.
        step_counts: Numbers of steps of that sampler.
        huber: Below this error (RMS of unit-variance latents) the distance is quadratic, above it linear.
        tempo_dropout: Part of the items that lose their tempo, as in the training of the flow.

    Raises:
        UsageError: For a value that has no meaning.
    """

    cfg_scale: float | None = None
    intervals: int = 24
    sampler_share: float = 0.5
    step_counts: tuple[int, ...] = (1, 2, 4, 8)
    huber: float = 0.001
    tempo_dropout: float = 0.3

    def __post_init__(self) -> None:
        check_range(self, ("intervals",), 1)
        check_range(self, ("sampler_share", "tempo_dropout"), 0, 1)
        check_range(self, ("cfg_scale",), 0)
        check_above_zero(self, ("huber",))
        if not self.step_counts or min(self.step_counts) < 1:
            raise UsageError(f"step_counts: {self.step_counts!r} is not possible, it needs numbers of at least 1")


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
