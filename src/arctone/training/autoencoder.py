"""Training of the spectral autoencoder on windows of spectral features."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from arctone.audio.spectral.features import LEVEL_SCALE, NUM_BANDS, NUM_FEATURES
from arctone.audio.spectral.features import features as spectral_features
from arctone.audio.spectral.stft import NUM_BINS
from arctone.audio.spectral.synthesis import noise_deviation
from arctone.data.encode import map_in_order
from arctone.data.sound import ClipSource
from arctone.errors import ArctoneError, UsageError
from arctone.files.atomic import file_atomically
from arctone.model_folder.config import SpectralConfig
from arctone.models.spectral import FRAMES_PER_LATENT, SpectralAutoencoder, SpectralDiscriminator
from arctone.training.randomness import generator, share
from arctone.training.spectral_loss import SpectralLossConfig, noise_amount, spectral_loss
from arctone.training.task import SteadyRate

_NOISE = 1
_HOP = 512
# Noise from which deviations are cut: one minute.
_BANK_FRAMES = 5_168

Network = TypeVar("Network", bound=nn.Module)


# Called with the number of clips done and of all.
OnClip = Callable[[int, int], None]


class FeaturePool:
    """Spectral features of many clips, one after another in a memory-mapped file of float16, [frames, 1121]."""

    def __init__(self, path: Path) -> None:
        self.frames = np.memmap(path, np.float16, "r").reshape(-1, NUM_FEATURES)

    @classmethod
    def build(
        cls,
        source: ClipSource,
        path: Path,
        *,
        num_clips: int,
        seed: int = 0,
        num_workers: int = 0,
        max_seconds: float | None = None,
        on_clip: OnClip | None = None,
    ) -> FeaturePool:
        """Render clips drawn from a source (each once, in a random order) and store their features.

        Args:
            source: Clips to draw from.
            path: File to write; it appears only when it is complete.
            num_clips: Largest number of clips.
            seed: Of the order of the clips.
            num_workers: Processes that render; 0 renders in this one. The file is the same for any number.
            max_seconds: Time after which the clips so far are all; None = no limit.
            on_clip: Called with the number of clips done and of all.

        Returns:
            The stored features.

        Raises:
            UsageError: If no clip would be left.
            InputFileError: If a clip cannot be read.
        """
        order = drawn_clips(source, num_clips, seed)
        end = math.inf if max_seconds is None else time.monotonic() + max_seconds
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            file_atomically(path, force=True) as partial,
            partial.open("wb") as file,
            closing(map_in_order(source, _rows, order, num_workers)) as clips,
        ):
            for number, rows in enumerate(clips):
                if isinstance(rows, ArctoneError):
                    raise rows
                file.write(rows.tobytes())
                if on_clip is not None:
                    on_clip(number + 1, len(order))
                if time.monotonic() > end:
                    break
        return cls(path)

    def windows(self, starts: np.ndarray, length: int) -> Tensor:
        """Windows [B, length, 1121] in float32."""
        return torch.from_numpy(np.stack([self.frames[start : start + length] for start in starts]).astype(np.float32))


def drawn_clips(source: ClipSource, num_clips: int, seed: int) -> list[int]:
    """Return at most this many clips of a source, each once, in a random order.

    Args:
        source: Source of clips.
        num_clips: The most clips.
        seed: Of the order.

    Returns:
        Numbers of clips.

    Raises:
        UsageError: if that is none.
    """
    order: list[int] = np.random.default_rng([seed, len(source)]).permutation(len(source))[:num_clips].tolist()
    if not order:
        raise UsageError(f"num_clips: {num_clips} clips of a source of {len(source)} leave nothing to train on")
    return order


def _rows(source: ClipSource, index: int) -> np.ndarray:
    samples = source.waveform(index).samples
    length = -(-samples.shape[1] // _HOP) * _HOP
    padded = np.pad(samples, ((0, 0), (0, length - samples.shape[1])))
    return spectral_features(padded).T.astype(np.float16)


@dataclasses.dataclass(frozen=True)
class AutoencoderConfig:
    """Batches of the autoencoder, and its critic.

    Args:
        adversarial_start: The step from which a discriminator of spectrograms takes part (it and the autoencoder then
            take turns); None = never.
        adversarial_weight: Of its score, and of the distance in its hidden features.
        feature_weight: Of its score, and of the distance in its hidden features.
    """

    batch_size: int = 24
    window_frames: int = 128
    adversarial_start: int | None = None
    adversarial_weight: float = 0.1
    feature_weight: float = 1.0
    loss: SpectralLossConfig = dataclasses.field(default_factory=SpectralLossConfig)
    # Fuses the loss's arithmetic; needs a C++ compiler. On a CPU a step of spark takes a fifth less time.
    compile_loss: bool = False


class SpectralTask(SteadyRate, ABC):
    """What training an autoencoder and training a decoder alone have in common: windows, losses and the critic.

    Args:
        name: Of the role that is kept.
        module: What is trained in it.
        num_frames: Of the pool.
        channels: C.
        config: Settings of the losses.
        seed: Of the windows.
    """

    frozen: Sequence[nn.Module] = ()

    def __init__(
        self, name: str, module: nn.Module, num_frames: int, channels: int, config: AutoencoderConfig, seed: int
    ) -> None:
        self.name, self.config, self.seed = name, config, seed
        self.num_frames, self.channels = num_frames, channels
        if num_frames <= config.window_frames:
            raise UsageError(f"pool: {num_frames} frames are too few, training needs more than {config.window_frames}")
        self.roles: dict[str, nn.Module] = {name: module}
        loss = functools.partial(spectral_loss, config=config.loss)
        self._reconstruction_loss = torch.compile(loss) if config.compile_loss else loss
        if config.adversarial_start is not None:
            self.roles["discriminator"] = _seeded(SpectralDiscriminator, seed)
            self._deviations = noise_deviation(np.random.default_rng(seed), _BANK_FRAMES)

    @abstractmethod
    def windows(self, starts: np.ndarray) -> dict[str, Tensor]:
        """What stands in the pool from these frames on: "features" [B, M, F], and whatever `parameters` needs."""

    @abstractmethod
    def parameters(self, batch: dict[str, Tensor]) -> Tensor:
        """What the trained module makes of a batch, [B, M, P]."""

    def role_at(self, step: int) -> str:
        """See `Task`: the two take turns once the critic takes part."""
        return "discriminator" if self._adversarial(step) and step % 2 else self.name

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Any]:
        """Windows of features, the noise of their latents and, for the critic, the deviations of drawn levels."""
        size, length = self.config.batch_size, self.config.window_frames
        mine = share(size, rank, world_size)
        random = np.random.default_rng([self.seed, step])
        starts = random.integers(0, self.num_frames - length, size)[mine]
        shape = size, length // FRAMES_PER_LATENT, self.channels
        noise = torch.randn(shape, generator=generator(self.seed, step, _NOISE))
        batch = {**self.windows(starts), "noise": noise[mine]}
        if self._adversarial(step):
            places = random.integers(0, _BANK_FRAMES - length, size)[mine]
            batch["deviation"] = torch.from_numpy(np.stack([self._deviations[p : p + length] for p in places]))
        return batch

    def losses(self, module: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Of what is trained: `spectral_loss` and what the critic says. Of the critic: whether it tells them apart."""
        features = batch["features"]
        if not self._adversarial(step):
            return self._reconstruction_loss(self.parameters(batch), features)
        discriminator = self.roles["discriminator"]
        with torch.set_grad_enabled(module is not discriminator):
            parameters = self.parameters(batch)
            made = drawn_level(parameters, batch["deviation"])
        with torch.set_grad_enabled(module is discriminator):
            real_scores, real_hidden = discriminator(features[..., :NUM_BINS])
        made_scores, made_hidden = discriminator(made)
        if module is discriminator:
            return {"total": functional.softplus(made_scores - real_scores).float().mean()}
        losses = self._reconstruction_loss(parameters, features)
        losses["adversarial"] = functional.softplus(real_scores - made_scores).float().mean()
        losses["features"] = feature_distance(made_hidden, real_hidden)
        config = self.config
        losses["total"] = (
            losses["total"]
            + config.adversarial_weight * losses["adversarial"]
            + config.feature_weight * losses["features"]
        )
        return losses

    def _adversarial(self, step: int) -> bool:
        start = self.config.adversarial_start
        return start is not None and step >= start


