"""Conditions of the velocity network: text, duration, masks, and controls such as key or loudness."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from arctone.model_folder.config import DiTConfig

# Numbers that belong to the prompt: they go where the prompt goes, and are 0 where it is dropped.
PROMPT_NUMBERS = ("bpm", "key", "note")


class Conditions(NamedTuple):
    """Conditions of a batch. Masks: True (or 1) = real. B items, C channels, T latent frames, L text tokens, D width.

    text_tokens: [B, L, D]. text_mask: [B, L]. text_pooled: [B, D]. seconds: [B]. bpm: [B], 0 = not given.
    frame_mask: [B, T]. inpaint: [B, inpaint_channels, T], for models that have such channels.
    The controls are for models whose config names them, and None otherwise. key: [B], 0 = not given, 1 to 12 = C to B
    major, 13 to 24 = C to B minor. note: [B], MIDI number of a single note, 0 = not given. Curves, [B, 2, T]: the
    values, and 1 where they are given (both 0 elsewhere). loudness: see `audio.curves.loudness_to_unit`. brightness:
    MIDI number of the spectral centroid / 127. pitch: MIDI number, 0 = no pitch. steps: [B], number of steps that the
    sampler takes, 0 = not given; for few-step models, whose velocity is a mean over the step.
    """

    text_tokens: Tensor
    text_mask: Tensor
    text_pooled: Tensor
    seconds: Tensor
    bpm: Tensor
    frame_mask: Tensor
    inpaint: Tensor | None = None
    key: Tensor | None = None
    note: Tensor | None = None
    loudness: Tensor | None = None
    brightness: Tensor | None = None
    pitch: Tensor | None = None
    steps: Tensor | None = None

    @classmethod
    def of(cls, batch: Mapping[str, Tensor]) -> Conditions:
        """Collect the conditions among the tensors of a training batch.

        Args:
            batch: Tensors by name; names that are no condition are left out.

        Returns:
            The conditions.
        """
        return cls(**{name: batch[name] for name in cls._fields if name in batch})

    def unconditional(self) -> Conditions:
        """The same sounds without prompt, tempo, key and note: the side that guidance leads away from.

        Curves and known latents stay, as the length does: both sides follow them.
        """
        numbers = {name: getattr(self, name) for name in PROMPT_NUMBERS}
        return self._replace(
            text_mask=torch.zeros_like(self.text_mask),
            text_pooled=torch.zeros_like(self.text_pooled),
            **{name: torch.zeros_like(value) for name, value in numbers.items() if value is not None},
        )

    def items(self, index: Tensor | slice) -> Conditions:
        """Select some items.

        Args:
            index: A slice, numbers of items [N], or a mask [B] (True = wanted).

        Returns:
            Their conditions.
        """
        return Conditions._make(None if value is None else value[index] for value in self)

    def expanded(self, num_items: int) -> Conditions:
        """Repeat the conditions of one item; nothing is copied.

        Args:
            num_items: Number of items of the result.

        Returns:
            Conditions of `num_items` items.
        """
        return Conditions._make(None if value is None else value.expand(num_items, *value.shape[1:]) for value in self)

    def joined(self, *others: Conditions) -> Conditions:
        """Join these and other conditions into one batch; texts are padded to the longest.

        Args:
            *others: Conditions of the same kinds.

        Returns:
            Conditions of all items, these first.
        """
        longest = max(part.text_mask.shape[1] for part in (self, *others))
        columns = zip(*(part._with_text_length(longest) for part in (self, *others)), strict=True)
        return Conditions._make(None if column[0] is None else torch.cat(column) for column in columns)

    def _with_text_length(self, length: int) -> Conditions:
        missing = length - self.text_mask.shape[1]
        tokens = functional.pad(self.text_tokens, (0, 0, 0, missing))
        return self._replace(text_tokens=tokens, text_mask=functional.pad(self.text_mask, (0, missing)))


NUM_KEYS = 24
_PITCH_WAVES, _VALUE_WAVES, _STEP_WAVES = 8, 6, 4
# Doublings from one step to the most that a request may ask for, and a little more.
_STEP_DOUBLINGS = 8.0
# Harmonics of the octave: the notes of one name lie on one point of these circles.
_CHROMA_RATES = (1, 2, 3, 4, 5, 6)
_MIDI_RANGE = 128.0


def fourier(values: Tensor, num_waves: int) -> Tensor:
    """Compute sines and cosines at octave-spaced frequencies, pi 2^k for k from 0.

    Args:
        values: 0 to 1, any shape.
        num_waves: Number of frequencies.

    Returns:
        [..., 2 num_waves], all sines first.
    """
    rates = math.pi * 2.0 ** torch.arange(num_waves, device=values.device, dtype=torch.float32)
    angles = values.unsqueeze(-1) * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def key_features(key: Tensor) -> Tensor:
    """Encode keys one-hot.

    Args:
        key: Number of the key, [B], 0 = not given; see `conditions.KEYS`.

    Returns:
        [B, NUM_KEYS]; zeros where no key is given.
    """
    numbers = torch.arange(1, NUM_KEYS + 1, device=key.device, dtype=key.dtype)
    return (key.unsqueeze(-1) == numbers).to(torch.float32)


def pitch_features(midi: Tensor) -> Tensor:
    """Encode pitches by waves of the MIDI number and of its place in the octave.

    Args:
        midi: MIDI numbers, any shape; 0 = not given.

    Returns:
        [..., PITCH_FEATURES]; zeros where no pitch is given.
    """
    rates = torch.tensor(_CHROMA_RATES, device=midi.device, dtype=torch.float32)
    angles = (midi / 12 - torch.floor(midi / 12)).unsqueeze(-1) * rates * (2 * math.pi)
    waves = torch.cat([fourier(midi / _MIDI_RANGE, _PITCH_WAVES), angles.sin(), angles.cos()], dim=-1)
    return waves * (midi > 0).to(waves.dtype).unsqueeze(-1)


PITCH_FEATURES = 2 * _PITCH_WAVES + 2 * len(_CHROMA_RATES)


def step_features(steps: Tensor) -> Tensor:
    """Encode the number of sampler steps as waves of its logarithm.

    Args:
        steps: [B]; 0 = not given.

    Returns:
        [B, 2 _STEP_WAVES]; zeros where it is not given.
    """
    waves = fourier(torch.log2(torch.clamp(steps, min=1.0)) / _STEP_DOUBLINGS, _STEP_WAVES)
    return waves * (steps > 0).to(waves.dtype).unsqueeze(-1)


def curve_features(name: str, curve: Tensor) -> Tensor:
    """Encode a curve frame by frame.

    Args:
        name: One of the controls that are curves; "pitch" is in MIDI numbers, the others in 0 to 1.
        curve: Values, and where they are given (1) or not (0), [B, 2, T].

    Returns:
        [B, T, 1 + features]; zeros where the curve is not given.
    """
    value, given = curve.to(torch.float32).unbind(1)
    waves = pitch_features(value) if name == "pitch" else fourier(value, _VALUE_WAVES)
    return torch.cat([given.unsqueeze(-1), waves * given.unsqueeze(-1)], dim=-1)


_NUMBERS = {"key": NUM_KEYS, "note": PITCH_FEATURES, "steps": 2 * _STEP_WAVES}
_NUMBER_FEATURES = {"key": key_features, "note": pitch_features, "steps": step_features}
_CURVES = {"loudness": 1 + 2 * _VALUE_WAVES, "brightness": 1 + 2 * _VALUE_WAVES, "pitch": 1 + PITCH_FEATURES}


class Controls(nn.Module):
    """Projections of the controls of a config.

    Args:
        config: Its `controls` are the ones that exist.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.numbers, self.curves = nn.ModuleDict(), nn.ModuleDict()
        for name in config.controls:
            if name in _NUMBERS:
                # Once for the modulation of the blocks, once for the cross-attention.
                self.numbers[name] = _zeroed(nn.Linear(_NUMBERS[name], 2 * config.width, bias=False))
            else:
                self.curves[name] = _zeroed(nn.Linear(_CURVES[name], config.width, bias=False))

    def of_sound(self, conditions: Conditions) -> tuple[Tensor, Tensor] | None:
        """Project key, note and number of steps.

        Args:
            conditions: Of the batch.

        Returns:
            What is added to the global condition and to the context, [B, D] each; None if none is given.
        """
        total: Tensor | None = None
        for name, projection in self.numbers.items():
            value = getattr(conditions, name)
            if value is not None:
                added = projection(_NUMBER_FEATURES[name](value.float()))
                total = added if total is None else total + added
        if total is None:
            return None
        modulation, context = total.chunk(2, dim=-1)
        return modulation, context

    def of_frames(self, conditions: Conditions) -> Tensor | None:
        """Project the curves.

        Args:
            conditions: Of the batch.

        Returns:
            What is added to each frame, [B, T, D]; None if no curve is given.
        """
        total: Tensor | None = None
        for name, projection in self.curves.items():
            curve = getattr(conditions, name)
            if curve is not None:
                added = projection(curve_features(name, curve))
                total = added if total is None else total + added
        return total


def _zeroed(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    return layer
