"""Distribution-matching distillation (DMD2, Presto!) of a guided flow model into a few ping-pong steps.

t = 0 is data, t = 1 noise; a velocity network v gives x_0_hat = x_t - t v and the score
grad log p_t(x_t) = ((1 - t) x_0_hat - x_t) / t^2. Three networks start as the flow model:

    teacher     frozen, with classifier-free guidance: x_0_real
    fake score  trained by flow matching on the student's outputs: x_0_fake
    student     x_0 = x_t - t v(x_t, t) at the levels of the ping-pong sampler

The student is moved down the gradient of KL(student || teacher), averaged over noise levels:

    score_fake - score_real = (1 - t) (x_0_fake - x_0_real) / t^2
    weighted by t^2 / (1 - t) / mean |x_0 - x_0_real|:  gradient = (x_0_fake - x_0_real) / mean |x_0 - x_0_real|
    loss = 0.5 mean (x_0 - stop(x_0 - gradient))^2

An adversarial loss is added on the fake score's features, whose real examples are noised data. Several updates
of the fake score go to one of the student.
B items, C channels, T latent frames.
Sources: Yin et al. 2023, "One-step Diffusion with Distribution Matching Distillation" (equations 7 and 8); Yin et al.
2024, "Improved Distribution Matching Distillation" (DMD2); Novack et al. 2025, "Presto! Distilling Steps and Layers for
Accelerating Music Generation".
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from arctone.flow.samplers import VelocityFn, ping_pong
from arctone.flow.schedules import add_noise, denoised, expand, log_snr, velocity
from arctone.models.conditions import Conditions
from arctone.models.discriminator import FakeScore, Scores
from arctone.training.arc.batches import Renoised
from arctone.training.arc.losses import ADVERSARIAL_LOSSES, item_means, latent_error
from arctone.training.arc.task import renoised
from arctone.training.batches import Batches
from arctone.training.distill.consistency import DmdConfig
from arctone.training.network import guided_at, guided_velocity, untracked
from arctone.training.randomness import Material, load_material, logit_normal
from arctone.training.task import LatentTask

GENERATOR, FAKE_SCORE = "generator", "fake_score"
# What a draw is for.
_TEMPO, _PLACE, _STEPS, _LEVELS, _RENOISE, _SEEN, _SEEN_NOISE = range(7)
Losses = dict[str, Tensor]


class DmdBatch(NamedTuple):
    """One step's material.

    Attributes:
        x_0: Real latents, [B, C, T].
        conditions: Their conditions.
        weight: Of each item in the mean of all processes, a scalar.
        place: Which of the sampler's calls the student is trained at.
        noises: Start and fresh noise of the sampler's calls so far, [place + 1, B, C, T].
        matched: Level and noise at which the scores see the student's output.
        seen: Level and noise at which the discriminator sees latents; None without it.
    """

    x_0: Tensor
    conditions: Conditions
    weight: Tensor
    place: int
    noises: Tensor
    matched: Renoised
    seen: Renoised | None


class DmdTask(LatentTask):
    """Task of the training loop, with the roles generator (the student) and fake_score.

    Args:
        student: Velocity network.
        fake_score: Velocity network of the student's outputs, with a discriminator's head.
        teacher: Velocity network, frozen.
        batches: Latents with their conditions.
        config: Settings; None = the defaults.
        cfg_scale: Of the teacher's guidance.
        seed: Of everything that is drawn.
    """

    def __init__(
        self,
        student: nn.Module,
        fake_score: FakeScore,
        teacher: nn.Module,
        batches: Batches,
        config: DmdConfig | None = None,
        *,
        cfg_scale: float,
        seed: int = 0,
    ) -> None:
        self.config = config or DmdConfig()
        self.student, self.fake_score, self.teacher = student, fake_score, teacher
        self.batches, self.cfg_scale, self.seed = batches, cfg_scale, seed
        self.times = log_snr(self.config.steps)

    @property
    def roles(self) -> Mapping[str, nn.Module]:
        """See `Task`; the student is what is kept."""
        return {GENERATOR: self.student, FAKE_SCORE: self.fake_score}

    @property
    def frozen(self) -> Sequence[nn.Module]:
        """See `Task`."""
        return [self.teacher]

    def role_at(self, step: int) -> str:
        """The fake score's updates, then one of the student."""
        place = step % (self.config.fake_updates + 1)
        return GENERATOR if place == self.config.fake_updates else FAKE_SCORE

    def batch(self, step: int, rank: int, world_size: int) -> DmdBatch:
        """See `Task`."""
        config = self.config
        found = load_material(
            self.batches, self.seed, step, rank, world_size, tempo_dropout=config.tempo_dropout, purpose=_TEMPO
        )
        draws = found.draws
        place = draws.choice(_PLACE, config.steps)
        t = config.level_low + (config.level_high - config.level_low) * draws.quantiles(_LEVELS)
        return DmdBatch(
            x_0=found.x_0,
            conditions=found.conditions,
            weight=draws.weight,
            place=place,
            noises=draws.noises(_STEPS, found.shape, place + 1),
            matched=Renoised(t, draws.noise(_RENOISE, found.shape)),
            seen=self._seen(found) if config.gan_weight > 0 else None,
        )

    def _seen(self, found: Material) -> Renoised:
        mean, std = self.config.discriminator_level_mean, self.config.discriminator_level_std
        s = logit_normal(found.draws.quantiles(_SEEN), mean, std)
        return Renoised(s, found.draws.noise(_SEEN_NOISE, found.shape))

    def losses(self, module: nn.Module, batch: DmdBatch, step: int) -> Losses:
        """See `Task`."""
        return self.student_losses(batch) if self.role_at(step) == GENERATOR else self.fake_losses(batch)

    def student_losses(self, batch: DmdBatch) -> Losses:
        """Returns the distance from the guided teacher's distribution, and how well the discriminator spots outputs."""
        x_0 = self.output(batch)
        losses = {"matching": self._matching(x_0, batch)}
        weighted = losses["matching"]
        if batch.seen is not None:
            scores = self.fake_score.scores(renoised(x_0, batch.seen), batch.seen.s, batch.conditions)
            values = ADVERSARIAL_LOSSES[self.config.loss].generator(scores.logits, scores.logits)
            losses["adversarial"] = (item_means(values, scores.mask) * batch.weight).sum()
            weighted = weighted + self.config.gan_weight * losses["adversarial"]
        return {"total": weighted, **losses}

    def _matching(self, x_0: Tensor, batch: DmdBatch) -> Tensor:
        mask = batch.conditions.frame_mask
        x_t, t = renoised(x_0.detach(), batch.matched), batch.matched.s
        with torch.no_grad():
            real = self._x_0(x_t, t, guided_at(self.teacher, x_t, t, batch.conditions, self.cfg_scale))
            fake = self._x_0(x_t, t, self.fake_score(x_t, t, batch.conditions))
            target = x_0 - matching_gradient(x_0, real, fake, mask)
        return 0.5 * (latent_error(x_0, target, mask) * batch.weight).sum()

    def fake_losses(self, batch: DmdBatch) -> Losses:
        """Flow matching on the student's outputs, and how badly the discriminator separates them from real latents."""
        with untracked():
            x_0 = self.output(batch)
        x_t, t = renoised(x_0, batch.matched), batch.matched.s
        predicted = self.fake_score(x_t, t, batch.conditions).float()
        error = latent_error(predicted, velocity(x_0, batch.matched.noise), batch.conditions.frame_mask)
        losses = {"flow": (error * batch.weight).sum()}
        weighted = losses["flow"]
        if batch.seen is not None:
            losses |= self._discriminator_losses(x_0, batch, batch.seen)
            weighted = weighted + self.config.discriminator_weight * losses["discriminator"]
        return {"total": weighted, **losses}

    def _discriminator_losses(self, x_0: Tensor, batch: DmdBatch, seen: Renoised) -> Losses:
        shown = torch.cat([renoised(batch.x_0, seen), renoised(x_0, seen)])
        scores: Scores = self.fake_score.scores(shown, seen.s.repeat(2), batch.conditions.joined(batch.conditions))
        real, fake = scores.logits.chunk(2)
        mask = scores.mask[: len(real)]
        values = ADVERSARIAL_LOSSES[self.config.loss].discriminator(real, fake)
        margin = item_means(real - fake, mask).detach()
        return {
            "discriminator": (item_means(values, mask) * batch.weight).sum(),
            "margin": (margin * batch.weight).sum(),
        }

    def output(self, batch: DmdBatch) -> Tensor:
        """The student's x_0 [B, C, T] at its call number `place`; gradients reach back to that call and no further."""
        x_t = self.input(batch)
        t = torch.full((len(x_t),), self.times[batch.place], device=x_t.device)
        return self._x_0(x_t, t, self.student(x_t, t, batch.conditions))

    def input(self, batch: DmdBatch) -> Tensor:
        """What the student is given at its call number `place`, [B, C, T]."""
        if not self.config.backward_simulation:
            return add_noise(batch.x_0, batch.noises[batch.place], self.times[batch.place])
        with untracked():
            return simulated_input(
                guided_velocity(self.student, batch.conditions, 1.0), batch.noises, self.times, batch.place
            )

    @staticmethod
    def _x_0(x_t: Tensor, t: Tensor, v: Tensor) -> Tensor:
        return denoised(x_t, v.float(), expand(t, x_t))


