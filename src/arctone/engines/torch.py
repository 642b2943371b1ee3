"""The torch engine: the same parts as modules, for GPUs, for 16 bit and for listening in on training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from arctone.audio.spectral import features, synthesise
from arctone.config_model import ModelConfig
from arctone.engines.parts import Floats, Ints, Mask, TextEmbedding
from arctone.models.dit import DiT
from arctone.models.spectral import SpectralAutoencoder
from arctone.models.text import TextEncoder


class TorchParts:
    """Parts of a model on torch.

    Args: modules in evaluation mode. device: "cpu", "cuda", "mps" or a torch device.
    """

    name = "torch"

    def __init__(
        self,
        config: ModelConfig,
        text: TextEncoder,
        dit: DiT,
        autoencoder: SpectralAutoencoder,
        device: str | torch.device = "cpu",
    ) -> None:
        self._config = config
        self._device = torch.device(device)
        self._text = text.to(self._device).eval()
        self._dit = dit.to(self._device).eval()
        self._autoencoder = autoencoder.to(self._device).eval()

    @torch.inference_mode()
    def encode_text(self, ids: Ints, mask: Mask) -> TextEmbedding:
        """See Parts."""
        tokens, pooled = self._text(self._batch(ids), self._batch(mask.astype(np.float32)))
        return TextEmbedding(_numpy(tokens), mask, _numpy(pooled))

    @torch.inference_mode()
    def velocity(
        self, x: Floats, t: float, text: TextEmbedding | None, seconds: float, bpm: float, frame_mask: Mask
    ) -> Floats:
        """See Parts."""
        given = text or self._no_text()
        scalars = (self._batch(np.float32(value)) for value in (seconds, bpm if text else 0.0))
        embedding = (self._batch(given.tokens), self._batch(given.mask), self._batch(given.pooled))
        return _numpy(self._dit(self._batch(x), self._batch(np.float32(t)), *embedding, *scalars, self._batch(frame_mask)))

    @torch.inference_mode()
    def decode(self, latents: Floats, seed: int = 0) -> Floats:
        """See Parts."""
        parameters = _numpy(self._autoencoder.decoder(self._batch(latents)))
        return synthesise(parameters, np.random.default_rng(seed), self._config.autoencoder.phase_iterations)

    @torch.inference_mode()
    def encode(self, samples: Floats) -> Floats:
        """See Parts."""
        missing = -samples.shape[1] % self._config.hop_length
        whole = np.pad(samples, ((0, 0), (0, missing)))
        return _numpy(self._autoencoder.encoder(self._batch(features(whole))))

    def set_threads(self, threads: int) -> None:
        """Has no effect: torch's number of threads belongs to the whole process (`torch.set_num_threads`)."""

    def close(self) -> None:
        """Has no effect: the modules belong to the caller."""

    def _batch(self, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]] | np.generic) -> Tensor:
        """One item as a batch of one on the device."""
        return torch.from_numpy(np.ascontiguousarray(np.asarray(values)[None])).to(self._device)

    def _no_text(self) -> TextEmbedding:
        width, length = self._config.text.width, self._config.text.max_tokens
        return TextEmbedding(np.zeros((length, width), np.float32), np.zeros(length, bool), np.zeros(width, np.float32))


def _numpy(batch: Tensor) -> Floats:
    """The only item of a batch."""
    out: Floats = batch[0].float().cpu().numpy()
    return out
