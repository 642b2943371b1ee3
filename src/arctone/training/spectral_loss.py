"""Reconstruction loss of the spectral autoencoder.

Shapes: B batch, M frames, K = 1025 bins, N_B = 48 bands of the parameters, N_M mel bands.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import torch
from torch import Tensor

from arctone.audio.spectral.features import (
    LEVEL_CENTRE,
    LEVEL_SCALE,
    NUM_BANDS,
    bin_bands,
    interpolation,
    mel_means,
)
from arctone.audio.spectral.stft import N_FFT, NUM_BINS
from arctone.audio.spectral.synthesis import NOISE_SCATTER

# Bins this far (natural logarithm of magnitude) under the loudest of their frame are masked for most listeners.
AUDIBLE_RANGE = 8.0
_PARTS = [NUM_BINS, NUM_BANDS, NUM_BANDS, NUM_BANDS]


@dataclasses.dataclass(frozen=True)
class SpectralLossConfig:
    """Weights of the reconstruction loss.

    Attributes:
        level_weight: Of the mean absolute error of the level.
        knee_hz: Bins count by 1 / (1 + f / knee): octaves above it, hertz below it.
        audible_floor: Weight of what the loudest bin of its frame masks, 0 to 1.
        mel_weight: Of the error of the power in mel bands, weighted by audibility.
        envelope_weight: Of the same error without that weight: quiet treble and decays count like everything else.
        onset_weight: Of the error of the change of that envelope from frame to frame where the sound rises.
        difference_weight: Of the error of the level difference of the channels.
        coherence_weight: Of the error of their coherence.
        stereo_by_energy: Whether these two count where the energy of the window is, as they do in perception and in
            `stereo_error`, or wherever a band is audible.
    """

    level_weight: float = 2.0
    knee_hz: float = 700.0
    audible_floor: float = 0.2
    mel_weight: float = 1.0
    envelope_weight: float = 0.0
    onset_weight: float = 0.0
    difference_weight: float = 1.0
    coherence_weight: float = 0.5
    stereo_by_energy: bool = False


def spectral_loss(
    parameters: Tensor, features: Tensor, config: SpectralLossConfig = SpectralLossConfig()
) -> dict[str, Tensor]:
    """Returns the reconstruction loss of spectral parameters and its terms.

    Negative log-likelihood of the level under a Laplace law per band, the power of mel bands, and the stereo image.
    The likelihood's best guess is a median, which lies under the mean wherever the level is uncertain; the power of
    mel bands, in which the scatter that synthesis will draw is counted, holds the energy where it belongs.

    Args:
        parameters: [B, M, 1169], of the decoder.
        features: [B, M, 1121], the target.
        config: Weights of the terms.

    Returns:
        Scalars: total; level (mean absolute error in nepers, weighted); scatter (likelihood term); mel, envelope and
        onset (errors of band levels in nepers, those with weight 0 left out); difference; coherence.
    """
    level, difference, coherence, scatter = parameters.float().split(_PARTS, dim=-1)
    target_level, target_difference, target_coherence = features.float().split(_PARTS[:3], dim=-1)
    weight = bin_weights(config.knee_hz).to(level.device) * audibility(target_level, config.audible_floor)
    weight = weight / weight.mean()
    error = weight * (level - target_level).abs()
    log_scale = scatter.clamp(-5, 2)[..., _bands(level.device)]
    likelihood = (error * torch.exp(-log_scale) + weight * log_scale).mean()
    absolute = error.mean()
    bands = band_level(target_level)
    weight = _energy_weight(bands) if config.stereo_by_energy else audibility(bands, config.audible_floor)
    off_side = (weight * (difference - target_difference).abs()).mean()
    off_coherence = (weight * (coherence - target_coherence).abs()).mean()
    total = likelihood + config.level_weight * absolute
    total = total + config.difference_weight * off_side + config.coherence_weight * off_coherence
    losses = {
        "level": absolute * LEVEL_SCALE,
        "scatter": likelihood,
        "difference": off_side,
        "coherence": off_coherence,
    }
    for name, (term_weight, term) in _envelope_terms(level, scatter, target_level, config).items():
        losses[name] = term
        total = total + term_weight * term
    return {"total": total, **losses}


def _energy_weight(level: Tensor) -> Tensor:
    """Weight of band levels [B, M, N_B], mean 1: their magnitude within the window, and a little for silence."""
    loudest = level.amax((-1, -2), keepdim=True)
    weight = torch.exp((level - loudest) * LEVEL_SCALE) + 0.01
    return weight / weight.mean((-1, -2), keepdim=True)


def _envelope_terms(
    level: Tensor, scatter: Tensor, target_level: Tensor, config: SpectralLossConfig
) -> dict[str, tuple[float, Tensor]]:
    """Weight and value of each term of the mel bands, in nepers, those without a weight left out."""
    made, wanted = mel_level(level, _raised(scatter)), mel_level(target_level)
    error = (made - wanted).abs()
    terms = {}
    if config.mel_weight:
        audible = audibility(wanted / LEVEL_SCALE, config.audible_floor)
        terms["mel"] = config.mel_weight, (audible * error).mean()
    if config.envelope_weight:
        terms["envelope"] = config.envelope_weight, error.mean()
    if config.onset_weight:
        terms["onset"] = config.onset_weight, _onset_error(made, wanted)
    return terms


def _onset_error(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute error of the change of mel levels [B, M, N_M] between frames, weighted by how fast they rise."""
    rise = wanted.diff(dim=1)
    weight = rise.clamp(0, 3)
    return (weight * (made.diff(dim=1) - rise).abs()).mean() / weight.mean().clamp(min=0.02)


