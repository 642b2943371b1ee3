"""The `spectral` autoencoder: spectral features at 86 frames per second to latents at 21.5, and back to parameters.

Analysis, phase and the inverse transform are plain signal processing (`features` and `synthesis` of audio/spectral/),
so the networks only learn what has to be learned, at frame rate. Shapes: B batch, F features, P parameters, C latent
channels, M = 4 T frames, D width. Source: ConvNeXt blocks over time as in Vocos (Siuzdak, 2023); soft-norm bottleneck
as in SAME (arXiv 2605.18613).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arctone.audio.spectral.features import NUM_BANDS, NUM_FEATURES, NUM_PARAMETERS
from arctone.audio.spectral.stft import NUM_BINS
from arctone.model_folder.config import SpectralConfig

FRAMES_PER_LATENT = 4


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a pointwise network; [B, M, D] -> [B, M, D]."""

    def __init__(self, width: int, expansion: int, kernel: int = 7) -> None:
        super().__init__()
        self.mix = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, expansion * width)
        self.down = nn.Linear(expansion * width, width)
        # Starts near the identity, which lets deep stacks train from the first step.
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.down(F.gelu(self.up(self.norm(depthwise(x, self.mix)))))


def depthwise(x: Tensor, conv: nn.Conv1d) -> Tensor:
    """A depthwise convolution over time of [B, M, D], as a sum of shifted products.

    On CPUs the convolution's own kernels have no fast 16-bit path, and want the time axis last: forward and backward
    together, this is four times as fast there.
    """
    (kernel,) = conv.kernel_size
    if torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    weight = conv.weight[:, 0].mT.to(x.dtype)
    padded = F.pad(x, (0, 0, kernel // 2, kernel // 2))
    frames = x.shape[1]
    mixed = padded[:, :frames] * weight[0]
    for tap in range(1, kernel):
        mixed = torch.addcmul(mixed, padded[:, tap : tap + frames], weight[tap])
    assert conv.bias is not None
    return mixed + conv.bias.to(x.dtype)


def _blocks(num_blocks: int, config: SpectralConfig) -> nn.Sequential:
    return nn.Sequential(*(ConvNeXtBlock(config.width, config.expansion) for _ in range(num_blocks)))


class SpectralEncoder(nn.Module):
    """Features [B, F, 4 T] -> standardised latents [B, C, T]."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.enter = nn.Linear(NUM_FEATURES, config.width)
        self.fine = _blocks(config.encoder_fine_blocks, config)
        self.join = nn.Linear(FRAMES_PER_LATENT * config.width, config.width)
        self.coarse = _blocks(config.encoder_blocks, config)
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, config.latent_channels)
        self.register_buffer("mean", torch.zeros(config.latent_channels))
        self.register_buffer("std", torch.ones(config.latent_channels))

    def unit(self, features: Tensor) -> Tensor:
        """Latents of unit RMS in every frame, [B, T, C], before standardisation."""
        x = self.fine(self.enter(features.mT))
        batch, frames, width = x.shape
        x = self.join(x.reshape(batch, frames // FRAMES_PER_LATENT, FRAMES_PER_LATENT * width))
        x = self.leave(self.norm(self.coarse(x)))
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-4)

    def forward(self, features: Tensor) -> Tensor:
        return ((self.unit(features) - self.mean) / self.std).mT


class SpectralDecoder(nn.Module):
    """Standardised latents [B, C, T] -> spectral parameters [B, P, 4 T]."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.config = config
        self.enter = nn.Linear(config.latent_channels, config.width)
        self.coarse = _blocks(config.decoder_blocks, config)
        self.split = nn.Linear(config.width, FRAMES_PER_LATENT * config.width)
        self.fine = _blocks(config.decoder_fine_blocks, config)
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, NUM_PARAMETERS)
        self.register_buffer("mean", torch.zeros(config.latent_channels))
        self.register_buffer("std", torch.ones(config.latent_channels))

    def from_unit(self, latents: Tensor) -> Tensor:
        """Parameters [B, 4 T, P] from unit-RMS latents [B, T, C]."""
        x = self.coarse(self.enter(latents))
        batch, frames, width = x.shape
        x = self.split(x).reshape(batch, frames * FRAMES_PER_LATENT, width)
        level, difference, coherence, scatter = self.leave(self.norm(self.fine(x))).split(
            [NUM_BINS, NUM_BANDS, NUM_BANDS, NUM_BANDS], dim=-1
        )
        return torch.cat([level, difference, torch.tanh(coherence), scatter], dim=-1)

    def forward(self, latents: Tensor) -> Tensor:
        return self.from_unit(latents.mT * self.std + self.mean).mT


class SpectralAutoencoder(nn.Module):
    """Encoder and decoder, trained together."""

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = SpectralEncoder(config)
        self.decoder = SpectralDecoder(config)

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        """Reconstruction with noisy latents. Args: features [B, F, 4 T]; noise [B, T, C]. Returns: [B, 4 T, P]."""
        unit = self.encoder.unit(features)
        if noise is not None:
            unit = unit + self.config.latent_noise * noise
        return self.decoder.from_unit(unit)

    @torch.no_grad()
    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Standardise latents with these [C] statistics of unit-RMS latents, in both halves."""
        for half in (self.encoder, self.decoder):
            half.mean.copy_(mean)
            half.std.copy_(std)
