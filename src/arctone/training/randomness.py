"""Counter-based randomness of training: draws, noise levels.

So a step depends neither on the number of processes nor on interruptions.
B items of this process, N of all processes, C channels, T latent frames.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from arctone.errors import UsageError
from arctone.flow.schedules import log_snr
from arctone.models.conditions import Conditions
from arctone.training.batches import Batches


def even_quantiles(items: int, source: torch.Generator) -> Tensor:
    """Draw one quantile from each of equal parts of (0, 1), in random order, which lowers the variance of a batch.

    Args:
        items: Number of parts, B.
        source: Source of randomness.

    Returns:
        [B], 0 to 1.
    """
    return (torch.randperm(items, generator=source) + torch.rand(items, generator=source)) / items


def logit_normal(quantiles: Tensor, mean: float, std: float) -> Tensor:
    """Map quantiles to logit-normal levels: sigmoid(mean + std * normal).

    Args:
        quantiles: [B], 0 to 1.
        mean: Of the normal distribution.
        std: Its standard deviation.

    Returns:
        Noise levels, [B].
    """
    return torch.sigmoid(mean + std * torch.special.ndtri(quantiles.clamp(1e-4, 1 - 1e-4)))


def uniform_log_snr(quantiles: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Map quantiles to levels with a uniform log-SNR: t = sigmoid(-log-SNR).

    Args:
        quantiles: [B], 0 to 1.
        low: Smallest log-SNR.
        high: Largest log-SNR.

    Returns:
        Noise levels, [B].
    """
    return torch.sigmoid(-(low + (high - low) * quantiles))


def noisier(t: Tensor, quantiles: Tensor, low: float) -> Tensor:
    """Draw levels above others, log-SNR uniform from `low` to that of t.

    Args:
        t: Noise levels, [B].
        quantiles: [B], 0 to 1.
        low: Smallest log-SNR.

    Returns:
        Noise levels, [B]; 1 where t is 1.
    """
    reached = torch.logit(t)
    return torch.where(t < 1, uniform_log_snr(quantiles, torch.clamp(-reached, max=low), -reached), t)


