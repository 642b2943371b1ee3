"""Flow training of a velocity network on encoded latents.

B items of this process, C channels, T latent frames.
Sources: rectified flow, Liu et al. 2022; levels, Esser et al. 2024 and the public trainer of Stable Audio Open.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from arctone.errors import UsageError
from arctone.flow.schedules import add_noise, velocity
from arctone.models.conditions import Conditions
from arctone.training.batches import Batches
from arctone.training.randomness import Draws, length_shift, logit_normal, shifted_levels, truncated_logit_normal
from arctone.training.task import OneRole, Parts, micro_batches

TIME_LAWS = ("logit_normal", "truncated_logit_normal", "uniform")
_NOISE, _TIMES, _DROPS = 1, 2, 3


@dataclasses.dataclass(frozen=True)
class FlowConfig:
    """Settings of flow training.

    Attributes:
        caption_dropout: Part of the items that lose caption and tempo, for the unconditional side of guidance.
        tempo_dropout: Part of the items that lose their tempo: a caption alone must work too.
        time_law: Law of t: "logit_normal" with `time_mean` and `time_std`, "truncated_logit_normal" or "uniform"; for
            networks of variance-preserving diffusion it is the law of their own time.
        time_mean: Mean of the normal behind the first law.
        time_std: Its standard deviation, above 0.
        time_shift: Whether t moves towards noise with the length of the window, as in Stable Audio Open small.
        even_times: Whether a batch is spread evenly over the law; else its items are independent.
        micro_items: Items that pass through the network at a time; less memory, the same numbers. 0 = all.

    Raises:
        UsageError: For a value that has no meaning.
    """

    caption_dropout: float = 0.1
    tempo_dropout: float = 0.3
    time_law: str = "logit_normal"
    time_mean: float = 0.4
    time_std: float = 1.1
    time_shift: bool = False
    even_times: bool = True
    micro_items: int = 0

    def __post_init__(self) -> None:
        if self.time_law not in TIME_LAWS:
            raise UsageError(f"time_law: {self.time_law!r} is unknown, choose from {', '.join(TIME_LAWS)}")
        for name in ("caption_dropout", "tempo_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name}: {getattr(self, name)!r} is not possible, it must be 0 to 1")
        if not self.time_std > 0:
            raise UsageError(f"time_std: {self.time_std!r} is not possible, it must be above 0")
        if self.micro_items < 0:
            raise UsageError(f"micro_items: {self.micro_items!r} is not possible, it must be at least 0")


class FlowTask(OneRole):
    """Task of the training loop: predict the velocity from data to noise.

    Args:
        module: Velocity network.
        batches: Latents with their conditions.
        config: Settings; None = the defaults.
        seed: Of everything that is drawn.
    """

    def __init__(self, module: nn.Module, batches: Batches, config: FlowConfig | None = None, seed: int = 0) -> None:
        self.module, self.batches, self.seed = module, batches, seed
        self.config = config or FlowConfig()

    @property
    def network(self) -> nn.Module:
        """The velocity network itself."""
        return self.module

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Any] | Parts:
        """See `Task`; noise, times and dropped captions do not depend on the number of processes."""
        batch = self.batches.batch(step, rank, world_size)
        draws = Draws.of_batch(batch, self.seed, step, world_size)
        shape = batch["latents"].shape[1:]
        noise = draws.noise(_NOISE, shape)
        drawn = {"t": self.draw_times(draws, shape[-1]), "noise": noise, "item_weight": draws.weight}
        whole = self._drop(batch, draws) | drawn
        rows = micro_batches(len(noise), self.config.micro_items)
        return Parts({name: v[each] if v.ndim else v for name, v in whole.items()} for each in rows) if rows else whole

    def draw_times(self, draws: Draws, frames: int) -> Tensor:
        """Returns noise levels [B].

        Args:
            draws: Of the step.
            frames: Latent frames of the window.

        Returns:
            [B], 0 to 1.
        """
        config = self.config
        quantiles = draws.quantiles(_TIMES, even=config.even_times)
        if config.time_law == "logit_normal":
            t = logit_normal(quantiles, config.time_mean, config.time_std)
        else:
            t = quantiles if config.time_law == "uniform" else truncated_logit_normal(quantiles)
        if config.time_shift:
            t = shifted_levels(t, length_shift(frames))
        return straight_levels(t) if _preserves_variance(self.network) else t

    def _drop(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        chance = draws.chances(_DROPS, 2)
        silent = chance[0] < self.config.caption_dropout
        untimed = silent | (chance[1] < self.config.tempo_dropout)
        dropped = {name: batch[name] * (~silent) for name in ("key", "note") if name in batch}
        return (
            batch
            | dropped
            | {
                "text_mask": batch["text_mask"] & ~silent[:, None],
                "text_pooled": batch["text_pooled"] * (~silent)[:, None],
                "bpm": batch["bpm"] * (~untimed),
            }
        )

    def losses(self, module: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """See `Task`: mean squared velocity error over real frames, every item weighing the same."""
        x_0, noise, t = batch["latents"].float(), batch["noise"], batch["t"]
        x_t = add_noise(x_0, noise, t[:, None, None])
        predicted = module(x_t, t, Conditions.of(batch))
        error = (predicted.float() - velocity(x_0, noise)).square().mean(1)
        if _preserves_variance(self.network):
            # The straight path's velocity errs (1 - t) + t over |(1 - t, t)| times as much as the network's own.
            error = error * ((1 - t).square() + t.square())[:, None]
        mask = batch["frame_mask"].float()
        return {"total": ((error * mask).sum(1) / mask.sum(1)).sum() * batch["item_weight"]}


def straight_levels(time: Tensor) -> Tensor:
    """Returns levels of the straight path, [B], that mix noise and data as a time of variance-preserving diffusion.

    Args:
        time: Of the diffusion, [B], 0 to 1: data and noise are mixed by cosine and sine of time * pi / 2.

    Returns:
        [B], 0 to 1.
    """
    angle = time * (torch.pi / 2)
    return angle.sin() / (angle.sin() + angle.cos())


def _preserves_variance(network: nn.Module) -> bool:
    return getattr(getattr(network, "config", None), "objective", "") == "v"
