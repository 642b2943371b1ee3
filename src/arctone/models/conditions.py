"""What a sound is conditioned on, as one value that every network over latents receives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# Numbers that belong to the prompt: they go where the prompt goes, and are 0 where it is dropped.
PROMPT_NUMBERS = ("bpm", "key", "note")


class Conditions(NamedTuple):
    """Conditions of a batch. Masks: True (or 1) = real. B items, C channels, T latent frames, L text tokens, D width.

    text_tokens: [B, L, D]. text_mask: [B, L]. text_pooled: [B, D]. seconds: [B]. bpm: [B], 0 = not given.
    frame_mask: [B, T]. inpaint: [B, inpaint_channels, T], for models that have such channels.
    The controls are for models whose config names them, and None otherwise. key: [B], 0 = not given, 1 to 12 = C to B
    major, 13 to 24 = C to B minor. note: [B], MIDI number of a single note, 0 = not given. Curves, [B, 2, T]: the
    values, and 1 where they are given (both 0 elsewhere). loudness: see `audio.curves.loudness_to_unit`. brightness:
    MIDI number of the spectral centroid / 127. pitch: MIDI number, 0 = no pitch.
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

    @classmethod
    def of(cls, batch: Mapping[str, Tensor]) -> Conditions:
        """The conditions among the tensors of a training batch, by name."""
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
        """The conditions of some items: a slice, [N] places or [B] True for those wanted."""
        return Conditions._make(None if value is None else value[index] for value in self)

    def expanded(self, num_items: int) -> Conditions:
        """The conditions of one item for as many; nothing is copied."""
        return Conditions._make(None if value is None else value.expand(num_items, *value.shape[1:]) for value in self)

    def joined(self, *others: Conditions) -> Conditions:
        """These and other conditions as one batch; texts are padded to the longest."""
        longest = max(part.text_mask.shape[1] for part in (self, *others))
        columns = zip(*(part._with_text_length(longest) for part in (self, *others)), strict=True)
        return Conditions._make(None if column[0] is None else torch.cat(column) for column in columns)

    def _with_text_length(self, length: int) -> Conditions:
        missing = length - self.text_mask.shape[1]
        tokens = functional.pad(self.text_tokens, (0, 0, 0, missing))
        return self._replace(text_tokens=tokens, text_mask=functional.pad(self.text_mask, (0, missing)))
