"""Batches of encoded latents for the training loop, a function of the step alone.

B items of this process, N of all processes, C channels, T latent frames, L text tokens, D text width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from arctone.data.batches import LengthBucketSampler, caption_draw, collate_prompts, load_batch
from arctone.data.controls import ControlDraws, ControlRates
from arctone.data.encoders import open_autoencoder
from arctone.data.latents import LatentDataset
from arctone.errors import UsageError
from arctone.model_folder.config import DiTConfig, ModelConfig

# Lengths and token counts are padded to multiples of these, so that few different shapes occur.
FRAMES_MULTIPLE = 16
PROMPT_TENSORS = ("text_tokens", "text_mask", "text_pooled", "bpm")
_TENSORS = ("latents", "frame_mask", "seconds", *PROMPT_TENSORS)
_CONTROLS = ("key", "note", "loudness", "brightness", "pitch", "inpaint")
# Stable Audio 3: nothing is known of 80 %, some stretches of 10 %, a beginning of 10 %.
PUBLISHED_RATES = ControlRates(known=0.2, prefix=0.5)
# Clips that an error message names.
_NAMED_CLIPS = 6
# Silence that is encoded for its frame in the middle.
_SILENT_FRAMES = 32


def silence_of(folder: Path, config: ModelConfig) -> Tensor | None:
    """Returns one frame of encoded silence, [C], for models that always receive their whole window; None for others.

    Args:
        folder: Of the model.
        config: The model's config.

    Returns:
        [C], or None.

    Raises:
        ModelError: If the folder has no autoencoder.
    """
    if not config.dit.full_window:
        return None
    encoding = open_autoencoder(folder)
    latents = encoding.encode(np.zeros((1, config.channels, _SILENT_FRAMES * encoding.hop_length), np.float32))
    return torch.from_numpy(latents[0, :, _SILENT_FRAMES // 2].copy())


def _refuse_long_clips(dataset: LatentDataset, config: ModelConfig) -> None:
    if not isinstance(config.dit, DiTConfig):
        return  # a continuous transformer has no table of positions, and takes any length
    longest = config.dit.max_frames
    names = [dataset.info(int(clip)).id for clip in np.flatnonzero(dataset.frames > longest)]
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise UsageError(
            f"latents: a clip of {dataset.frames.max()} latent frames does not fit the model's {longest} "
            f"({config.dit.max_seconds:g} seconds): {names[0]}{more}; cut these sounds and encode them again",
            field="latents",
        )


class Batches(Protocol):
    """Batches of latents with their conditions, a function of the step."""

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Tensor]:
        """Returns this process's part of a step's batch.

        Keys: latents [B, C, T], frame_mask [B, T], text_tokens [B, L, D], text_mask [B, L], text_pooled [B, D],
        seconds [B], bpm [B] (0 = none), item [B] (place of each item in the batch of all processes), num_items (N).
        """


class CaptionedBatches(Batches, Protocol):
    """Batches that also give the captions of all processes."""

    def captions(self, step: int) -> list[str]:
        """Returns the captions of the step's batch of all processes, by item."""

    def prompts(self, step: int, items: Sequence[int]) -> dict[str, Tensor]:
        """Returns text_tokens, text_mask, text_pooled and bpm of any items of the step's batch of all processes."""


