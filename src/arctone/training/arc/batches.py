"""Everything that a step of adversarial post-training draws: latents, captions, levels and noise.

All of it is a function of (seed, step, item), so that it depends neither on the number of processes nor on
interruptions. B items of this process, N of all, C channels, T latent frames, D text width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from arctone.models.conditions import Conditions
from arctone.training import randomness
from arctone.training.arc.config import ArcConfig
from arctone.training.arc.teacher import TeacherBatch
from arctone.training.batches import CaptionedBatches
from arctone.training.randomness import Draws, Material, load_material

# What a draw is for.
_TIMES, _LEVELS, _NOISE, _RENOISE, _EARLIER, _EARLIER_NOISE = range(6)
_OWN, _ORDER, _TEMPO, _DISTURBANCE, _TEACHER, _PLACE = range(6, 12)


class Renoised(NamedTuple):
    """How the discriminator sees latents: at level s [B] with this noise [B, C, T], real and fake alike."""

    s: Tensor
    noise: Tensor


class GeneratorInput(NamedTuple):
    """What the generator starts from: level t [B] and noise [B, C, T].

    Args:
        own: [B], True where the input is its own estimate from the level `earlier_t` [B] with `earlier_noise`; None
            where that never happens.
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
    """The captions of all processes.

    Attributes:
        pooled: [N, D].
        own: Place of each item's caption, [B].
        same: Where a caption equals the item's own, [B, N].
    """

    pooled: Tensor
    own: Tensor
    same: Tensor


class ArcBatch(NamedTuple):
    """One step's material.

    Args:
        weight: Of each item in the mean of all processes, a scalar.
    """

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
    """Select some items of a batch; their losses keep the weights that they have in the whole.

    Args:
        batch: The whole.
        rows: The items.
        number: Of this part, from 0.

    Returns:
        The part.
    """
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
    """Select some items of a teacher's batch.

    Args:
        batch: The whole.
        rows: The items.
        number: Of this part, from 0.

    Returns:
        The part, with a key of its own for its trajectories.
    """
    key, conditions, noise, quantiles, weight = batch
    return TeacherBatch((key[0], number), conditions.items(rows), noise[rows], quantiles[rows], weight)


def bank_step(step: int, size: int, uses: int) -> int:
    """Find the step that drew the batch which a step uses.

    The places of the bank are visited in turn; which of them is refilled moves on by one from round to round, so that
    the work is spread evenly.

    Args:
        step: From 0.
        size: Batches in the bank.
        uses: Number of times that each batch is used.

    Returns:
        The earlier step, or `step` itself.
    """
    turn, place = divmod(step, size)
    return max(turn - (turn + place) % uses, 0) * size + place


def _rows(group: Any, rows: slice) -> Any:
    return group._make(None if value is None else value[rows] for value in group)