class AutoencoderTask(SpectralTask):
    """Task of the training loop: reconstruct features through noisy latents of unit RMS."""

    def __init__(
        self, module: SpectralAutoencoder, pool: FeaturePool, config: AutoencoderConfig | None = None, seed: int = 0
    ) -> None:
        channels = module.config.latent_channels
        super().__init__("autoencoder", module, len(pool.frames), channels, config or AutoencoderConfig(), seed)
        self.module, self.pool = module, pool

    def windows(self, starts: np.ndarray) -> dict[str, Tensor]:
        """See SpectralTask."""
        return {"features": self.pool.windows(starts, self.config.window_frames)}

    def parameters(self, batch: dict[str, Tensor]) -> Tensor:
        """See SpectralTask."""
        made: Tensor = self.module(batch["features"].mT, batch["noise"])
        return made

    def demo(self, folder: Path, state: dict[str, Tensor], step: int) -> None:
        """Write the reconstruction of the pool's first seconds."""
        from arctone.training.demos import write_reconstruction

        write_reconstruction(
            self.module.config, state, self.pool.windows(np.array([0]), 512), folder / f"{step:07d}.wav"
        )


def drawn_level(parameters: Tensor, deviation: Tensor) -> Tensor:
    """The level as synthesis draws it, [B, M, K], from parameters [B, M, P] and deviations of noise [B, M, K]."""
    level, _, _, scatter = parameters.float().split([NUM_BINS, NUM_BANDS, NUM_BANDS, NUM_BANDS], dim=-1)
    return level + noise_amount(scatter) * deviation / LEVEL_SCALE


