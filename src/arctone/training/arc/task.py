"""Adversarial relativistic-contrastive (ARC) post-training: a flow model learns to make sound in a few steps.

The generator begins as the flow model, the discriminator as its first blocks with a new head. Their steps alternate.
B items, C channels, T latent frames, S score positions.
Source: Novack et al. 2025, arXiv 2505.08175. Where the public trainer differs: docs/arc.md.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from arctone.errors import UsageError
from arctone.flow.samplers import SAMPLERS
from arctone.flow.schedules import add_noise, expand, sampler_times
from arctone.models.conditions import Conditions
from arctone.models.discriminator import Scores
from arctone.training.arc.batches import AllCaptions, ArcBatch, ArcMaterial, Renoised, arc_part, teacher_part
from arctone.training.arc.config import ArcConfig
from arctone.training.arc.losses import (
    ADVERSARIAL_LOSSES,
    caption_choice,
    contrastive,
    difference_penalty,
    gradient_penalty,
    item_means,
    latent_error,
)
from arctone.training.arc.teacher import Teacher, TeacherBatch, rolled
from arctone.training.batches import CaptionedBatches
from arctone.training.network import estimate_x_0, guided_velocity, untracked
from arctone.training.task import LatentTask, Parts, micro_batches

GENERATOR, DISCRIMINATOR, CRITIC = "generator", "discriminator", "critic"
Losses = dict[str, Tensor]


class ArcTask(LatentTask):
    """Task of the training loop, with two roles, or three with an alignment critic.

    Args:
        generator: (x_t, t, conditions) to velocity.
        discriminator: (x_s, s, conditions) to Scores.
        batches: Latents and captions.
        config: Settings; None = the defaults.
        critic: (x_s, s, frame_mask, captions) to similarities.
        teacher: The frozen flow model.
        seed: Of everything that is drawn.

    Raises:
        UsageError: If the config needs a critic or a teacher that was not given.
    """

    batches: CaptionedBatches

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        batches: CaptionedBatches,
        config: ArcConfig | None = None,
        *,
        critic: nn.Module | None = None,
        teacher: nn.Module | None = None,
        seed: int = 0,
    ) -> None:
        self.config = config or ArcConfig()
        self.generator, self.discriminator, self.critic = generator, discriminator, critic
        self.batches = batches
        self.material = ArcMaterial(batches, self.config, seed)
        if (self.config.alignment.steps > 0) != (critic is not None):
            raise UsageError("critic: must be given where alignment.steps is above 0, and only there")
        if self.config.teacher.is_on != (teacher is not None):
            raise UsageError("teacher: must be given where teacher.warmup or teacher.weight is above 0, and only there")
        shape = getattr(generator, "config", None)
        self.receives_steps = "steps" in getattr(shape, "controls", ())
        own = self.config.teacher
        self.teacher = Teacher(teacher, own, receives_steps=self.receives_steps) if teacher else None
        if self.config.self_output > 0:
            self.shards_refused = "with self_output they call the generator unequally often, set self_output=0"

    @property
    def roles(self) -> Mapping[str, nn.Module]:
        """See `Task`; the generator is what is kept."""
        roles = {GENERATOR: self.generator, DISCRIMINATOR: self.discriminator}
        return roles if self.critic is None else roles | {CRITIC: self.critic}

    @property
    def frozen(self) -> Sequence[nn.Module]:
        """See `Task`."""
        return [self.teacher.module] if self.teacher else []

    def role_at(self, step: int) -> str:
        """See `Task`: first the critic alone, then the generator with its teacher, then both networks in turn."""
        if step < self.config.alignment.steps:
            return CRITIC
        begun = self.config.alignment.steps + self.config.teacher.warmup
        if step < begun:
            return GENERATOR
        updates = self.config.discriminator.updates
        place = (step - begun) % (updates + 1)
        return GENERATOR if place == (0 if self.config.first == GENERATOR else updates) else DISCRIMINATOR

    def warms_up(self, step: int) -> bool:
        """Returns whether the generator learns from its teacher alone."""
        return 0 <= step - self.config.alignment.steps < self.config.teacher.warmup

    def rate_scale(self, step: int) -> float:
        """See `Task`: learning from a teacher bears higher rates than adversarial training."""
        return self.config.teacher.warmup_scale if self.warms_up(step) else 1.0

    def batch(self, step: int, rank: int, world_size: int) -> ArcBatch | TeacherBatch | Parts:
        """See `Task`; in parts where `micro_items` says so."""
        size = self.config.micro_items
        if self.warms_up(step):
            lesson = self.material.teacher(step, rank, world_size)
            rows = micro_batches(len(lesson.noise), size)
            return Parts(teacher_part(lesson, each, place) for place, each in enumerate(rows)) if rows else lesson
        material = self.material
        draw = {GENERATOR: material.generator, DISCRIMINATOR: material.discriminator, CRITIC: material.critic}
        batch = draw[self.role_at(step)](step, rank, world_size)
        rows = micro_batches(len(batch.x_0), size)
        return Parts(arc_part(batch, each, place) for place, each in enumerate(rows)) if rows else batch

    def losses(self, module: nn.Module, batch: Any, step: int) -> Losses:
        """See `Task`."""
        if self.warms_up(step):
            return {"total": self.teacher_loss(batch)}
        of_role = {
            GENERATOR: self.generator_losses,
            DISCRIMINATOR: self.discriminator_losses,
            CRITIC: self.critic_losses,
        }
        return of_role[self.role_at(step)](batch)

    def generator_losses(self, batch: ArcBatch) -> Losses:
        """Compute the losses of a generator step: adversarial, and of teacher and alignment if they are on.

        Args:
            batch: Of a generator step.

        Returns:
            Losses by name; "total" is their weighted sum.
        """
        config, loss = self.config, ADVERSARIAL_LOSSES[self.config.loss]
        # First, while no graph takes up memory yet.
        real = self._real_logits(batch) if loss.paired else torch.zeros(())
        fake = renoised(self.generated(batch), batch.seen)
        scores: Scores = self.discriminator(fake, batch.seen.s, batch.conditions)
        losses = {"adversarial": _mean(loss.generator(real, scores.logits), scores.mask, batch.weight)}
        weighted = losses["adversarial"]
        if batch.teacher is not None:
            losses["teacher"] = self.teacher_loss(batch.teacher)
            weighted = weighted + config.teacher.weight * losses["teacher"]
        if batch.captions is not None:
            losses["alignment"] = self._alignment(fake, batch, batch.captions)
            weighted = weighted + config.alignment.weight * losses["alignment"]
        return {"total": weighted, **losses}

    @torch.no_grad()
    def _real_logits(self, batch: ArcBatch) -> Tensor:
        scores: Scores = self.discriminator(renoised(batch.x_0, batch.seen), batch.seen.s, batch.conditions)
        return scores.logits

    def discriminator_losses(self, batch: ArcBatch) -> Losses:
        """Compute the losses of a discriminator step, adversarial, contrastive and penalties, in one pass.

        Args:
            batch: Of a discriminator step.

        Returns:
            Losses by name; "total" is their weighted sum, "margin" the mean difference of real and generated logits.
        """
        logits, mask = self._views(batch)
        real, fake, config = logits["real"], logits["fake"], self.config
        losses = {"adversarial": _mean(ADVERSARIAL_LOSSES[config.loss].discriminator(real, fake), mask, batch.weight)}
        weighted = losses["adversarial"]
        if batch.wrong is not None:
            means = item_means(contrastive(real, logits["wrong"]), mask)
            losses["contrastive"] = (means * batch.wrong.weights).sum()
            weighted = weighted + config.contrastive_weight * losses["contrastive"]
        penalties = config.penalties
        for name, of, weight in (("r1", "real", penalties.r1_weight), ("r2", "fake", penalties.r2_weight)):
            if weight > 0:
                losses[name] = self._penalty(logits[of], logits[f"{of}_disturbed"], mask, batch.weight)
                weighted = weighted + weight * losses[name]
        return {"total": weighted, **losses, "margin": _mean(real - fake, mask, batch.weight).detach()}

    def _penalty(self, logits: Tensor, disturbed: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
        if self.config.penalties.form == "difference":
            return (difference_penalty(logits, disturbed, mask) * weight).sum()
        return _mean(gradient_penalty(logits, disturbed, self.config.penalties.std), mask, weight)

    def _views(self, batch: ArcBatch) -> tuple[dict[str, Tensor], Tensor]:
        """Returns the logits [B, S] of everything that the discriminator sees, by name, and their mask."""
        with torch.no_grad():
            fake = renoised(self.generated(batch), batch.seen)
        real = renoised(batch.x_0, batch.seen)
        views = {"real": (real, batch.conditions), "fake": (fake, batch.conditions)}
        if batch.wrong is not None:
            views["wrong"] = (real, batch.wrong.conditions)
        if batch.disturbance is not None:
            moved = self.config.penalties.std * batch.disturbance
            weights = {"real": self.config.penalties.r1_weight, "fake": self.config.penalties.r2_weight}
            views |= {
                f"{name}_disturbed": (views[name][0] + moved, batch.conditions) for name in weights if weights[name] > 0
            }
        inputs, conditions = zip(*views.values(), strict=True)
        # Differences as small as the penalty's drown in the rounding of 16 bit.
        is_exact = self.config.penalties.is_on
        with torch.autocast(real.device.type, enabled=False) if is_exact else contextlib.nullcontext():
            scores: Scores = self.discriminator(
                torch.cat(inputs), batch.seen.s.repeat(len(inputs)), conditions[0].joined(*conditions[1:])
            )
        logits = dict(zip(views, scores.logits.chunk(len(views)), strict=True))
        return logits, scores.mask[: len(real)]

    def critic_losses(self, batch: ArcBatch) -> Losses:
        """Compute the loss of the alignment critic: choosing each clip's caption among those of the batch.

        Args:
            batch: Of a step of the critic, with captions.

        Returns:
            The loss as "total".
        """
        assert batch.captions is not None
        return {"total": self._alignment(renoised(batch.x_0, batch.seen), batch, batch.captions)}

    def _alignment(self, seen: Tensor, batch: ArcBatch, captions: AllCaptions) -> Tensor:
        assert self.critic is not None
        similarities = self.critic(seen, batch.seen.s, batch.conditions.frame_mask, captions.pooled)
        return (caption_choice(similarities, captions.own, captions.same) * batch.weight).sum()

    def teacher_loss(self, batch: TeacherBatch) -> Tensor:
        """Compute the squared error of one-step estimates against the guided teacher.

        Args:
            batch: Of the teacher.

        Returns:
            Error of x_0, or with the target "velocity" that of velocities.
        """
        assert self.teacher is not None
        x_t, t, x_0 = self.teacher.example(batch)
        is_mean = self.config.teacher.sampled_by is not None
        conditions = self.with_steps(batch.conditions, self.teacher.num_steps(batch)) if is_mean else batch.conditions
        error = latent_error(self.estimate(x_t, t, conditions), x_0, batch.conditions.frame_mask)
        if self.config.teacher.target == "velocity":
            # Estimates of x_0 that differ by d come from velocities that differ by d / t.
            error = error / t.square()
        return (error * batch.weight).sum()

    def with_steps(self, conditions: Conditions, num_steps: int) -> Conditions:
        """Returns the conditions of a generator whose sampler takes `num_steps`, if it receives their number."""
        if not self.receives_steps:
            return conditions
        return conditions._replace(steps=torch.full_like(conditions.seconds, num_steps))

    def generated(self, batch: ArcBatch) -> Tensor:
        """Generate what the discriminator sees with noise: a rollout of the sampler, or one step.

        Args:
            batch: Of any step.

        Returns:
            The generator's x_0, [B, C, T].
        """
        if self.config.rollout_steps:
            return self.sample(batch)
        return self.estimate(self.input(batch), batch.start.t, batch.conditions)

    def sample(self, batch: ArcBatch) -> Tensor:
        """Run the generator's sampler; gradients reach its last `rollout_steps` steps.

        Args:
            batch: Of any step.

        Returns:
            x_0, [B, C, T].
        """
        name, num_steps, shift = self.config.sampled_by
        steps = SAMPLERS[name](
            guided_velocity(self.generator, self.with_steps(batch.conditions, num_steps), 1.0),
            batch.start.noise,
            sampler_times(name, num_steps, shift),
            lambda index: rolled(batch.start.noise, index, num_steps),
        )
        with untracked():
            for _ in itertools.islice(steps, num_steps - self.config.rollout_steps):
                pass
        x_0 = batch.start.noise
        for step in steps:
            x_0 = step.x.float()
        return x_0

    def estimate(self, x_t: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """Estimate x_0 in one step.

        Args:
            x_t: [B, C, T].
            t: [B], 0 to 1.
            conditions: Of the batch.

        Returns:
            The generator's x_0, [B, C, T].
        """
        return estimate_x_0(self.generator, x_t, t, conditions)

    def input(self, batch: ArcBatch) -> Tensor:
        """Return the input of a one-step generator.

        Args:
            batch: Of any step.

        Returns:
            x_t [B, C, T]: noised real latents, or where `own` is set the generator's own estimate, noised.
        """
        start = batch.start
        x_t = add_noise(batch.x_0, start.noise, expand(start.t, batch.x_0))
        if start.own is None or not start.own.any():
            return x_t
        assert start.earlier_t is not None
        assert start.earlier_noise is not None
        own, t = start.own, start.earlier_t[start.own]
        with torch.no_grad():
            earlier = add_noise(batch.x_0[own], start.earlier_noise[own], expand(t, batch.x_0))
            x_0 = self.estimate(earlier, t, batch.conditions.items(own))
            x_t[own] = add_noise(x_0, start.noise[own], expand(start.t[own], x_0))
        # Autocast remembers the weights' 16-bit copies, here those without gradients, and would go on using them.
        torch.clear_autocast_cache()
        return x_t


def renoised(x_0: Tensor, seen: Renoised) -> Tensor:
    """Add the noise with which the discriminator sees latents.

    Args:
        x_0: [B, C, T].
        seen: Level and noise.

    Returns:
        [B, C, T].
    """
    return add_noise(x_0, seen.noise, expand(seen.s, x_0))


def _mean(values: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Mean over items of the means over their real positions [B, S]; of all processes, once DDP has averaged."""
    return (item_means(values, mask) * weight).sum()
