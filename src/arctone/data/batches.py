"""Batches of clips of similar length, drawn again each epoch, and their padding.

B batch, C channels of the latents, T latent frames, L text tokens, D text width.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from arctone.data.controls import ControlDraws
from arctone.data.latents import LatentDataset
from arctone.errors import UsageError


class LengthBucketSampler:
    """Clip numbers in batches under a budget of frames: every clip exactly once an epoch, in a new order.

    A batch belongs to all processes together; each takes every world_size-th clip of it. So all of them make the same
    number of steps, and the steps are the same however many processes there are.

    Iterating gives the rest of the running epoch and ends; the next iteration is the next epoch. `state_dict` after
    any batch and `load_state_dict` later continue exactly there.

    Args:
        lengths: Latent frames of each clip.
        max_frames: Budget of a batch over all processes, counted with padding (clips times the longest, rounded up to
            bucket_frames).
        seed: 0 or more.
        rank: Of this process, from 0.
        world_size: Number of processes.
        bucket_frames: Lengths that round up to the same multiple of it count as equal.
        max_clips: The most clips in a batch, or None.

    Raises:
        UsageError: if the budget cannot give each process one of the longest clips, or there are too few clips.
    """

    def __init__(
        self,
        lengths: Sequence[int] | npt.NDArray[np.int64],
        max_frames: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        bucket_frames: int = 16,
        max_clips: int | None = None,
    ) -> None:
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.max_frames = max_frames
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.bucket_frames = bucket_frames
        self.max_clips = max_clips
        self._epoch = 0
        self._batch = 0
        self._validate()

    @property
    def epoch(self) -> int:
        """Number of the running epoch, from 0."""
        return self._epoch

    def __len__(self) -> int:
        """Batches of the running epoch; the same in every epoch and on every rank."""
        return len(self._cuts())

    def __iter__(self) -> Iterator[list[int]]:
        batches = self.batches(self._epoch)
        while self._batch < len(batches):
            self._batch += 1
            yield batches[self._batch - 1]
        self._epoch += 1
        self._batch = 0

    def batches(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch for this rank; a pure function of (arguments, epoch)."""
        rng = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        shuffled = rng.permutation(len(self.lengths))
        order = shuffled[np.argsort(-self._edges()[shuffled], kind="stable")]
        cuts = self._cuts()
        return [
            order[slice(*cuts[number])][self.rank :: self.world_size].tolist() for number in rng.permutation(len(cuts))
        ]

    def state_dict(self) -> dict[str, int]:
        """Where iteration stands: seed, epoch and batches already given in it."""
        return {"seed": self.seed, "epoch": self._epoch, "batch": self._batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from a state_dict.

        Args:
            state: What `state_dict` gave.

        Raises:
            UsageError: if it has another seed or no such batch.
        """
        if state["seed"] != self.seed:
            raise UsageError(f"the sampler's state has the seed {state['seed']}, but seed is {self.seed}.")
        if not 0 <= state["batch"] <= len(self) or state["epoch"] < 0:
            raise UsageError(f"the sampler's state is at batch {state['batch']}, but an epoch has {len(self)}.")
        self._epoch, self._batch = state["epoch"], state["batch"]

    def _edges(self) -> npt.NDArray[np.int64]:
        """Padded length of each clip: the upper edge of its bucket."""
        return -(-self.lengths // self.bucket_frames) * self.bucket_frames

    def _capacity(self, edge: int) -> int:
        fit = self.max_frames // edge
        return fit if self.max_clips is None else min(fit, self.max_clips)

    def _cuts(self) -> list[tuple[int, int]]:
        """First and end position of each batch in the order of falling length."""
        edges = np.sort(self._edges())[::-1]
        cuts: list[tuple[int, int]] = []
        start = 0
        while start < len(edges):
            end = min(start + self._capacity(int(edges[start])), len(edges))
            cuts.append((start, end))
            start = end
        return _without_small_tail(cuts, self.world_size)

    def _validate(self) -> None:
        if self.lengths.ndim != 1 or len(self.lengths) < self.world_size or (self.lengths < 1).any():
            raise UsageError(
                f"lengths must name at least world_size = {self.world_size} clips of 1 frame or more, "
                f"got {len(self.lengths)} clips."
            )
        if self.world_size < 1 or not 0 <= self.rank < self.world_size:
            raise UsageError(f"rank must be 0 to world_size - 1, got rank {self.rank} of {self.world_size}.")
        if self.bucket_frames < 1 or self.seed < 0:
            raise UsageError(
                f"bucket_frames must be 1 or more and seed 0 or more, got {self.bucket_frames} and {self.seed}."
            )
        longest = int(self._edges().max())
        if self._capacity(longest) < self.world_size:
            raise UsageError(
                f"max_frames must hold {self.world_size} clips (one a process) of the longest {longest} frames, "
                f"got {self.max_frames} frames" + (f" and at most {self.max_clips} clips." if self.max_clips else ".")
            )


def _without_small_tail(cuts: list[tuple[int, int]], world_size: int) -> list[tuple[int, int]]:
    """Share the last two batches evenly, so that the last is never so small that a process goes without.

    Only with hardly more clips than processes are the two joined instead; then the batch of the shortest clips is over
    the budget by less than one clip a process.
    """
    if len(cuts) < 2:
        return cuts
    (start, middle), (_, end) = cuts[-2:]
    half = middle if end - middle >= (middle - start) // 2 else (start + end + 1) // 2
    if end - half < world_size:
        return [*cuts[:-2], (start, end)]
    return [*cuts[:-2], (start, half), (half, end)]


def collate(examples: Sequence[dict[str, Any]], *, frames_multiple: int = 1, text_multiple: int = 8) -> dict[str, Any]:
    """Pad examples of LatentDataset to one batch. Masks: True is real, False padding; padding is zero.

    Args:
        examples: Clips of one batch, at least one.
        frames_multiple: T and L are rounded up to multiples of these.
        text_multiple: T and L are rounded up to multiples of these.

    Returns:
        Latents [B, C, T], frame_mask [B, T], seconds [B], bpm [B] (0 unknown), index [B]; id and caption as lists; with
        text also text_tokens [B, L, D], text_mask [B, L], text_pooled [B, D]. Numbers are float32, index int64.
    """
    if not examples:
        raise UsageError("a batch needs at least one example, got none.")
    latents, frame_mask = _padded([example["latents"].T for example in examples], frames_multiple)
    return collate_prompts(examples, text_multiple=text_multiple) | {
        "latents": np.ascontiguousarray(latents.transpose(0, 2, 1)),
        "frame_mask": frame_mask,
        "seconds": np.array([example["seconds"] for example in examples], dtype=np.float32),
    }


def collate_prompts(prompts: Sequence[dict[str, Any]], *, text_multiple: int = 8) -> dict[str, Any]:
    """The part of a batch that tells the prompts, from LatentDataset.prompt; see `collate`."""
    batch: dict[str, Any] = {
        "bpm": np.array([prompt["bpm"] for prompt in prompts], dtype=np.float32),
        "index": np.array([prompt["index"] for prompt in prompts], dtype=np.int64),
        "id": [prompt["id"] for prompt in prompts],
        "caption": [prompt["caption"] for prompt in prompts],
    }
    if "text_tokens" in prompts[0]:
        tokens, text_mask = _padded([prompt["text_tokens"] for prompt in prompts], text_multiple)
        pooled = np.stack([prompt["text_pooled"] for prompt in prompts])
        batch |= {"text_tokens": tokens, "text_mask": text_mask, "text_pooled": pooled}
    return batch


def load_batch(
    dataset: LatentDataset,
    indices: Sequence[int],
    *,
    seed: int,
    epoch: int,
    frames_multiple: int = 1,
    controls: ControlDraws | None = None,
) -> dict[str, Any]:
    """Read and collate clips, each with one of its captions, and with its controls, drawn by (seed, epoch, clip).

    Args:
        dataset: Latents of clips.
        indices: Clips of the batch.
        seed: Of the draw of captions.
        epoch: Epoch, from 0, of the draw of captions.
        frames_multiple: Frames are padded to a multiple of this.
        controls: Which the model receives; their arrays are in the batch by their names, see `ControlDraws.collate`,
            and mask and known latents as `inpaint`.

    Returns:
        Arrays of the batch by name, as `collate` gives them.

    Raises:
        InputFileError: if the model receives curves and the dataset has none.
    """
    draws = [caption_draw(seed, epoch, index) for index in indices]
    examples = [dataset.example(index, draw) for index, draw in zip(indices, draws, strict=True)]
    batch = collate(examples, frames_multiple=frames_multiple)
    if controls is None:
        return batch
    drawn: list[dict[str, Any]] = [dict(controls.draw_numbers(dataset.info(i), seed, epoch, i)) for i in indices]
    if controls.curves:
        for index, example in zip(indices, drawn, strict=True):
            example |= controls.draw_curves(dataset.curves(index), seed, epoch, index)
    batch |= controls.collate(drawn, batch["frame_mask"].shape[1])
    if controls.has_known:
        lengths = batch["frame_mask"].sum(axis=1).tolist()
        batch["inpaint"] = controls.inpaint(batch["latents"], lengths, seed, epoch, indices)
    return batch


def caption_draw(seed: int, epoch: int, index: int) -> int:
    """A whole number below 2**32 that is the same in every process and at every restart, for LatentDataset.example."""
    return int(np.random.SeedSequence([seed, epoch, index]).generate_state(1)[0])


def _padded(rows: list[npt.NDArray[Any]], multiple: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """[items, longest, width] with zeros behind each item, and the mask [items, longest]."""
    longest = max(1, max(len(row) for row in rows))
    length = -(-longest // multiple) * multiple
    padded = np.zeros((len(rows), length, rows[0].shape[1]), np.float32)
    mask = np.zeros((len(rows), length), np.bool_)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
        mask[number, : len(row)] = True
    return padded, mask
