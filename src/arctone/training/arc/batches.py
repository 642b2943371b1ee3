"""Everything that a step of adversarial post-training draws: latents, captions, levels and noise.

All of it is a function of (seed, step, item), so that it depends neither on the number of processes nor on
interruptions. B items of this process, N of all, C channels, T latent frames, D text width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from arctone.models.conditions import Conditions
from arctone.training import levels
from arctone.training.arc.captions import caption_groups, mismatched
from arctone.training.arc.config import ArcConfig
from arctone.training.arc.teacher import TeacherBatch
from arctone.training.flow import Batches
from arctone.training.loop import generator

# What a draw is for.
_TIMES, _LEVELS, _NOISE, _RENOISE, _EARLIER, _EARLIER_NOISE = range(6)
_OWN, _ORDER, _TEMPO, _DISTURBANCE, _TEACHER, _PLACE = range(6, 12)


class CaptionedBatches(Batches, Protocol):
    """Batches that also tell the captions of all processes."""

    def captions(self, step: int) -> list[str]:
        """Captions of the step's batch of all processes, by item."""

    def prompts(self, step: int, items: Sequence[int]) -> dict[str, Tensor]:
        """text_tokens, text_mask, text_pooled and bpm of any items of the step's batch of all processes."""


class Renoised(NamedTuple):
    """How the discriminator sees latents: at level s [B] with this noise [B, C, T], real and fake alike."""

    s: Tensor
    noise: Tensor


class GeneratorInput(NamedTuple):
    """What the generator starts from: level t [B] and noise [B, C, T].

    own: [B], True where the input is its own estimate from the level `earlier_t` [B] with `earlier_noise`; None where
    that never happens.
    """

    t: Tensor
    noise: Tensor
    own: Tensor | None = None
    earlier_t: Tensor | None = None
    earlier_noise: Tensor | None = None


class WrongCaptions(NamedTuple):
    """Another item's prompt for each item, and each item's weight [B] in the contrastive mean (0: none was found)."""

    conditions: Conditions
    weights: Tensor


class AllCaptions(NamedTuple):
    """The captions of all processes: pooled [N, D]; own [B], the place of each item's; same [B, N], equal captions."""

    pooled: Tensor
    own: Tensor
    same: Tensor


class ArcBatch(NamedTuple):
    """One step's material. weight: of each item in the mean of all processes, a scalar."""

    x_0: Tensor
    conditions: Conditions
    weight: Tensor
    seen: Renoised
    start: GeneratorInput
    wrong: WrongCaptions | None = None
    disturbance: Tensor | None = None
    captions: AllCaptions | None = None
    teacher: TeacherBatch | None = None


def arc_part(batch: ArcBatch, rows: slice, number: int) -> ArcBatch:
    """Some items of a batch, as its part of this number; their losses keep the weights they have in the whole."""
    own: Any = {name: value for name, value in batch._asdict().items() if value is None or name == "weight"}
    own |= {name: batch._asdict()[name][rows] for name in ("x_0", "disturbance") if name not in own}
    own |= {"conditions": batch.conditions.items(rows)}
    own |= {name: _rows(batch._asdict()[name], rows) for name in ("seen", "start")}
    if batch.wrong is not None:
        own["wrong"] = WrongCaptions(batch.wrong.conditions.items(rows), batch.wrong.weights[rows])
    if batch.captions is not None:
        pooled, place, same = batch.captions
        own["captions"] = AllCaptions(pooled, place[rows], same[rows])
    if batch.teacher is not None:
        own["teacher"] = teacher_part(batch.teacher, rows, number)
    return ArcBatch(**own)


def teacher_part(batch: TeacherBatch, rows: slice, number: int) -> TeacherBatch:
    """Some items of the teacher's material, as its part of this number."""
    key, conditions, noise, quantiles, weight = batch
    return TeacherBatch((key[0], number), conditions.items(rows), noise[rows], quantiles[rows], weight)


def bank_step(step: int, size: int, uses: int) -> int:
    """The step that drew the batch which a step finds in a bank of `size`, where each batch is used `uses` times.

    The places of the bank are visited in turn; which of them is filled anew moves on by one from round to round, so
    that the work is spread evenly.
    """
    turn, place = divmod(step, size)
    return max(turn - (turn + place) % uses, 0) * size + place


def _rows(group: Any, rows: slice) -> Any:
    return group._make(None if value is None else value[rows] for value in group)


@dataclasses.dataclass(frozen=True)
class _Loaded:
    """A step's latents and prompts, with what the draws need. items: [B], places in the batch of all N processes."""

    step: int
    items: Tensor
    count: int
    world_size: int
    x_0: Tensor
    conditions: Conditions

    @property
    def weight(self) -> Tensor:
        """DDP averages over processes, which may hold unequal numbers of items."""
        return torch.tensor(self.world_size / self.count)


