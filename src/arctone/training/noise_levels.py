"""Noise levels that training draws: t of a network's input, s of what a discriminator sees.

All laws are functions of uniform quantiles, so that a batch can be spread evenly over a law. Levels are [B], 0 to 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from arctone.flow.schedules import log_snr


def even_quantiles(items: int, source: torch.Generator) -> Tensor:
    """One quantile from each of `items` equal parts of (0, 1), in random order: lowers the variance of a batch."""
    return (torch.randperm(items, generator=source) + torch.rand(items, generator=source)) / items


def logit_normal(quantiles: Tensor, mean: float, std: float) -> Tensor:
    """Levels sigmoid(mean + std * normal)."""
    return torch.sigmoid(mean + std * torch.special.ndtri(quantiles.clamp(1e-4, 1 - 1e-4)))


def uniform_log_snr(quantiles: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Levels whose log-SNR is uniform from low to high: t = sigmoid(-log-SNR)."""
    return torch.sigmoid(-(low + (high - low) * quantiles))


def noisier(t: Tensor, quantiles: Tensor, low: float) -> Tensor:
    """Levels before t on the way from noise: log-SNR uniform from `low` to that of t; 1 where t is 1."""
    reached = torch.logit(t)
    return torch.where(t < 1, uniform_log_snr(quantiles, torch.clamp(-reached, max=low), -reached), t)


def sampler_levels(quantiles: Tensor, step_counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Levels at which the ping-pong sampler of one of these step counts calls the model, t = 1 included.

    Every step count has the same chance, then every step of it. Returns: the levels, and for each the level before it
    (1 for a first step). Source: the congruent timesteps of the public trainer after May 2026.
    """
    grids = [log_snr(count)[:-1] for count in step_counts]
    levels = torch.tensor([t for grid in grids for t in grid])
    before = torch.tensor([t for grid in grids for t in (1.0, *grid[:-1])])
    shares = [1 / (len(grids) * len(grid)) for grid in grids for _ in grid]
    edges = torch.tensor([*itertools.accumulate(shares)])
    place = torch.searchsorted(edges, quantiles).clamp(max=len(levels) - 1)
    return levels[place], before[place]


def shifted_levels(t: Tensor, shift: Tensor | float) -> Tensor:
    """Levels moved towards noise (shift > 1) or data (shift < 1). Source: Esser et al. 2024, equation 23."""
    return shift * t / (1 - t + shift * t)


def truncated_logit_normal(quantiles: Tensor, low: float = 0.075) -> Tensor:
    """Returns levels 1 - y, where y is logit-normal, cut off below `low` and stretched to 0 to 1 again.

    Args:
        quantiles: Uniform numbers, [B].
        low: Where the law is cut off, 0 to 1.

    Source: trunc_logit_normal of the public trainer.
    """
    below = torch.special.ndtr(torch.logit(torch.tensor(low)))
    y = torch.sigmoid(torch.special.ndtri((below + (1 - below) * quantiles).clamp(1e-6, 1 - 1e-6)))
    return 1 - (y - low) / (1 - low)


def length_shift(frames: int) -> float:
    """Returns the factor by which longer sounds move towards noise: exp of 0.5 at 256 latent frames, 1.15 at 4096.

    Args:
        frames: Latent frames of the window.

    Source: the distribution shift of Stable Audio Open small and Stable Audio 3.
    """
    length = min(max(frames, 256), 4096)
    return math.exp(0.5 + (1.15 - 0.5) * (length - 256) / (4096 - 256))
