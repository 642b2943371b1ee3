"""Training of the spectral autoencoder on windows of spectral features."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from arctone.audio.spectral import features as spectral_features
from arctone.config_model import SpectralConfig
from arctone.data.clip import ClipSource
from arctone.errors import UsageError
from arctone.models.spectral import FRAMES_PER_LATENT, SpectralAutoencoder
from arctone.training.loop import OneRole, generator, share
from arctone.training.spectral_loss import spectral_loss

_NOISE = 1
_HOP = 512


class FeaturePool:
    """Spectral features of many clips in one memory-mapped float16 file, [frames, 1121]."""

    def __init__(self, path: Path) -> None:
        self.frames = np.load(path, mmap_mode="r")

    @classmethod
    def build(cls, source: ClipSource, path: Path, *, num_clips: int, seed: int = 0) -> FeaturePool:
        """Render clips drawn from a source (each once, in a random order) and store their features."""
        order = np.random.default_rng([seed, len(source)]).permutation(len(source))[:num_clips]
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [_rows(source, int(index)) for index in order]
        if not rows:
            raise UsageError(f"num_clips: {num_clips} clips of a source of {len(source)} leave nothing to train on")
        partial = path.with_suffix(".partial.npy")
        np.save(partial, np.concatenate(rows))
        partial.replace(path)
        return cls(path)

    def windows(self, starts: np.ndarray, length: int) -> Tensor:
        """Windows [B, length, 1121] in float32."""
        return torch.from_numpy(np.stack([self.frames[start : start + length] for start in starts]).astype(np.float32))


def _rows(source: ClipSource, index: int) -> np.ndarray:
    samples = source.waveform(index).samples
    length = -(-samples.shape[1] // _HOP) * _HOP
    padded = np.pad(samples, ((0, 0), (0, length - samples.shape[1])))
    return spectral_features(padded).T.astype(np.float16)


@dataclasses.dataclass(frozen=True)
class AutoencoderConfig:
    """Batches of the autoencoder."""

    batch_size: int = 24
    window_frames: int = 64


class AutoencoderTask(OneRole):
    """Task of the training loop: reconstruct features through noisy latents of unit RMS."""

    module: SpectralAutoencoder

    def __init__(
        self, module: SpectralAutoencoder, pool: FeaturePool, config: AutoencoderConfig | None = None, seed: int = 0
    ) -> None:
        self.module, self.pool, self.seed = module, pool, seed
        self.config = config or AutoencoderConfig()
        if len(pool.frames) <= self.config.window_frames:
            raise UsageError(
                f"pool: {len(pool.frames)} frames are too few, training needs more than {self.config.window_frames}"
            )

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Any]:
        """Windows of features and the noise of their latents."""
        size, length = self.config.batch_size, self.config.window_frames
        starts = np.random.default_rng([self.seed, step]).integers(0, len(self.pool.frames) - length, size)
        mine = share(size, rank, world_size)
        channels = self.module.config.latent_channels
        noise = torch.randn(size, length // FRAMES_PER_LATENT, channels, generator=generator(self.seed, step, _NOISE))
        return {"features": self.pool.windows(starts[mine], length), "noise": noise[mine]}

    def losses(self, module: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """See `spectral_loss`."""
        return spectral_loss(module(batch["features"].mT, batch["noise"]), batch["features"])

    def demo(self, folder: Path, state: dict[str, Tensor], step: int) -> None:
        """Write the reconstruction of the pool's first seconds."""
        from arctone.training.demos import write_reconstruction

        write_reconstruction(
            self.module.config, state, self.pool.windows(np.array([0]), 512), folder / f"{step:07d}.wav"
        )


@torch.no_grad()
def measure_statistics(module: SpectralAutoencoder, pool: FeaturePool, num_windows: int = 256) -> None:
    """Set the latents' per-channel mean and standard deviation from windows spread over the pool."""
    starts = np.linspace(0, len(pool.frames) - 65, num_windows).astype(np.int64)
    latents = torch.cat([module.encoder.unit(pool.windows(part, 64).mT) for part in np.array_split(starts, 16)])
    flat = latents.flatten(0, 1)
    module.set_statistics(flat.mean(0), flat.std(0))


def new_autoencoder(config: SpectralConfig, seed: int) -> SpectralAutoencoder:
    """Autoencoder with weights drawn from a seed, without touching the global random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SpectralAutoencoder(config)
