"""Reconstruction loss of the spectral autoencoder.

Shapes: B batch, M frames, K = 1025 bins, N_B = 48 bands of the parameters, N_M mel bands.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from arctone.audio.spectral.features import LEVEL_CENTRE, LEVEL_SCALE, NUM_BANDS, bin_bands, interpolation
from arctone.audio.spectral.stft import N_FFT, NUM_BINS
from arctone.audio.spectral.synthesis import NOISE_SCATTER

# Bins this far (natural logarithm of magnitude) under the loudest of their frame are masked for most ears.
AUDIBLE_RANGE = 8.0
NUM_MEL = 128
_PARTS = [NUM_BINS, NUM_BANDS, NUM_BANDS, NUM_BANDS]


def spectral_loss(parameters: Tensor, features: Tensor) -> dict[str, Tensor]:
    """Negative log-likelihood of the level under a Laplace law per band, the power of mel bands, and the stereo image.

    The likelihood's best guess is a median, which lies under the mean wherever the level is uncertain; the power of
    mel bands, in which the scatter that synthesis will draw is counted, holds the energy where it belongs.

    Args: parameters: [B, M, 1169]. features: [B, M, 1121] (the target). Returns: scalars: total, level (mean absolute
    error in nepers, weighted), scatter (likelihood term), mel (error of the band power in nepers), difference,
    coherence.
    """
    level, difference, coherence, scatter = parameters.float().split(_PARTS, dim=-1)
    target_level, target_difference, target_coherence = features.float().split(_PARTS[:3], dim=-1)
    weight = bin_weights().to(level.device) * audibility(target_level)
    weight = weight / weight.mean()
    error = weight * (level - target_level).abs()
    log_scale = scatter.clamp(-5, 2)[..., _bands(level.device)]
    likelihood = (error * torch.exp(-log_scale) + weight * log_scale).mean()
    absolute = error.mean()
    off_power = mel_error(level, scatter, target_level)
    heard = audibility(band_level(target_level))
    off_side = (heard * (difference - target_difference).abs()).mean()
    off_coherence = (heard * (coherence - target_coherence).abs()).mean()
    total = likelihood + 2 * absolute + off_power + off_side + 0.5 * off_coherence
    return {
        "total": total,
        "level": absolute * LEVEL_SCALE,
        "scatter": likelihood,
        "mel": off_power,
        "difference": off_side,
        "coherence": off_coherence,
    }


def mel_error(level: Tensor, scatter: Tensor, target_level: Tensor) -> Tensor:
    """Mean absolute error of the level of mel bands in nepers, weighted by audibility.

    Args: level, target_level: [B, M, K], scaled. scatter: [B, M, N_B], logarithm of the scaled Laplace scale.
    """
    amount = noise_amount(scatter)
    # The mean power of a level that scatters about its median: E[exp(2 a d)], d the deviation of Rayleigh noise.
    raised = torch.lgamma(1 + amount) - amount * math.log(math.log(2))
    made, wanted = mel_level(level, raised), mel_level(target_level)
    return (audibility(wanted / LEVEL_SCALE) * (made - wanted).abs()).mean()


def noise_amount(scatter: Tensor) -> Tensor:
    """How much of the deviation of noise synthesis draws in each bin, 0 to 1, [B, M, K]; scatter: [B, M, N_B]."""
    scale = torch.exp(scatter) @ torch.from_numpy(interpolation()).to(scatter.device)
    return (scale * (LEVEL_SCALE / NOISE_SCATTER)).clamp(max=1).square()


def mel_level(level: Tensor, raised: Tensor | float = 0.0) -> Tensor:
    """Half the logarithm of the mean power in mel bands, [B, M, N_M]; level: [B, M, K], scaled; raised: its logarithm
    of power besides.
    """
    power = torch.exp(2 * (level * LEVEL_SCALE + LEVEL_CENTRE).clamp(-12, 8) + raised)
    return 0.5 * torch.log(power @ mel_means().to(level.device) + 1e-6)


@functools.cache
def mel_means(sample_rate: int = 44_100) -> Tensor:
    """Matrix from bins to means over triangular mel bands, [K, N_M]; bands too narrow for a bin are left out."""
    frequency = np.arange(NUM_BINS) * sample_rate / N_FFT
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + sample_rate / 1400), NUM_MEL + 2) / 2595) - 1)
    rising = (frequency[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - frequency[:, None]) / np.diff(edges)[1:]
    triangles = np.maximum(np.minimum(rising, falling), 0)
    kept = triangles[:, triangles.sum(axis=0) > 0.3]
    return torch.from_numpy((kept / kept.sum(axis=0)).astype(np.float32))


@functools.cache
def bin_weights(sample_rate: int = 44_100) -> Tensor:
    """Weight of each bin, [K], mean 1: the density of the mel scale, so that octaves count and not hertz."""
    frequency = torch.arange(NUM_BINS) * sample_rate / N_FFT
    weight = 1 / (1 + frequency / 700)
    return weight / weight.mean()


def audibility(level: Tensor) -> Tensor:
    """Weight between 0.2 and 1 of scaled levels [B, M, K]: how near each is to the loudest of its frame."""
    below = (level.amax(-1, keepdim=True) - level) * LEVEL_SCALE
    return 0.2 + 0.8 * torch.sigmoid((AUDIBLE_RANGE - below) / 1.5)


def band_level(level: Tensor) -> Tensor:
    """Loudest bin of each band, [B, M, K] -> [B, M, N_B]."""
    index = _bands(level.device).expand(level.shape)
    start = level.new_full((*level.shape[:-1], NUM_BANDS), -1e4)
    return start.scatter_reduce(-1, index, level, "amax")


def _bands(device: torch.device) -> Tensor:
    return torch.from_numpy(bin_bands()).to(device)
