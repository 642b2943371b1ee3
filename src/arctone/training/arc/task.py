"""Adversarial relativistic-contrastive (ARC) post-training: a flow model learns to make sound in a few steps.

The generator begins as the flow model, the discriminator as its first blocks with a new head. Their steps alternate.
B items, C channels, T latent frames, S score positions.
Source: Novack et al. 2025, arXiv 2505.08175. Where the public trainer differs: docs/arc.md.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from arctone.errors import UsageError
from arctone.flow.path import add_noise, denoised, expand
from arctone.flow.samplers import SAMPLERS
from arctone.flow.schedules import sampler_times
from arctone.models.conditions import Conditions
from arctone.models.discriminator import Scores
from arctone.training.arc.batches import (
    AllCaptions,
    ArcBatch,
    ArcDraws,
    CaptionedBatches,
    Renoised,
    arc_part,
    teacher_part,
)
from arctone.training.arc.config import ArcConfig
from arctone.training.arc.losses import (
    GAMES,
    caption_choice,
    centring,
    contrastive,
    gradient_penalty,
    item_means,
    latent_error,
)
from arctone.training.arc.teacher import Teacher, TeacherBatch, rolled
from arctone.training.flow import Listener
from arctone.training.guided import guided_velocity
from arctone.training.loop import Parts
from arctone.training.untracked import untracked

GENERATOR, DISCRIMINATOR, CRITIC = "generator", "discriminator", "critic"
Losses = dict[str, Tensor]


class ArcTask:
    """Task of the training loop, with two roles, or three with an alignment critic.

    Args: generator: (x_t, t, conditions) to velocity. discriminator: (x_s, s, conditions) to Scores. critic:
        (x_s, s, frame_mask, captions) to similarities. teacher: the frozen flow model. max_seconds: of the model.
    Raises: UsageError if the config needs a critic or a teacher that was not given.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        batches: CaptionedBatches,
        config: ArcConfig | None = None,
        *,
        max_seconds: float,
        critic: nn.Module | None = None,
        teacher: nn.Module | None = None,
        seed: int = 0,
    ) -> None:
        self.config = config or ArcConfig()
        self.generator, self.discriminator, self.critic = generator, discriminator, critic
        self.batches = batches
        self.draws = ArcDraws(batches, self.config, max_seconds, seed)
        if (self.config.alignment_steps > 0) != (critic is not None):
            raise UsageError("critic: must be given where alignment_steps is above 0, and only there")
        if self.config.has_teacher != (teacher is not None):
            raise UsageError("teacher: must be given where teacher_warmup or teacher_weight is above 0, and only there")
        self.teacher = Teacher(teacher, self.config) if teacher else None
        self.listener: Listener | None = None

    @property
    def roles(self) -> Mapping[str, nn.Module]:
        """See `loop.Task`; the generator is what is kept."""
        roles = {GENERATOR: self.generator, DISCRIMINATOR: self.discriminator}
        return roles if self.critic is None else roles | {CRITIC: self.critic}

    @property
    def frozen(self) -> Sequence[nn.Module]:
        """See `loop.Task`."""
        return [self.teacher.module] if self.teacher else []

    def role_at(self, step: int) -> str:
        """First the critic alone, then the generator with its teacher, then discriminator and generator in turn."""
        if step < self.config.alignment_steps:
            return CRITIC
        begun = self.config.alignment_steps + self.config.teacher_warmup
        if step < begun:
            return GENERATOR
        place = (step - begun) % (self.config.discriminator_updates + 1)
        return GENERATOR if place == self.config.discriminator_updates else DISCRIMINATOR

    def warms_up(self, step: int) -> bool:
        """Whether the generator learns from its teacher alone."""
        return 0 <= step - self.config.alignment_steps < self.config.teacher_warmup

    def rate_scale(self, step: int) -> float:
        """Learning from a teacher bears more than a game of two."""
        return self.config.teacher_warmup_scale if self.warms_up(step) else 1.0

    def batch(self, step: int, rank: int, world_size: int) -> ArcBatch | TeacherBatch | Parts:
        """What the losses of the step need, in parts where `micro_items` says so."""
        if self.warms_up(step):
            lesson = self.draws.teacher(step, rank, world_size)
            rows = self._rows(len(lesson.noise))
            return Parts(teacher_part(lesson, each, place) for place, each in enumerate(rows)) if rows else lesson
        draw = {GENERATOR: self.draws.generator, DISCRIMINATOR: self.draws.discriminator, CRITIC: self.draws.critic}
        batch = draw[self.role_at(step)](step, rank, world_size)
        rows = self._rows(len(batch.x_0))
        return Parts(arc_part(batch, each, place) for place, each in enumerate(rows)) if rows else batch

    def _rows(self, items: int) -> list[slice]:
        """Items of each part; none where the batch stays whole."""
        size = self.config.micro_items
        return [slice(start, start + size) for start in range(0, items, size)] if 0 < size < items else []

    def losses(self, module: nn.Module, batch: Any, step: int) -> Losses:
        """See `loop.Task`."""
        if self.warms_up(step):
            return {"total": self.teacher_loss(batch)}
        of_role = {
            GENERATOR: self.generator_losses,
            DISCRIMINATOR: self.discriminator_losses,
            CRITIC: self.critic_losses,
        }
        return of_role[self.role_at(step)](batch)

    def generator_losses(self, batch: ArcBatch) -> Losses:
        """How clearly the discriminator tells estimates from the real latents they were made of."""
        config, game = self.config, GAMES[self.config.loss]
        # First, while no graph takes up memory yet.
        real = self._real_logits(batch) if game.paired else torch.zeros(())
        fake = renoised(self.judged(batch), batch.seen)
        scores: Scores = self.discriminator(fake, batch.seen.s, batch.conditions)
        losses = {"adversarial": _mean(game.generator(real, scores.logits), scores.mask, batch.weight)}
        weighted = losses["adversarial"]
        if batch.teacher is not None:
            losses["teacher"] = self.teacher_loss(batch.teacher)
            weighted = weighted + config.teacher_weight * losses["teacher"]
        if batch.captions is not None:
            losses["alignment"] = self._alignment(fake, batch, batch.captions)
            weighted = weighted + config.alignment_weight * losses["alignment"]
        return {"total": weighted, **losses}

    @torch.no_grad()
    def _real_logits(self, batch: ArcBatch) -> Tensor:
        scores: Scores = self.discriminator(renoised(batch.x_0, batch.seen), batch.seen.s, batch.conditions)
        return scores.logits

    def discriminator_losses(self, batch: ArcBatch) -> Losses:
        """How badly real and fake, and right and wrong captions, are told apart; all in one pass of the network."""
        logits, mask = self._views(batch)
        real, fake, config = logits["real"], logits["fake"], self.config
        losses = {"adversarial": _mean(GAMES[config.loss].discriminator(real, fake), mask, batch.weight)}
        weighted = losses["adversarial"]
        if batch.wrong is not None:
            means = item_means(contrastive(real, logits["wrong"]), mask)
            losses["contrastive"] = (means * batch.wrong.weights).sum()
            weighted = weighted + config.contrastive_weight * losses["contrastive"]
        if config.centring_weight > 0:
            losses["centring"] = _mean(centring(real, fake), mask, batch.weight)
            weighted = weighted + config.centring_weight * losses["centring"]
        for name, of, weight in (("r1", "real", config.r1_weight), ("r2", "fake", config.r2_weight)):
            if weight > 0:
                penalty = gradient_penalty(logits[of], logits[f"{of}_disturbed"], config.penalty_std)
                losses[name] = _mean(penalty, mask, batch.weight)
                weighted = weighted + weight * losses[name]
        return {"total": weighted, **losses, "margin": _mean(real - fake, mask, batch.weight).detach()}

    def _views(self, batch: ArcBatch) -> tuple[dict[str, Tensor], Tensor]:
        """Logits [B, S] of everything that the discriminator is shown, by name, and their mask."""
        with torch.no_grad():
            fake = renoised(self.judged(batch), batch.seen)
        real = renoised(batch.x_0, batch.seen)
        views = {"real": (real, batch.conditions), "fake": (fake, batch.conditions)}
        if batch.wrong is not None:
            views["wrong"] = (real, batch.wrong.conditions)
        if batch.disturbance is not None:
            moved = self.config.penalty_std * batch.disturbance
            weights = {"real": self.config.r1_weight, "fake": self.config.r2_weight}
            views |= {
                f"{name}_disturbed": (views[name][0] + moved, batch.conditions) for name in weights if weights[name] > 0
            }
        inputs, conditions = zip(*views.values(), strict=True)
        # Differences as small as the penalty's drown in the rounding of 16 bit.
        precise = torch.autocast(real.device.type, enabled=False) if self.config.penalised else contextlib.nullcontext()
        with precise:
            scores: Scores = self.discriminator(
                torch.cat(inputs), batch.seen.s.repeat(len(inputs)), conditions[0].joined(*conditions[1:])
            )
        logits = dict(zip(views, scores.logits.chunk(len(views)), strict=True))
        return logits, scores.mask[: len(real)]

    def critic_losses(self, batch: ArcBatch) -> Losses:
        """How badly each clip's caption is picked out among those of the batch."""
        assert batch.captions is not None
        return {"total": self._alignment(renoised(batch.x_0, batch.seen), batch, batch.captions)}

    def _alignment(self, seen: Tensor, batch: ArcBatch, captions: AllCaptions) -> Tensor:
        assert self.critic is not None
        similarities = self.critic(seen, batch.seen.s, batch.conditions.frame_mask, captions.pooled)
        return (caption_choice(similarities, captions.own, captions.same) * batch.weight).sum()

    def teacher_loss(self, batch: TeacherBatch) -> Tensor:
        """Squared distance from the one-step estimate to where the guided teacher ends, or of their velocities."""
        assert self.teacher is not None
        x_t, t, x_0 = self.teacher.example(batch)
        error = latent_error(self.estimate(x_t, t, batch.conditions), x_0, batch.conditions.frame_mask)
        if self.config.teacher_target == "velocity":
            # Estimates of x_0 that differ by d come from velocities that differ by d / t.
            error = error / t.square()
        return (error * batch.weight).sum()

    def judged(self, batch: ArcBatch) -> Tensor:
        """The generator's x_0 [B, C, T] that the discriminator sees, with noise."""
        if self.config.judged_calls:
            return self.sample(batch)
        return self.estimate(self.input(batch), batch.start.t, batch.conditions)

    def sample(self, batch: ArcBatch) -> Tensor:
        """What the generator's own sampler makes of noise, [B, C, T]; gradients reach its last `judged_calls` calls."""
        name, num_steps, shift = self.config.sampled_by
        steps = SAMPLERS[name](
            guided_velocity(self.generator, batch.conditions, 1.0),
            batch.start.noise,
            sampler_times(name, num_steps, shift),
            lambda index: rolled(batch.start.noise, index, num_steps),
        )
        with untracked():
            for _ in itertools.islice(steps, num_steps - self.config.judged_calls):
                pass
        x_0 = batch.start.noise
        for step in steps:
            x_0 = step.x.float()
        return x_0

    def estimate(self, x_t: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """The generator's x_0 [B, C, T], one step from x_t at t [B]."""
        return denoised(x_t, self.generator(x_t, t, conditions).float(), expand(t, x_t))

    def input(self, batch: ArcBatch) -> Tensor:
        """x_t [B, C, T]: noised real latents, or where `own` says so the generator's noised estimate of them."""
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

    def demo(self, folder: Path, state: dict[str, Tensor], step: int) -> None:
        """Write what the present weights make of a few captions, where a decoder was given."""
        if self.listener is not None:
            self.listener(self.batches, folder, state, step)


def renoised(x_0: Tensor, seen: Renoised) -> Tensor:
    """Latents as the discriminator sees them."""
    return add_noise(x_0, seen.noise, expand(seen.s, x_0))


def _mean(values: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Mean over items of the means over their real positions [B, S]; of all processes, once DDP has averaged."""
    return (item_means(values, mask) * weight).sum()