class ArcMaterial:
    """Loads and draws the material of each step.

    Args:
        batches: Latents and captions.
        config: Settings.
        seed: Of everything that is drawn.
    """

    def __init__(self, batches: CaptionedBatches, config: ArcConfig, seed: int) -> None:
        self.batches, self.config, self.seed = batches, config, seed

    def generator(self, step: int, rank: int, world_size: int) -> ArcBatch:
        """Returns the material of a generator step."""
        material = self._load(step, rank, world_size)
        return self._common(material)._replace(
            captions=self._captions(material) if self.config.alignment.weight > 0 else None,
            teacher=self.teacher(step, rank, world_size) if self.config.teacher.weight > 0 else None,
        )

    def discriminator(self, step: int, rank: int, world_size: int) -> ArcBatch:
        """Returns the material of a discriminator step."""
        material = self._load(step, rank, world_size)
        disturbed = self.config.penalties.is_on
        return self._common(material)._replace(
            wrong=self._wrong(material) if self.config.contrastive_weight > 0 else None,
            disturbance=material.draws.noise(_DISTURBANCE, material.shape) if disturbed else None,
        )

    def critic(self, step: int, rank: int, world_size: int) -> ArcBatch:
        """Returns the material of a step of the alignment critic."""
        material = self._load(step, rank, world_size)
        return self._common(material)._replace(captions=self._captions(material))

    def teacher(self, step: int, rank: int, world_size: int) -> TeacherBatch:
        """Returns the teacher's material: each batch is used in `refresh` steps, from other places each time."""
        begun = bank_step(step, self.config.teacher.bank, self.config.teacher.refresh)
        material = self._load(begun, rank, world_size)
        draws = material.draws
        places = Draws(self.seed, step, draws.items, draws.count, world_size).quantiles(_PLACE)
        noise = draws.noise(_TEACHER, material.shape)
        return TeacherBatch((begun, 0), material.conditions, noise, places, draws.weight)

    def _load(self, step: int, rank: int, world_size: int) -> Material:
        dropout = self.config.tempo_dropout
        return load_material(self.batches, self.seed, step, rank, world_size, tempo_dropout=dropout, purpose=_TEMPO)

    def _common(self, material: Material) -> ArcBatch:
        level, draws = self.config.discriminator, material.draws
        s = randomness.logit_normal(self._quantiles(draws, _LEVELS), level.level_mean, level.level_std)
        return ArcBatch(
            x_0=material.x_0,
            conditions=material.conditions,
            weight=draws.weight,
            seen=Renoised(s, draws.noise(_RENOISE, material.shape)),
            start=self._start(material),
        )

    def _start(self, material: Material) -> GeneratorInput:
        config, draws = self.config, material.draws
        quantiles, earlier = self._quantiles(draws, _TIMES), self._quantiles(draws, _EARLIER)
        if config.time_law == "sampler":
            t, earlier_t = randomness.sampler_levels(quantiles, config.step_counts)
        else:
            t = randomness.uniform_log_snr(quantiles, config.log_snr_low, config.log_snr_high)
            earlier_t = randomness.noisier(t, earlier, config.log_snr_low)
        start = GeneratorInput(t, draws.noise(_NOISE, material.shape))
        if config.self_output == 0:
            return start
        return start._replace(
            own=draws.chances(_OWN) < config.self_output,
            earlier_t=earlier_t,
            earlier_noise=draws.noise(_EARLIER_NOISE, material.shape),
        )

    def _quantiles(self, draws: Draws, purpose: int) -> Tensor:
        return draws.quantiles(purpose, even=self.config.even_quantiles)

    def _wrong(self, material: Material) -> WrongCaptions:
        """Tempo is part of the prompt: left behind, it would contradict the wrong caption, and the discriminator could
        tell right from wrong without listening. Seconds are a fact of the audio and stay.
        """
        draws = material.draws
        groups = caption_groups(self.batches.captions(draws.step))
        order, usable = mismatched(groups, draws.source(_ORDER))
        prompts = self.batches.prompts(draws.step, order[draws.items].tolist())
        prompts["bpm"] = prompts["bpm"] * (draws.chances(_TEMPO) >= self.config.tempo_dropout)
        weight = draws.world_size / max(int(usable.sum()), 1)
        return WrongCaptions(material.conditions._replace(**prompts), usable[draws.items] * weight)

    def _captions(self, material: Material) -> AllCaptions:
        draws = material.draws
        groups = caption_groups(self.batches.captions(draws.step))
        pooled = self.batches.prompts(draws.step, range(draws.count))["text_pooled"]
        return AllCaptions(pooled, draws.items, groups[draws.items, None] == groups[None])


def caption_groups(captions: Sequence[str]) -> Tensor:
    """Number captions; those that differ in case and spaces alone share a number.

    Args:
        captions: N texts.

    Returns:
        [N].
    """
    numbers: dict[str, int] = {}
    return torch.tensor(
        [numbers.setdefault(" ".join(caption.casefold().split()), len(numbers)) for caption in captions]
    )


def mismatched(groups: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """A random permutation that gives as many items as possible a caption that is not theirs.

    Items are laid in a circle in random order, equal captions side by side, and each takes the caption as many
    places on as the largest group has members. So no item stays within its group, unless one group is more than half.

    Args:
        groups: [N], equal numbers for equal captions.
        source: Of random numbers.

    Returns:
        Order [N], item i takes the caption of order[i]; usable [N], True where that is another caption.
    """
    shuffled = torch.randperm(len(groups), generator=source)
    names = torch.randperm(int(groups.max()) + 1, generator=source)
    circle = shuffled[torch.argsort(names[groups[shuffled]], stable=True)]
    order = torch.empty_like(circle)
    order[circle] = circle.roll(-int(torch.bincount(groups).max()))
    return order, groups[order] != groups
