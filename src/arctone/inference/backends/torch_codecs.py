"""How each type of autoencoder stands between its modules and sound.

A audio channels, N audio samples, C latent channels, T latent frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from arctone.audio.spectral.features import features
from arctone.audio.spectral.synthesis import draws, synthesise
from arctone.inference.backends.base import Floats
from arctone.model_folder.config import (
    AutoencoderConfig,
    ModelConfig,
    OobleckConfig,
    SameConfig,
    SpectralConfig,
    of_type,
)
from arctone.models import synthesis
from arctone.models.spectral import FRAMES_PER_LATENT

# Latents [1, C, T] to spectral parameters or samples.
Decode = Callable[[Tensor], Tensor]


class Codec(Protocol):
    """One type of autoencoder; the modules are given with every call."""

    def decode(self, decoder: Decode, latents: Tensor, seed: int) -> Floats:
        """Decode latents to audio.

        Args:
            decoder: The module, or a function that runs it.
            latents: [1, C, T].
            seed: Fixes the random part of the synthesis.

        Returns:
            Samples [A, N].
        """

    def draws(self, seed: int, num_latents: int) -> tuple[Floats, ...]:
        """The random part of the synthesis of `num_latents` latent frames."""

    def decode_there(self, decoder: Decode, latents: Tensor, drawn: Sequence[Tensor]) -> Tensor:
        """Decode latents, all of it on their device.

        Args:
            decoder: The module.
            latents: [B, C, T].
            drawn: What `draws` gave for each item, one after another.

        Returns:
            Samples [B, A, N].
        """

    def prepared(self, samples: Floats) -> Floats:
        """What the encoder reads of samples [A, N], N a multiple of the hop."""

    def encode(self, encoder: nn.Module, prepared: Tensor) -> Tensor:
        """Encode what `prepared` returned.

        Args:
            encoder: The module.
            prepared: As a batch of one.

        Returns:
            Latents [1, C, T].
        """


class SpectralCodec:
    """Spectral features in, spectral parameters out; the phases are made here."""

    def __init__(self, config: SpectralConfig) -> None:
        self._config = config

    def decode(self, decoder: Decode, latents: Tensor, seed: int) -> Floats:
        """See Codec."""
        parameters = decoder(latents)[0].float().cpu().numpy()
        return synthesise(parameters, np.random.default_rng(seed), self._config.phase_iterations)

    def draws(self, seed: int, num_latents: int) -> tuple[Floats, ...]:
        """See Codec."""
        return draws(np.random.default_rng(seed), FRAMES_PER_LATENT * num_latents)

    def decode_there(self, decoder: Decode, latents: Tensor, drawn: Sequence[Tensor]) -> Tensor:
        """See Codec."""
        noise, start, signs = drawn
        return synthesis.synthesise(decoder(latents), noise, start, signs, self._config.phase_iterations)

    def prepared(self, samples: Floats) -> Floats:
        """See Codec."""
        return features(samples)

    def encode(self, encoder: nn.Module, prepared: Tensor) -> Tensor:
        """See Codec."""
        latents: Tensor = encoder(prepared)
        return latents


class WaveformCodec:
    """Waveforms in and out.

    Args:
        scale: What the modules' own latents are, times ours.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale

    def decode(self, decoder: Decode, latents: Tensor, seed: int) -> Floats:
        """See Codec; nothing is random."""
        samples: Floats = self.decode_there(decoder, latents, ())[0].cpu().numpy()
        return samples

    def draws(self, seed: int, num_latents: int) -> tuple[Floats, ...]:
        """See Codec."""
        return ()

    def decode_there(self, decoder: Decode, latents: Tensor, drawn: Sequence[Tensor]) -> Tensor:
        """See Codec."""
        return decoder(latents * self._scale).float()

    def prepared(self, samples: Floats) -> Floats:
        """See Codec."""
        return samples

    def encode(self, encoder: nn.Module, prepared: Tensor) -> Tensor:
        """See Codec."""
        latents: Tensor = encoder(prepared)
        return latents / self._scale


class OobleckCodec(WaveformCodec):
    """Of the encoder's normal distribution the mean is taken, so that encoding is repeatable."""

    def encode(self, encoder: nn.Module, prepared: Tensor) -> Tensor:
        """See Codec."""
        mean: Tensor = encoder(prepared)[0]
        return mean / self._scale


class MixedCodec:
    """The encoder of one type with the decoder of another.

    Args:
        encoding: Codec of the encoder.
        decoding: Codec of the decoder.
    """

    def __init__(self, encoding: Codec, decoding: Codec) -> None:
        self.prepared, self.encode = encoding.prepared, encoding.encode
        self.decode, self.draws, self.decode_there = decoding.decode, decoding.draws, decoding.decode_there


def codec(config: ModelConfig) -> Codec:
    """The codec that the config's encoder and decoder need."""
    own = _codec_of(config.autoencoder)
    return own if config.decoder is None else MixedCodec(own, _codec_of(config.decoder))


def _codec_of(autoencoder: AutoencoderConfig) -> Codec:
    if isinstance(autoencoder, SameConfig):
        return WaveformCodec()
    if isinstance(autoencoder, OobleckConfig):
        return OobleckCodec(autoencoder.scale)
    return SpectralCodec(of_type(autoencoder, SpectralConfig))