def sampler_levels(quantiles: Tensor, step_counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Levels at which the ping-pong sampler of one of these step counts calls the model, t = 1 included.

    Every step count has the same chance, then every step of it.

    Args:
        quantiles: [batch], 0 to 1.
        step_counts: Numbers of steps to draw from.

    Returns:
        The levels, and for each the level before it (1 for a first step). Source: the congruent timesteps of the public
        trainer after May 2026.
    """
    grids = [log_snr(count)[:-1] for count in step_counts]
    levels = torch.tensor([t for grid in grids for t in grid])
    before = torch.tensor([t for grid in grids for t in (1.0, *grid[:-1])])
    shares = [1 / (len(grids) * len(grid)) for grid in grids for _ in grid]
    edges = torch.tensor([*itertools.accumulate(shares)])
    place = torch.searchsorted(edges, quantiles).clamp(max=len(levels) - 1)
    return levels[place], before[place]


def shifted_levels(t: Tensor, shift: Tensor | float) -> Tensor:
    """Move levels towards noise or data: shift t / (1 - t + shift t). Source: Esser et al. 2024, equation 23.

    Args:
        t: Noise levels, [B].
        shift: Above 1 towards noise, below 1 towards data.

    Returns:
        Noise levels, [B].
    """
    return shift * t / (1 - t + shift * t)


def truncated_logit_normal(quantiles: Tensor, low: float = 0.075) -> Tensor:
    """Returns levels 1 - y, where y is logit-normal, cut off below `low` and stretched to 0 to 1 again.

    Args:
        quantiles: Uniform numbers, [B].
        low: Where the law is cut off, 0 to 1.

    Source: trunc_logit_normal of the public trainer.

    Returns:
        Levels, the shape of the quantiles, 0 to 1.
    """
    below = torch.special.ndtr(torch.logit(torch.tensor(low)))
    y = torch.sigmoid(torch.special.ndtri((below + (1 - below) * quantiles).clamp(1e-6, 1 - 1e-6)))
    return 1 - (y - low) / (1 - low)


def length_shift(frames: int) -> float:
    """Returns the factor by which longer sounds move towards noise: exp of 0.5 at 256 latent frames, 1.15 at 4096.

    Args:
        frames: Latent frames of the window.

    Source: the distribution shift of Stable Audio Open small and Stable Audio 3.

    Returns:
        At least 0.
    """
    length = min(max(frames, 256), 4096)
    return math.exp(0.5 + (1.15 - 0.5) * (length - 256) / (4096 - 256))


def generator(*key: int) -> torch.Generator:
    """Returns the random source of a (seed, step, purpose, item) key.

    Args:
        *key: Whole numbers of at least 0.

    Returns:
        The source, on the CPU.
    """
    mixed = 0
    for part in key:
        mixed = (mixed * 1_000_003 + part + 1) % (2**63)
    return torch.Generator().manual_seed(mixed)


def share(items: int, rank: int, world_size: int) -> slice:
    """Returns the part of a batch that a process works on.

    Args:
        items: Size of the batch of all processes.
        rank: Number of this process.
        world_size: Number of processes.

    Returns:
        Slice of the items.

    Raises:
        UsageError: If the batch cannot be split evenly.
    """
    if items % world_size:
        raise UsageError(f"batch: {items} items cannot be shared by {world_size} processes")
    size = items // world_size
    return slice(rank * size, (rank + 1) * size)


@dataclasses.dataclass(frozen=True)
class Draws:
    """Random numbers of one step for this process's items.

    Attributes:
        seed: Seed of the run, a whole number of at least 0.
        step: Step of the loop.
        items: Places of this process's items in the batch of all processes, [B].
        count: Size of that batch, N.
        world_size: Number of processes.
    """

    seed: int
    step: int
    items: Tensor
    count: int
    world_size: int

    @classmethod
    def of_batch(cls, batch: dict[str, Tensor], seed: int, step: int, world_size: int) -> Draws:
        """Returns the draws for the items of a batch.

        Args:
            batch: Tensors of `Batches.batch`; `item` and `num_items` are read.
            seed: Seed of the run.
            step: Step of the loop.
            world_size: Number of processes.

        Returns:
            The draws.
        """
        return cls(seed, step, batch["item"], int(batch["num_items"]), world_size)

    @property
    def weight(self) -> Tensor:
        """Weight of each item, a scalar: DDP averages over processes, which may hold unequal numbers of items."""
        return torch.tensor(self.world_size / self.count)

    def source(self, purpose: int, *item: int) -> torch.Generator:
        """Returns the random source of a purpose, and of an item of it.

        Args:
            purpose: Number that no other draw of the same task uses.
            *item: Place of an item, if the source is its own.

        Returns:
            The source, on the CPU.
        """
        return generator(self.seed, self.step, purpose, *item)

    def chances(self, purpose: int, *rows: int) -> Tensor:
        """Draws independent uniform numbers, [*rows, B].

        Args:
            purpose: See `source`.
            *rows: Leading sizes.

        Returns:
            [*rows, B], 0 to 1.
        """
        return torch.rand(*rows, self.count, generator=self.source(purpose))[..., self.items]

    def quantiles(self, purpose: int, *, even: bool = True) -> Tensor:
        """Draws uniform numbers [B].

        Args:
            purpose: See `source`.
            even: Whether the batch of all processes is spread evenly over (0, 1), which lowers its variance.

        Returns:
            [B], 0 to 1.
        """
        return even_quantiles(self.count, self.source(purpose))[self.items] if even else self.chances(purpose)

    def noise(self, purpose: int, shape: Sequence[int]) -> Tensor:
        """Draws standard normal numbers [B, *shape], each item's from its own source.

        Args:
            purpose: See `source`.
            shape: Sizes of one item.

        Returns:
            [B, *shape].
        """
        return torch.stack([torch.randn(*shape, generator=self.source(purpose, int(item))) for item in self.items])

    def noises(self, purpose: int, shape: Sequence[int], number: int) -> Tensor:
        """Draws several times, [number, B, *shape]; the first draws do not depend on how many follow.

        Args:
            purpose: See `source`.
            shape: Sizes of one item.
            number: Number of draws.

        Returns:
            [number, B, *shape].
        """
        columns = []
        for item in self.items:
            source = self.source(purpose, int(item))
            columns.append(torch.stack([torch.randn(*shape, generator=source) for _ in range(number)]))
        return torch.stack(columns, dim=1)

    def choice(self, purpose: int, number: int) -> int:
        """Draws one of 0 to number - 1, the same in all processes.

        Args:
            purpose: See `source`.
            number: Number of possibilities.

        Returns:
            0 to number - 1.
        """
        return int(torch.randint(number, (), generator=self.source(purpose)))


@dataclasses.dataclass(frozen=True)
class Material:
    """Real latents x_0 [B, C, T] of a step with their conditions, and the source of everything else it draws."""

    draws: Draws
    x_0: Tensor
    conditions: Conditions

    @property
    def shape(self) -> torch.Size:
        """Channels and frames of an item, [C, T]."""
        return self.x_0.shape[1:]


def load_material(
    batches: Batches, seed: int, step: int, rank: int, world_size: int, *, tempo_dropout: float, purpose: int
) -> Material:
    """Loads this process's part of a step's batch.

    Args:
        batches: Latents with their conditions.
        seed: Seed of the run.
        step: Step of the loop.
        rank: Number of this process.
        world_size: Number of processes.
        tempo_dropout: Part of the items that are not conditioned on their tempo, 0 to 1.
        purpose: Of the draw of those items; see `Draws.source`.

    Returns:
        Latents, conditions and draws.
    """
    batch = batches.batch(step, rank, world_size)
    draws = Draws.of_batch(batch, seed, step, world_size)
    conditions = Conditions.of(batch)
    kept = draws.chances(purpose) >= tempo_dropout
    return Material(draws, batch["latents"].float(), conditions._replace(bpm=conditions.bpm * kept))