def matching_gradient(x_0: Tensor, real: Tensor, fake: Tensor, frame_mask: Tensor) -> Tensor:
    """Compute the direction against which the student's outputs are moved.

    Args:
        x_0: Output of the student, [batch, channels, frames].
        real: What the teacher and the fake score make of x_0 with noise.
        fake: What the teacher and the fake score make of x_0 with noise.
        frame_mask: [B, T], True = real; padding does not count in the mean that normalises. Source: Yin et al. 2023,
            equations 7 and 8.

    Returns:
        [B, C, T].
    """
    distance = item_means((x_0 - real).abs().mean(1), frame_mask)
    return (fake - real) / expand(distance.clamp_min(1e-6), x_0)


def simulated_input(velocity_fn: VelocityFn, noises: Tensor, times: Sequence[float], place: int) -> Tensor:
    """Compute what the ping-pong sampler passes to its call number `place`, at the level times[place].

    It is the sampler itself that is run, so grid, noise and arithmetic are those of generation.

    Args:
        velocity_fn: The student.
        noises: [place + 1 or more, B, C, T]; noises[0] is the start, noises[i] the fresh noise after call i.
        times: The sampler's grid, falling from 1 to 0.
        place: 0 for the first call, which gets noise.

    Returns:
        [B, C, T].
    """
    x = noises[0]
    steps = ping_pong(velocity_fn, x, times, lambda index: noises[index])
    for step in itertools.islice(steps, place):
        x = step.x
    return x
