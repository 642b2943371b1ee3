"""How each type of autoencoder stands between its modules and sound.

A audio channels, N audio samples, C latent channels, T latent frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from arctone.audio.spectral import features
from arctone.audio.synthesis import synthesise
from arctone.config_model import AutoencoderConfig, ModelConfig, OobleckConfig, SameConfig, SpectralConfig
from arctone.engines.parts import Floats

# Latents [1, C, T] to spectral parameters or samples.
Decode = Callable[[Tensor], Tensor]


class Codec(Protocol):
    """One type of autoencoder; the modules are given with every call."""

    def decode(self, decoder: Decode, latents: Tensor, seed: int) -> Floats:
        """Samples [A, N] from latents [1, C, T]; the seed fixes what is random in the synthesis."""

    def prepared(self, samples: Floats) -> Floats:
        """What the encoder reads of samples [A, N], N a multiple of the hop."""

    def encode(self, encoder: nn.Module, prepared: Tensor) -> Tensor:
        """Latents [1, C, T] from a batch of one of what `prepared` gave."""


class SpectralCodec:
    """Spectral features in, spectral parameters out; the phases are made here."""

    def __init__(self, config: SpectralConfig) -> None:
        self._config = config

    def decode(self, decoder: Decode, latents: Tensor, seed: int) -> Floats:
        """See Codec."""
        parameters = decoder(latents)[0].float().cpu().numpy()
        return synthesise(parameters, np.random.default_rng(seed), self._config.phase_iterations)

    def prepared(self, samples: Floats) -> Floats:
        """See Codec."""
        return features(samples)

    def encode(self, encoder: nn.Module, prepared: Tensor) -> Tensor:
        """See Codec."""
        latents: Tensor = encoder(prepared)
        return latents


class OobleckCodec:
    """Waveforms in and out. Of the encoder's normal distribution the mean is taken, so that encoding is repeatable."""

    def __init__(self, config: OobleckConfig) -> None:
        self._config = config

    def decode(self, decoder: Decode, latents: Tensor, seed: int) -> Floats:
        """See Codec; nothing is random."""
        samples: Floats = decoder(latents * self._config.scale)[0].float().cpu().numpy()
        return samples

    def prepared(self, samples: Floats) -> Floats:
        """See Codec."""
        return samples

    def encode(self, encoder: nn.Module, prepared: Tensor) -> Tensor:
        """See Codec."""
        mean: Tensor = encoder(prepared)[0]
        return mean / self._config.scale


class SameCodec:
    """Waveforms in and out, at the level that the modules give."""

    def decode(self, decoder: Decode, latents: Tensor, seed: int) -> Floats:
        """See Codec; nothing is random."""
        samples: Floats = decoder(latents)[0].float().cpu().numpy()
        return samples

    def prepared(self, samples: Floats) -> Floats:
        """See Codec."""
        return samples

    def encode(self, encoder: nn.Module, prepared: Tensor) -> Tensor:
        """See Codec."""
        latents: Tensor = encoder(prepared)
        return latents


class MixedCodec:
    """The encoder of one type with the decoder of another.

    Args: encoding, decoding: what each half comes from.
    """

    def __init__(self, encoding: Codec, decoding: Codec) -> None:
        self.prepared, self.encode, self.decode = encoding.prepared, encoding.encode, decoding.decode


def codec(config: ModelConfig) -> Codec:
    """The codec that the config's encoder and decoder need."""
    own = _codec_of(config.autoencoder)
    return own if config.decoder is None else MixedCodec(own, _codec_of(config.decoder))


def _codec_of(autoencoder: AutoencoderConfig) -> Codec:
    if isinstance(autoencoder, SameConfig):
        return SameCodec()
    return OobleckCodec(autoencoder) if isinstance(autoencoder, OobleckConfig) else SpectralCodec(autoencoder)
