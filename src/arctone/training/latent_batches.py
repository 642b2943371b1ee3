"""Batches of encoded latents for the training loop, a function of the step alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from arctone.data.batches import LengthBucketSampler, caption_draw, collate_prompts, load_batch
from arctone.data.latents import LatentDataset

# Lengths and token counts are padded to multiples of these, so that few different shapes occur.
FRAMES_MULTIPLE = 16
PROMPT_TENSORS = ("text_tokens", "text_mask", "text_pooled", "bpm")
_TENSORS = ("latents", "frame_mask", "seconds", *PROMPT_TENSORS)


class LatentBatches:
    """Length-bucketed batches of a LatentDataset."""

    def __init__(self, dataset: LatentDataset, max_frames: int, seed: int = 0) -> None:
        self.dataset, self.seed = dataset, seed
        self.sampler = LengthBucketSampler(dataset.frames, max_frames, seed=seed, bucket_frames=FRAMES_MULTIPLE)
        self._epoch, self._plan = -1, list[list[int]]()

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.sampler)

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Tensor]:
        """See `training.flow.Batches`."""
        epoch, clips = self._clips(step)
        mine = clips[rank::world_size]
        loaded = load_batch(self.dataset, mine, seed=self.seed, epoch=epoch, frames_multiple=FRAMES_MULTIPLE)
        batch = {name: torch.from_numpy(np.ascontiguousarray(loaded[name])) for name in _TENSORS}
        return batch | {"item": torch.arange(rank, len(clips), world_size), "num_items": torch.tensor(len(clips))}

    def captions(self, step: int) -> list[str]:
        """Captions of the step's batch of all processes, by item."""
        epoch, clips = self._clips(step)
        return [self.dataset.caption(clip, caption_draw(self.seed, epoch, clip)) for clip in clips]

    def prompts(self, step: int, items: Sequence[int]) -> dict[str, Tensor]:
        """text_tokens, text_mask, text_pooled and bpm of any items of the step's batch of all processes."""
        epoch, clips = self._clips(step)
        chosen = [clips[item] for item in items]
        loaded = collate_prompts([self.dataset.prompt(clip, caption_draw(self.seed, epoch, clip)) for clip in chosen])
        return {name: torch.from_numpy(loaded[name]) for name in PROMPT_TENSORS}

    def _clips(self, step: int) -> tuple[int, list[int]]:
        """Epoch and clips of a step."""
        epoch, place = divmod(step, len(self))
        if epoch != self._epoch:
            self._epoch, self._plan = epoch, self.sampler.batches(epoch)
        return epoch, self._plan[place]
