"""Spectral autoencoder: levels and stereo image of an STFT to latents and back, and its discriminator.

Analysis, phase and the inverse transform are plain signal processing (`features` and `synthesis` of audio/spectral/),
so the networks only learn what has to be learned, at frame rate. Shapes: B batch, F features, P parameters, C latent
channels, M = 4 T frames, D width. Source: ConvNeXt blocks over time as in Vocos (Siuzdak, 2023); soft-norm bottleneck
as in SAME (arXiv 2605.18613).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from arctone.audio.spectral.features import (
    LEVEL_CENTRE,
    LEVEL_SCALE,
    NUM_BANDS,
    NUM_FEATURES,
    NUM_PARAMETERS,
    mel_interpolation,
    mel_means,
)
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


def _blocks(num_blocks: int, width: int, expansion: int) -> nn.Sequential:
    return nn.Sequential(*(ConvNeXtBlock(width, expansion) for _ in range(num_blocks)))


# Weights in the principal components. Unweighted, stereo varies so little compared with the level that 64 components
# lose 2.1 of its 2.2 dB; so weighted, 80 components lose 0.9 dB of it and the envelope 0.06 nepers more.
DIFFERENCE_WEIGHT = 6.0
COHERENCE_WEIGHT = 1.0


class LinearCode(nn.Module):
    """The envelope of a latent frame in a few numbers: its first principal components, each of unit variance.

    The envelope of a feature frame is its level in mel bands and its stereo parameters. The components are fitted once
    and stay fixed (`training.autoencoder.fit_linear_code`), so that the networks need only add what they leave out.

    Shapes: B batch, T latent frames, M = 4 T feature frames, C components, E = N_M + 2 N_B envelope values a frame,
    V = 4 E values of a latent frame.
    """

    mean: Tensor
    components: Tensor
    mel: Tensor
    to_bins: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_mel = mel_means().shape[1]
        self.num_values = FRAMES_PER_LATENT * (self.num_mel + 2 * NUM_BANDS)
        self.register_buffer("mean", torch.zeros(self.num_values))
        # Rows of length sqrt(variance): encoding divides by the variance, decoding multiplies by the row.
        self.register_buffer("components", torch.zeros(channels, self.num_values))
        self.register_buffer("mel", torch.from_numpy(mel_means()), persistent=False)
        self.register_buffer("to_bins", torch.from_numpy(mel_interpolation()), persistent=False)

    def values(self, features: Tensor) -> Tensor:
        """Compute the envelope of features.

        Args:
            features: [B, M, F].

        Returns:
            [B, T, V]: levels in nepers, and weighted stereo parameters.
        """
        level, difference, coherence = features.split(
            [features.shape[-1] - 2 * NUM_BANDS, NUM_BANDS, NUM_BANDS], dim=-1
        )
        power = torch.exp(2 * (level * LEVEL_SCALE + LEVEL_CENTRE)) @ self.mel
        envelope = torch.cat(
            [0.5 * torch.log(power), DIFFERENCE_WEIGHT * difference, COHERENCE_WEIGHT * coherence], dim=-1
        )
        return envelope.reshape(len(features), -1, self.num_values)


class EnvelopeEncoder(LinearCode):
    """Features [B, M, F] -> standardised components [B, T, C]."""

    def forward(self, features: Tensor) -> Tensor:
        variance = self.components.square().sum(-1)
        return ((self.values(features) - self.mean) @ self.components.mT) / variance.clamp(min=1e-12)


class EnvelopeDecoder(LinearCode):
    """Components [B, T, C] -> scaled level [B, M, K], difference and coherence [B, M, N_B]."""

    def forward(self, code: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        envelope = (code @ self.components + self.mean).reshape(len(code), -1, self.num_mel + 2 * NUM_BANDS)
        mel, difference, coherence = envelope.split([self.num_mel, NUM_BANDS, NUM_BANDS], dim=-1)
        level = (mel @ self.to_bins - LEVEL_CENTRE) / LEVEL_SCALE
        return level, difference / DIFFERENCE_WEIGHT, coherence / COHERENCE_WEIGHT


class SpectralEncoder(nn.Module):
    """Features [B, F, 4 T] -> standardised latents [B, C, T]: first those of the linear code, then the learned ones."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        width, expansion = config.width, config.expansion
        self.enter = nn.Linear(NUM_FEATURES, width)
        self.fine = _blocks(config.encoder_fine_blocks, width, expansion)
        self.join = nn.Linear(FRAMES_PER_LATENT * width, width)
        self.coarse = _blocks(config.encoder_blocks, width, expansion)
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, config.learned_channels)
        self.code = EnvelopeEncoder(config.linear_channels) if config.linear_channels else None
        self.register_buffer("mean", torch.zeros(config.latent_channels))
        self.register_buffer("std", torch.ones(config.latent_channels))

    def unit(self, features: Tensor) -> Tensor:
        """Encode features, before standardization.

        Args:
            features: [B, F, 4 T].

        Returns:
            Latents [B, T, C]; the learned ones have unit RMS in every frame.
        """
        x = self.fine(self.enter(features.mT))
        batch, frames, width = x.shape
        x = self.join(x.reshape(batch, frames // FRAMES_PER_LATENT, FRAMES_PER_LATENT * width))
        x = self.leave(self.norm(self.coarse(x)))
        learned = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-4)
        if self.code is None:
            return learned
        # Powers span many orders of magnitude, which 16 bits cannot add up.
        with torch.autocast(features.device.type, enabled=False):
            code = self.code(features.mT.float())
        return torch.cat([code, learned.float()], dim=-1)

    def forward(self, features: Tensor) -> Tensor:
        return ((self.unit(features) - self.mean) / self.std).mT


class SpectralDecoder(nn.Module):
    """Standardised latents [B, C, T] -> spectral parameters [B, P, 4 T]."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.config = config
        width, expansion = config.decoder_width or config.width, config.expansion
        self.enter = nn.Linear(config.latent_channels, width)
        self.coarse = _blocks(config.decoder_blocks, width, expansion)
        self.split = nn.Linear(width, FRAMES_PER_LATENT * width)
        self.fine = _blocks(config.decoder_fine_blocks, width, expansion)
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, NUM_PARAMETERS)
        self.code = EnvelopeDecoder(config.linear_channels) if config.linear_channels else None
        self.register_buffer("mean", torch.zeros(config.latent_channels))
        self.register_buffer("std", torch.ones(config.latent_channels))

    def from_unit(self, latents: Tensor) -> Tensor:
        """Decode latents from before standardization.

        Args:
            latents: [B, T, C].

        Returns:
            Spectral parameters, [B, 4 T, P].
        """
        x = self.coarse(self.enter(latents))
        batch, frames, width = x.shape
        x = self.split(x).reshape(batch, frames * FRAMES_PER_LATENT, width)
        made = self.leave(self.norm(self.fine(x)))
        with torch.autocast(latents.device.type, enabled=False):
            return self.parameters_of(made, latents)

    def parameters_of(self, made: Tensor, latents: Tensor) -> Tensor:
        """Add the output of the network to what the linear code states.

        Args:
            made: Output of the last layer, [B, 4 T, P].
            latents: Before standardization, [B, T, C]; their first channels are the linear code, if there is one.

        Returns:
            Spectral parameters, [B, 4 T, P].
        """
        level, difference, coherence, scatter = made.split([NUM_BINS, NUM_BANDS, NUM_BANDS, NUM_BANDS], dim=-1)
        if self.code is None:
            return torch.cat([level, difference, torch.tanh(coherence), scatter], dim=-1)
        code = latents[..., : self.config.linear_channels].float()
        known_level, known_difference, known_coherence = self.code(code)
        coherence = (coherence + known_coherence).clamp(-1, 1)
        return torch.cat([level + known_level, difference + known_difference, coherence, scatter], dim=-1)

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
        """Reconstruct features from noisy latents.

        Args:
            features: [B, F, 4 T].
            noise: [B, T, C]; None = none is added.

        Returns:
            Spectral parameters, [B, 4 T, P].
        """
        unit = self.encoder.unit(features)
        if noise is not None:
            unit = unit + self.config.latent_noise * noise
        return self.decoder.from_unit(unit)

    @torch.no_grad()
    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Set the statistics that latents are standardized with, in encoder and decoder.

        Args:
            mean: Of unit-RMS latents, [C].
            std: Standard deviation of the same, [C].
        """
        for half in (self.encoder, self.decoder):
            half.mean.copy_(mean)
            half.std.copy_(std)


# (channels, kernel, stride), each over (time, frequency). The lobe of a partial is four bins wide.
_LAYERS = (
    (16, (3, 7), (1, 4)),
    (32, (3, 5), (1, 4)),
    (64, (3, 5), (2, 2)),
    (64, (3, 3), (2, 2)),
)


class SpectralDiscriminator(nn.Module):
    """Scaled levels [B, M, K] -> scores [B, M / 4, 16], high means real, and the hidden features of each layer."""

    position: Tensor

    def __init__(self) -> None:
        super().__init__()
        widths = [2, *(channels for channels, _, _ in _LAYERS)]
        self.layers = nn.ModuleList(
            _conv(before, channels, kernel, stride)
            for before, (channels, kernel, stride) in zip(widths[:-1], _LAYERS, strict=True)
        )
        self.leave = _conv(widths[-1], 1, (3, 3), (1, 1))
        # What is usual differs between low and high bins, so each receives its position.
        self.register_buffer("position", torch.linspace(-1, 1, NUM_BINS), persistent=False)

    def forward(self, level: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = torch.stack([level, self.position.expand_as(level)], dim=1)
        x = x.contiguous(memory_format=torch.channels_last)
        hidden = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            hidden.append(x)
        return self.leave(x)[:, 0], hidden


def _conv(before: int, after: int, kernel: tuple[int, int], stride: tuple[int, int]) -> nn.Module:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return weight_norm(nn.Conv2d(before, after, kernel, stride, padding))
