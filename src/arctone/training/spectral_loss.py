"""Reconstruction loss of the spectral autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor

from arctone.audio.spectral import LEVEL_SCALE, NUM_BANDS, bin_bands
from arctone.audio.stft import N_FFT, NUM_BINS

# Bins this far (natural logarithm of magnitude) under the loudest of their frame are masked for most ears.
AUDIBLE_RANGE = 8.0


def bin_weights(sample_rate: int = 44_100) -> Tensor:
    """Weight of each bin, [1025], mean 1: the density of the mel scale, so that octaves count and not hertz."""
    frequency = torch.arange(NUM_BINS) * sample_rate / N_FFT
    weight = 1 / (1 + frequency / 700)
    return weight / weight.mean()


def spectral_loss(parameters: Tensor, features: Tensor) -> dict[str, Tensor]:
    """Negative log-likelihood of the level under a Laplace law per band, and errors of the stereo image.

    Args: parameters: [B, M, 1169]. features: [B, M, 1121] (the target). Returns: scalars: total, level (mean absolute
    error in nepers, weighted), scatter (likelihood term), difference, coherence.
    """
    level, difference, coherence, scatter = parameters.float().split(
        [NUM_BINS, NUM_BANDS, NUM_BANDS, NUM_BANDS], dim=-1
    )
    target_level, target_difference, target_coherence = features.float().split([NUM_BINS, NUM_BANDS, NUM_BANDS], dim=-1)
    weight = bin_weights().to(level.device) * audibility(target_level)
    weight = weight / weight.mean()
    error = (level - target_level).abs()
    log_scale = scatter.clamp(-5, 2)[..., torch.from_numpy(bin_bands()).to(level.device)]
    likelihood = (weight * (error * torch.exp(-log_scale) + log_scale)).mean()
    absolute = (weight * error).mean()
    heard = audibility(band_level(target_level))
    off_side = (heard * (difference - target_difference).abs()).mean()
    off_coherence = (heard * (coherence - target_coherence).abs()).mean()
    total = likelihood + 2 * absolute + off_side + 0.5 * off_coherence
    return {
        "total": total,
        "level": absolute * LEVEL_SCALE,
        "scatter": likelihood,
        "difference": off_side,
        "coherence": off_coherence,
    }


def audibility(level: Tensor) -> Tensor:
    """Weight between 0.2 and 1 of scaled levels [B, M, K]: how near each is to the loudest of its frame."""
    below = (level.amax(-1, keepdim=True) - level) * LEVEL_SCALE
    return 0.2 + 0.8 * torch.sigmoid((AUDIBLE_RANGE - below) / 1.5)


def band_level(level: Tensor) -> Tensor:
    """Loudest bin of each band, [B, M, K] -> [B, M, N_B]."""
    index = torch.from_numpy(bin_bands()).to(level.device).expand(level.shape)
    start = level.new_full((*level.shape[:-1], NUM_BANDS), -1e4)
    return start.scatter_reduce(-1, index, level, "amax")