class LatentBatches:
    """Length-bucketed batches of a LatentDataset.

    Args:
        dataset: Encoded clips.
        max_frames: Latent frames in a batch of all processes, padding included.
        seed: Of the order of the clips and of which caption is drawn.
        max_clips: Clips in a batch at most; None for no limit.
        text_length: Every prompt is padded to this number of tokens; 0 pads to the longest of the batch.
        window: Every clip is filled up to this number of frames with `silence`, which then counts as sound; 0 pads to
            the longest of the batch, and masks the padding.
        silence: One frame of encoded silence, [C]; needed with a window.
        controls: Further conditions that the model receives; None = none.

    Raises:
        UsageError: If a clip is longer than the window.
    """

    def __init__(
        self,
        dataset: LatentDataset,
        max_frames: int,
        seed: int = 0,
        *,
        max_clips: int | None = None,
        text_length: int = 0,
        window: int = 0,
        silence: Tensor | None = None,
        controls: ControlDraws | None = None,
    ) -> None:
        self.dataset, self.seed = dataset, seed
        self.text_length, self.window, self.silence, self.controls = text_length, window, silence, controls
        lengths = dataset.frames
        if window and len(lengths) and lengths.max() > window:
            raise UsageError(f"latents: a clip of {lengths.max()} latent frames does not fit the model's {window}")
        self.sampler = LengthBucketSampler(
            np.full_like(lengths, window) if window else lengths,
            max_frames,
            seed=seed,
            bucket_frames=FRAMES_MULTIPLE,
            max_clips=max_clips,
        )
        self._epoch, self._plan = -1, list[list[int]]()

    @classmethod
    def of_model(
        cls,
        dataset: LatentDataset,
        max_frames: int,
        seed: int,
        config: ModelConfig,
        silence: Tensor | None = None,
        rates: ControlRates | None = None,
    ) -> LatentBatches:
        """Returns batches in the form that a model's transformer needs.

        Args:
            dataset: Encoded clips.
            max_frames: Latent frames in a batch of all processes, padding included.
            seed: See the class.
            config: The model's config.
            silence: One frame of encoded silence, [C]; given, every clip is filled up to the model's whole window.
            rates: How often the model's controls are given; None = the published rates for published models, else the
                defaults.

        Returns:
            The batches.

        Raises:
            UsageError: If a clip is longer than what the model takes.
        """
        _refuse_long_clips(dataset, config)
        text_length = config.text.max_tokens if config.dit.pads_text else 0
        window = config.dit.max_frames if silence is not None else 0
        rates = PUBLISHED_RATES if rates is None and config.dit.pads_text else rates
        has_known = config.dit.inpaint_channels > 0
        receives = bool(config.dit.controls) or has_known
        controls = ControlDraws(config.dit.controls, rates, has_known=has_known) if receives else None
        return cls(
            dataset, max_frames, seed, text_length=text_length, window=window, silence=silence, controls=controls
        )

    def __len__(self) -> int:
        """Returns the number of batches of an epoch."""
        return len(self.sampler)

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Tensor]:
        """See `Batches`."""
        epoch, clips = self._clips(step)
        mine = clips[rank::world_size]
        loaded = load_batch(
            self.dataset,
            mine,
            seed=self.seed,
            epoch=epoch,
            frames_multiple=FRAMES_MULTIPLE,
            controls=self.controls,
        )
        names = [name for name in (*_TENSORS, *_CONTROLS) if name in loaded]
        batch = {name: torch.from_numpy(np.ascontiguousarray(loaded[name])) for name in names}
        batch = self._with_whole_window(self._with_whole_text(batch))
        return batch | {"item": torch.arange(rank, len(clips), world_size), "num_items": torch.tensor(len(clips))}

    def captions(self, step: int) -> list[str]:
        """See `CaptionedBatches`."""
        epoch, clips = self._clips(step)
        return [self.dataset.caption(clip, caption_draw(self.seed, epoch, clip)) for clip in clips]

    def prompts(self, step: int, items: Sequence[int]) -> dict[str, Tensor]:
        """See `CaptionedBatches`."""
        epoch, clips = self._clips(step)
        chosen = [clips[item] for item in items]
        loaded = collate_prompts([self.dataset.prompt(clip, caption_draw(self.seed, epoch, clip)) for clip in chosen])
        found = {name: torch.from_numpy(loaded[name]) for name in PROMPT_TENSORS}
        if self.controls is not None and self.controls.numbers:
            drawn = [self.controls.draw_numbers(self.dataset.info(clip), self.seed, epoch, clip) for clip in chosen]
            found |= {name: torch.tensor([row[name] for row in drawn]) for name in self.controls.numbers}
        return self._with_whole_text(found)

    def describe(self, step: int) -> str:
        """Returns the names of a step's clips, for an error message."""
        ids = [self.dataset.info(clip).id for clip in self._clips(step)[1]]
        more = f" and {len(ids) - _NAMED_CLIPS} more" if len(ids) > _NAMED_CLIPS else ""
        return f"clips {', '.join(ids[:_NAMED_CLIPS])}{more}"

    def _with_whole_text(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if not self.text_length:
            return batch
        tokens, mask = batch["text_tokens"][:, : self.text_length], batch["text_mask"][:, : self.text_length]
        missing = self.text_length - mask.shape[1]
        padded = {
            "text_tokens": functional.pad(tokens, (0, 0, 0, missing)),
            "text_mask": functional.pad(mask, (0, missing)),
        }
        return batch | padded

    def _with_whole_window(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if not self.window:
            return batch
        assert self.silence is not None
        latents, mask = batch["latents"][..., : self.window], batch["frame_mask"][:, : self.window]
        missing = self.window - mask.shape[1]
        latents, mask = functional.pad(latents, (0, missing)), functional.pad(mask, (0, missing))
        filled = torch.where(mask[:, None], latents, self.silence[:, None])
        whole = {"latents": filled, "frame_mask": torch.ones_like(mask)}
        if "inpaint" in batch:
            whole["inpaint"] = functional.pad(batch["inpaint"][..., : self.window], (0, missing))
        return batch | whole

    def _clips(self, step: int) -> tuple[int, list[int]]:
        """Returns the epoch and the clips of a step."""
        epoch, place = divmod(step, len(self))
        if epoch != self._epoch:
            self._epoch, self._plan = epoch, self.sampler.batches(epoch)
        return epoch, self._plan[place]