def feature_distance(made: list[Tensor], real: list[Tensor]) -> Tensor:
    """Mean over layers of the mean absolute distance, in units of the real features' mean size."""
    distances = [(m - r).abs().float().mean() / r.abs().float().mean() for m, r in zip(made, real, strict=True)]
    return torch.stack(distances).mean()


@torch.no_grad()
def measure_statistics(module: SpectralAutoencoder, pool: FeaturePool, num_windows: int = 256) -> None:
    """Set the latents' per-channel mean and standard deviation from windows spread over the pool."""
    starts = np.linspace(0, len(pool.frames) - 65, num_windows).astype(np.int64)
    latents = torch.cat([module.encoder.unit(pool.windows(part, 64).mT) for part in np.array_split(starts, 16)])
    flat = latents.flatten(0, 1)
    module.set_statistics(flat.mean(0), flat.std(0))


@torch.no_grad()
def fit_linear_code(module: SpectralAutoencoder, pool: FeaturePool, num_windows: int = 2_048) -> None:
    """Sets the components of the linear code to the principal components of the pool's envelopes.

    Does nothing for a model without one.

    Args:
        module: Its encoder and decoder get the same code.
        pool: Features; windows of 64 frames spread evenly over it are taken.
        num_windows: How many.

    Raises:
        UsageError: If the pool is shorter than a window.
    """
    code, decoder_code = module.encoder.code, module.decoder.code
    if code is None or decoder_code is None:
        return
    if len(pool.frames) <= 64:
        raise UsageError(f"pool: {len(pool.frames)} frames are too few, a linear code needs more than 64")
    starts = np.linspace(0, len(pool.frames) - 65, num_windows).astype(np.int64)
    parts = np.array_split(starts, -(-num_windows // 32))
    values = torch.cat([code.values(pool.windows(part, 64)).flatten(0, 1) for part in parts]).double()
    mean = values.mean(0)
    variance, vectors = torch.linalg.eigh((values - mean).mT @ (values - mean) / len(values))
    rows = vectors.mT.flip(0)[: module.config.linear_channels]
    # An eigenvector's sign is arbitrary: its largest entry is made positive, so that every machine agrees.
    rows = rows * rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()
    for half in (code, decoder_code):
        half.mean.copy_(mean)
        half.components.copy_(rows * variance.flip(0)[: len(rows), None].clamp(min=0).sqrt())


def new_autoencoder(config: SpectralConfig, seed: int) -> SpectralAutoencoder:
    """Autoencoder with weights drawn from a seed, without touching the global random state."""
    return _seeded(lambda: SpectralAutoencoder(config), seed)


def _seeded(make: Callable[[], Network], seed: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()