class ArcDraws:
    """Makes the material of each step.

    Args: batches: latents and captions. max_seconds: of the model, for the shift by length.
    """

    def __init__(self, batches: CaptionedBatches, config: ArcConfig, max_seconds: float, seed: int) -> None:
        self.batches, self.config, self.max_seconds, self.seed = batches, config, max_seconds, seed

    def generator(self, step: int, rank: int, world_size: int) -> ArcBatch:
        """Material of a generator step."""
        loaded = self._load(step, rank, world_size)
        return self._common(loaded)._replace(
            captions=self._captions(loaded) if self.config.alignment_weight > 0 else None,
            teacher=self.teacher(step, rank, world_size) if self.config.teacher_weight > 0 else None,
        )

    def discriminator(self, step: int, rank: int, world_size: int) -> ArcBatch:
        """Material of a discriminator step."""
        loaded = self._load(step, rank, world_size)
        return self._common(loaded)._replace(
            wrong=self._wrong(loaded) if self.config.contrastive_weight > 0 else None,
            disturbance=self._noise(loaded, _DISTURBANCE) if self.config.penalised else None,
        )

    def critic(self, step: int, rank: int, world_size: int) -> ArcBatch:
        """Material of a step of the alignment critic."""
        loaded = self._load(step, rank, world_size)
        return self._common(loaded)._replace(captions=self._captions(loaded))

    def teacher(self, step: int, rank: int, world_size: int) -> TeacherBatch:
        """The teacher's material: each batch is used in `teacher_refresh` steps, from other places each time."""
        begun = bank_step(step, self.config.teacher_bank, self.config.teacher_refresh)
        loaded = self._load(begun, rank, world_size)
        places = levels.even_quantiles(loaded.count, generator(self.seed, step, _PLACE))[loaded.items]
        return TeacherBatch((begun, 0), loaded.conditions, self._noise(loaded, _TEACHER), places, loaded.weight)

    def _load(self, step: int, rank: int, world_size: int) -> _Loaded:
        batch = self.batches.batch(step, rank, world_size)
        items, count = batch["item"], int(batch["num_items"])
        conditions = Conditions.of(batch)
        conditions = conditions._replace(bpm=conditions.bpm * self._with_tempo(step, items, count))
        return _Loaded(step, items, count, world_size, batch["latents"].float(), conditions)

    def _with_tempo(self, step: int, items: Tensor, count: int) -> Tensor:
        """[B], True where the tempo is told."""
        return (torch.rand(count, generator=generator(self.seed, step, _TEMPO)) >= self.config.tempo_dropout)[items]

    def _common(self, loaded: _Loaded) -> ArcBatch:
        config = self.config
        shift = levels.length_shift(loaded.conditions.seconds, self.max_seconds, config.shift_short, config.shift_long)
        s = levels.logit_normal(self._quantiles(loaded, _LEVELS), config.level_mean, config.level_std)
        return ArcBatch(
            x_0=loaded.x_0,
            conditions=loaded.conditions,
            weight=loaded.weight,
            seen=Renoised(levels.shifted_levels(s, shift), self._noise(loaded, _RENOISE)),
            start=self._start(loaded, shift),
        )

    def _start(self, loaded: _Loaded, shift: Tensor) -> GeneratorInput:
        config = self.config
        quantiles, earlier = self._quantiles(loaded, _TIMES), self._quantiles(loaded, _EARLIER)
        if config.time_law == "sampler":
            t, earlier_t = levels.sampler_levels(quantiles, config.step_counts)
        else:
            # The sampler's own levels are what they are, so only this law is shifted.
            t = levels.shifted_levels(levels.uniform_log_snr(quantiles, config.log_snr_low, config.log_snr_high), shift)
            earlier_t = levels.noisier(t, earlier, config.log_snr_low)
        start = GeneratorInput(t, self._noise(loaded, _NOISE))
        if config.self_output == 0:
            return start
        own = torch.rand(loaded.count, generator=generator(self.seed, loaded.step, _OWN)) < config.self_output
        return start._replace(
            own=own[loaded.items], earlier_t=earlier_t, earlier_noise=self._noise(loaded, _EARLIER_NOISE)
        )

    def _wrong(self, loaded: _Loaded) -> WrongCaptions:
        """Tempo is part of the prompt: left behind, it would contradict the wrong caption, and the discriminator could
        tell right from wrong without listening. Seconds are a fact of the audio and stay.
        """
        groups = caption_groups(self.batches.captions(loaded.step))
        order, usable = mismatched(groups, generator(self.seed, loaded.step, _ORDER))
        prompts = self.batches.prompts(loaded.step, order[loaded.items].tolist())
        prompts["bpm"] = prompts["bpm"] * self._with_tempo(loaded.step, loaded.items, loaded.count)
        weight = loaded.world_size / max(int(usable.sum()), 1)
        return WrongCaptions(loaded.conditions._replace(**prompts), usable[loaded.items] * weight)

    def _captions(self, loaded: _Loaded) -> AllCaptions:
        groups = caption_groups(self.batches.captions(loaded.step))
        pooled = self.batches.prompts(loaded.step, range(loaded.count))["text_pooled"]
        return AllCaptions(pooled, loaded.items, groups[loaded.items, None] == groups[None])

    def _quantiles(self, loaded: _Loaded, purpose: int) -> Tensor:
        return levels.even_quantiles(loaded.count, generator(self.seed, loaded.step, purpose))[loaded.items]

    def _noise(self, loaded: _Loaded, purpose: int) -> Tensor:
        """Standard normal like x_0, each item's from its own source."""
        shape = loaded.x_0.shape[1:]
        rows = [torch.randn(shape, generator=generator(self.seed, loaded.step, purpose, int(i))) for i in loaded.items]
        return torch.stack(rows)
