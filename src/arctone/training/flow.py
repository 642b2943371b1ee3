"""Rectified-flow training of the DiT on encoded latents."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from arctone.flow.path import add_noise, velocity
from arctone.models.conditions import Conditions
from arctone.training.levels import even_quantiles, logit_normal
from arctone.training.loop import OneRole, generator

_NOISE, _TIMES, _DROPS = 1, 2, 3


@dataclasses.dataclass(frozen=True)
class FlowConfig:
    """What a flow model is trained to do."""

    # Caption and tempo are dropped together, so that guidance has an unconditional side.
    caption_dropout: float = 0.1
    # A caption alone must work too: the number is not always given.
    tempo_dropout: float = 0.3
    # t = sigmoid(time_mean + time_std * normal): most effort where sounds take shape, some everywhere.
    time_mean: float = 0.4
    time_std: float = 1.1


class Batches(Protocol):
    """Batches of latents with their conditions, a function of the step."""

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Tensor]:
        """Keys: latents [B, C, T], frame_mask [B, T], text_tokens [B, L, D], text_mask [B, L], text_pooled [B, D],
        seconds [B], bpm [B] (0 = none), item [B] (place of each item in the batch of all processes), num_items (size
        of that batch)."""


# Called with the task's batches, the demo folder, the averaged weights and the step.
Listener = Callable[[Batches, Path, dict[str, Tensor], int], None]


class FlowTask(OneRole):
    """Task of the training loop: predict the velocity from data to noise."""

    def __init__(self, module: nn.Module, batches: Batches, config: FlowConfig | None = None, seed: int = 0) -> None:
        self.module, self.batches, self.seed = module, batches, seed
        self.config = config or FlowConfig()
        self.listener: Listener | None = None

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Any]:
        """This process's items; noise, times and dropped captions do not depend on the number of processes."""
        batch = self.batches.batch(step, rank, world_size)
        items, num_items = batch["item"], int(batch["num_items"])
        shape = batch["latents"].shape[1:]
        noise = [torch.randn(shape, generator=generator(self.seed, step, _NOISE, int(item))) for item in items]
        # DDP averages over processes, which may hold unequal numbers of items.
        weight = torch.tensor(world_size / num_items)
        drawn = {"t": self.draw_times(num_items, step)[items], "noise": torch.stack(noise), "item_weight": weight}
        return self._drop(batch, step, num_items) | drawn

    def draw_times(self, items: int, step: int) -> Tensor:
        """Noise levels [items], spread evenly over the law's quantiles, which lowers the variance of the loss."""
        even = even_quantiles(items, generator(self.seed, step, _TIMES))
        return logit_normal(even, self.config.time_mean, self.config.time_std)

    def _drop(self, batch: dict[str, Tensor], step: int, num_items: int) -> dict[str, Tensor]:
        chance = torch.rand(2, num_items, generator=generator(self.seed, step, _DROPS))[:, batch["item"]]
        silent = chance[0] < self.config.caption_dropout
        untimed = silent | (chance[1] < self.config.tempo_dropout)
        return batch | {
            "text_mask": batch["text_mask"] & ~silent[:, None],
            "text_pooled": batch["text_pooled"] * (~silent)[:, None],
            "bpm": batch["bpm"] * (~untimed),
        }

    def losses(self, module: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Mean squared velocity error over real frames, every item weighing the same."""
        x_0, noise, t = batch["latents"].float(), batch["noise"], batch["t"]
        x_t = add_noise(x_0, noise, t[:, None, None])
        predicted = module(x_t, t, Conditions.of(batch))
        error = (predicted.float() - velocity(x_0, noise)).square().mean(1)
        mask = batch["frame_mask"].float()
        return {"total": ((error * mask).sum(1) / mask.sum(1)).sum() * batch["item_weight"]}

    def demo(self, folder: Path, state: dict[str, Tensor], step: int) -> None:
        """Write what the present weights make of a few captions, where a decoder was given."""
        if self.listener is not None:
            self.listener(self.batches, folder, state, step)
