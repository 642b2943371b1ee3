"""Which controls a training example receives: drawn for each clip and epoch, so that a model can do without any.

T latent frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from arctone.audio.curves import loudness_to_unit
from arctone.audio.keys import key_number, note_number
from arctone.data.latent_files import CURVES
from arctone.data.sound import ClipInfo
from arctone.errors import UsageError

Floats = npt.NDArray[np.float32]
# A clip has a pitch curve if this part of its audible frames has a pitch.
_PITCHED_SHARE = 0.3
_NUMBERS = ("key", "note")
# Stretches that are to be generated, at most.
_MAX_STRETCHES = 3
# Keeps the draws of controls apart from those of captions.
_STREAM = 7


@dataclasses.dataclass(frozen=True)
class ControlRates:
    """How often a control is given to an example that has it.

    Attributes:
        key: Chance of the key.
        note: Chance of the pitch of a single note.
        curves: Chance that an example receives any curve at all.
        each_curve: Chance of each of its curves then.
        partial: Chance that curves are given in a stretch of the frames only.
        smoothing_frames: Curves are averaged over 1 to this many frames, so that a drawn or hummed one will do.
        known: Chance that part of the latents is known.
        prefix: Chance that this part is the beginning; else it is all but some stretches.

    Raises:
        UsageError: For a chance outside 0 to 1, or no frame.
    """

    key: float = 0.7
    note: float = 0.7
    curves: float = 0.5
    each_curve: float = 0.6
    partial: float = 0.25
    smoothing_frames: int = 7
    known: float = 0.5
    prefix: float = 0.5

    def __post_init__(self) -> None:
        for name in ("key", "note", "curves", "each_curve", "partial", "known", "prefix"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name}: {getattr(self, name)!r} is not possible, it must be 0 to 1")
        if self.smoothing_frames < 1:
            raise UsageError(f"smoothing_frames: {self.smoothing_frames!r} is not possible, it must be at least 1")


class ControlDraws:
    """Draws the controls of training examples.

    Args:
        names: Controls that the model receives, of its config.
        rates: How often each is given.
        has_known: Whether the model receives known latents with their mask.
    """

    def __init__(self, names: Sequence[str], rates: ControlRates | None = None, *, has_known: bool = False) -> None:
        self.rates, self.has_known = rates or ControlRates(), has_known
        self.numbers = tuple(name for name in _NUMBERS if name in names)
        self.curves = tuple(name for name in CURVES if name in names)

    def draw_numbers(self, info: ClipInfo, seed: int, epoch: int, index: int) -> dict[str, float]:
        """Draw key and note of an example; 0 = not given.

        Args:
            info: Facts of the clip.
            seed: Of the run.
            epoch: Of the example.
            index: Of the clip.

        Returns:
            Value by name of the control.
        """
        chances = _generator(seed, epoch, index, 0).random(len(_NUMBERS))
        facts = {"key": key_number(info.key or ""), "note": note_number(info.attributes.get("pitch", ""))}
        given = {name: chance < getattr(self.rates, name) for name, chance in zip(_NUMBERS, chances, strict=True)}
        return {name: float(facts[name]) if given[name] else 0.0 for name in self.numbers}

    def draw_curves(self, curves: Floats, seed: int, epoch: int, index: int) -> dict[str, Floats]:
        """Draw the curves of an example, [2, T] each: values, and 1 where they are given; 0 elsewhere.

        Args:
            curves: Loudness in dB, brightness and pitch, [3, T].
            seed: Of the run.
            epoch: Of the example.
            index: Of the clip.

        Returns:
            [2, T] by name of the control.
        """
        rng = _generator(seed, epoch, index, 1)
        num_frames = curves.shape[1]
        any_given, chances = rng.random() < self.rates.curves, rng.random(len(CURVES))
        smoothing = 1 + int(rng.integers(self.rates.smoothing_frames))
        mask = np.ones(num_frames, np.float32)
        if rng.random() < self.rates.partial:
            first, end = sorted(int(place) for place in rng.integers(0, num_frames + 1, 2))
            mask[:first], mask[end:] = 0, 0
        given = dict(zip(CURVES, (chances < self.rates.each_curve) & any_given, strict=True))
        drawn: dict[str, Floats] = {}
        for name, values in zip(CURVES, (loudness_to_unit(curves[0]), curves[1], curves[2]), strict=True):
            if name in self.curves:
                known = mask if given[name] and (name != "pitch" or _is_pitched(curves)) else np.zeros_like(mask)
                shown = values if name == "pitch" else smoothed(values, smoothing)
                drawn[name] = np.stack([shown * known, known]).astype(np.float32)
        return drawn

    def draw_known(self, num_frames: int, seed: int, epoch: int, index: int) -> Floats:
        """Draw which frames of an example are known, [T], 1 = known.

        Args:
            num_frames: Of the clip, T.
            seed: Of the run.
            epoch: Of the example.
            index: Of the clip.

        Returns:
            [T], 1 where the frame is known.
        """
        rng = _generator(seed, epoch, index, 2)
        known = np.zeros(num_frames, np.float32)
        if rng.random() >= self.rates.known:
            return known
        if rng.random() < self.rates.prefix:
            known[: int(rng.integers(num_frames))] = 1
            return known
        known[:] = 1
        for _ in range(1 + int(rng.integers(_MAX_STRETCHES))):
            first, size = int(rng.integers(num_frames)), 1 + int(rng.integers(max(1, num_frames // 2)))
            known[first : first + size] = 0
        return known

    def collate(self, examples: Sequence[dict[str, Any]], num_frames: int) -> dict[str, Floats]:
        """Join drawn controls to a batch: numbers [B], curves [B, 2, T].

        Args:
            examples: Controls of each example.
            num_frames: T, padding included.

        Returns:
            Arrays by name of the control.
        """
        batch = {name: np.array([example[name] for example in examples], np.float32) for name in self.numbers}
        for name in self.curves:
            rows = np.zeros((len(examples), 2, num_frames), np.float32)
            for row, example in zip(rows, examples, strict=True):
                row[:, : example[name].shape[1]] = example[name]
            batch[name] = rows
        return batch

    def inpaint(self, latents: Floats, frames: Sequence[int], seed: int, epoch: int, indices: Sequence[int]) -> Floats:
        """Draw mask and known latents of a batch, [B, 1 + C, T].

        Args:
            latents: [B, C, T].
            frames: Of each clip, without padding.
            seed: Of the run.
            epoch: Of the examples.
            indices: Of the clips.

        Returns:
            Mask and known latents, [B, 1 + C, T].
        """
        mask = np.zeros((len(latents), 1, latents.shape[2]), np.float32)
        for row, num_frames, index in zip(mask, frames, indices, strict=True):
            row[0, :num_frames] = self.draw_known(num_frames, seed, epoch, index)
        return np.concatenate([mask, latents * mask], axis=1)


def smoothed(values: Floats, num_frames: int) -> Floats:
    """Return the moving average of a curve [T], which keeps its length and its ends.

    Args:
        values: Curve, [T].
        num_frames: Frames that are averaged; 1 = none.

    Returns:
        [T].
    """
    if num_frames == 1:
        return values
    before = num_frames // 2
    padded = np.pad(values, (before, num_frames - 1 - before), mode="edge")
    return np.convolve(padded, np.full(num_frames, 1 / num_frames), mode="valid").astype(np.float32)


def _is_pitched(curves: Floats) -> bool:
    audible = loudness_to_unit(curves[0]) > 0
    return bool(audible.any() and (curves[2][audible] > 0).mean() >= _PITCHED_SHARE)


def _generator(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([*key, _STREAM]))