def _raised(scatter: Tensor) -> Tensor:
    """Logarithm of the mean power of a level that scatters about its median, [B, M, K]: E[exp(2 a d)], d the deviation
    of Rayleigh noise; scatter: [B, M, N_B], logarithm of the scaled Laplace scale.
    """
    amount = noise_amount(scatter)
    return torch.lgamma(1 + amount) - amount * math.log(math.log(2))


def noise_amount(scatter: Tensor) -> Tensor:
    """How much of the deviation of noise synthesis draws in each bin, 0 to 1, [B, M, K]; scatter: [B, M, N_B]."""
    scale = torch.exp(scatter) @ torch.from_numpy(interpolation()).to(scatter.device)
    return (scale * (LEVEL_SCALE / NOISE_SCATTER)).clamp(max=1).square()


def mel_level(level: Tensor, raised: Tensor | float = 0.0) -> Tensor:
    """Half the logarithm of the mean power in mel bands, [B, M, N_M]; level: [B, M, K], scaled; raised: its logarithm
    of power besides.
    """
    power = torch.exp(2 * (level * LEVEL_SCALE + LEVEL_CENTRE).clamp(-12, 8) + raised)
    return 0.5 * torch.log(power @ _mel_means(level.device) + 1e-6)


def _mel_means(device: torch.device) -> Tensor:
    return torch.from_numpy(mel_means()).to(device)


@functools.cache
def bin_weights(knee_hz: float = 700.0, sample_rate: int = 44_100) -> Tensor:
    """Returns the weight of each bin, [K], mean 1: with the knee of the mel scale, 700 Hz, octaves count, not hertz."""
    frequency = torch.arange(NUM_BINS) * sample_rate / N_FFT
    weight = 1 / (1 + frequency / knee_hz)
    return weight / weight.mean()


def audibility(level: Tensor, floor: float = 0.2) -> Tensor:
    """Returns a weight between `floor` and 1 of scaled levels [B, M, K]: how near each is to its frame's loudest."""
    below = (level.amax(-1, keepdim=True) - level) * LEVEL_SCALE
    return floor + (1 - floor) * torch.sigmoid((AUDIBLE_RANGE - below) / 1.5)


def band_level(level: Tensor) -> Tensor:
    """Loudest bin of each band, [B, M, K] -> [B, M, N_B]."""
    index = _bands(level.device).expand(level.shape)
    start = level.new_full((*level.shape[:-1], NUM_BANDS), -1e4)
    return start.scatter_reduce(-1, index, level, "amax")


def _bands(device: torch.device) -> Tensor:
    return torch.from_numpy(bin_bands()).to(device)
