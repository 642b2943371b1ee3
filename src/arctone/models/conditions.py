"""What a sound is conditioned on, as one value that every network over latents is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Conditions(NamedTuple):
    """Conditions of a batch. Masks: True (or 1) = real. B items, C channels, T latent frames, L text tokens, D width.

    text_tokens: [B, L, D]. text_mask: [B, L]. text_pooled: [B, D]. seconds: [B]. bpm: [B], 0 = not given.
    frame_mask: [B, T]. inpaint: [B, inpaint_channels, T], for models that have such channels.
    """

    text_tokens: Tensor
    text_mask: Tensor
    text_pooled: Tensor
    seconds: Tensor
    bpm: Tensor
    frame_mask: Tensor
    inpaint: Tensor | None = None

    @classmethod
    def of(cls, batch: Mapping[str, Tensor]) -> Conditions:
        """The conditions among the tensors of a training batch, by name."""
        return cls(*(batch[name] for name in cls._fields if name in batch))

    def unconditional(self) -> Conditions:
        """The same sounds without prompt and tempo: the side that guidance leads away from."""
        return self._replace(
            text_mask=torch.zeros_like(self.text_mask),
            text_pooled=torch.zeros_like(self.text_pooled),
            bpm=torch.zeros_like(self.bpm),
        )

    def items(self, index: Tensor | slice) -> Conditions:
        """The conditions of some items: a slice, [N] places or [B] True for those wanted."""
        return Conditions._make(None if value is None else value[index] for value in self)

    def joined(self, *others: Conditions) -> Conditions:
        """These and other conditions as one batch; texts are padded to the longest."""
        longest = max(part.text_mask.shape[1] for part in (self, *others))
        columns = zip(*(part._with_text_length(longest) for part in (self, *others)), strict=True)
        return Conditions._make(None if column[0] is None else torch.cat(column) for column in columns)

    def _with_text_length(self, length: int) -> Conditions:
        missing = length - self.text_mask.shape[1]
        tokens = functional.pad(self.text_tokens, (0, 0, 0, missing))
        return self._replace(text_tokens=tokens, text_mask=functional.pad(self.text_mask, (0, missing)))
