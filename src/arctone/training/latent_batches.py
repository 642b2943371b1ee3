"""Batches of encoded latents for the training loop, a function of the step alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from arctone.data.batches import LengthBucketSampler, load_batch
from arctone.data.latents import LatentDataset

# Lengths and token counts are padded to multiples of these, so that few different shapes occur.
FRAMES_MULTIPLE = 16
_TENSORS = ("latents", "frame_mask", "text_tokens", "text_mask", "text_pooled", "seconds", "bpm")


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
        epoch, place = divmod(step, len(self))
        if epoch != self._epoch:
            self._epoch, self._plan = epoch, self.sampler.batches(epoch)
        clips = self._plan[place]
        mine = clips[rank::world_size]
        loaded = load_batch(self.dataset, mine, seed=self.seed, epoch=epoch, frames_multiple=FRAMES_MULTIPLE)
        batch = {name: torch.from_numpy(np.ascontiguousarray(loaded[name])) for name in _TENSORS}
        return batch | {"item": torch.arange(rank, len(clips), world_size), "num_items": torch.tensor(len(clips))}
