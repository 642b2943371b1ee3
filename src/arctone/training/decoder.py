"""Training of a `spectral` decoder for the latents of any autoencoder with the same hop: its encoder stays as it is.

For a `spectral` model that is fine-tuning: whatever was trained on its latents keeps fitting. For a waveform
autoencoder it is distillation into a decoder that costs a fraction, the idea of TAESD (Boer Bohan, 2023).
C latent channels, T latent frames, M = 4 T feature frames, F features, P parameters.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import torch
from torch import Tensor

from arctone.audio.spectral.features import NUM_FEATURES
from arctone.audio.spectral.features import features as spectral_features
from arctone.data.clip import ClipSource
from arctone.errors import UsageError
from arctone.files.atomic import file_atomically
from arctone.inference.backends.torch import TorchBackend
from arctone.model_folder.config import ModelConfig, SpectralConfig
from arctone.models.spectral import FRAMES_PER_LATENT, SpectralDecoder
from arctone.training.autoencoder import AutoencoderConfig, SpectralTask, drawn_clips

HOP = 2048


@dataclasses.dataclass(frozen=True)
class DecoderConfig(AutoencoderConfig):
    """The decoder's size and what it learns.

    width, expansion, blocks, fine_blocks: of the decoder; None = those of a `spectral` teacher, else of SpectralConfig.
    target: sound that is to be made of the latents: the "original" that was encoded, or what the "teacher" decodes;
    "auto" = the original for `spectral` teachers, which can be surpassed, else the teacher's.
    latent_noise: added to the latents, in their standard deviations, because latents that are generated err, too.
    """

    width: int | None = None
    expansion: int | None = None
    blocks: int | None = None
    fine_blocks: int | None = None
    target: Literal["auto", "original", "teacher"] = "auto"
    latent_noise: float = 0.1


class LatentPool:
    """Latents and features of many clips, in memory-mapped files: latents.float16 [T, C], targets.float16 [4 T, F].

    Args: folder: that `build` filled. channels: C.
    """

    LATENTS, TARGETS = "latents.float16", "targets.float16"

    def __init__(self, folder: Path, channels: int) -> None:
        self.latents = np.memmap(folder / self.LATENTS, np.float16, "r").reshape(-1, channels)
        self.targets = np.memmap(folder / self.TARGETS, np.float16, "r").reshape(-1, NUM_FEATURES)

    @classmethod
    def build(
        cls,
        source: ClipSource,
        teacher: TorchBackend,
        folder: Path,
        *,
        channels: int,
        num_clips: int,
        target: str,
        seed: int = 0,
        on_clip: Callable[[int, int], None] | None = None,
    ) -> LatentPool:
        """Encode clips drawn from a source, each once, in a random order.

        Args: target: "original" or "teacher". on_clip: called with the number of clips done and of all.
        Raises: UsageError if there is no clip.
        """
        order = drawn_clips(source, num_clips, seed)
        folder.mkdir(parents=True, exist_ok=True)
        with (
            # The one that is looked for takes its name last.
            file_atomically(folder / cls.TARGETS, force=True) as targets_part,
            file_atomically(folder / cls.LATENTS, force=True) as latents_part,
            latents_part.open("wb") as latents_file,
            targets_part.open("wb") as targets_file,
        ):
            for number, index in enumerate(order):
                samples = _whole(source.waveform(index).samples)
                latents = teacher.encode(samples)
                wanted = samples if target == "original" else teacher.decode(latents, seed=number)
                latents_file.write(latents.T.astype(np.float16).tobytes())
                targets_file.write(spectral_features(wanted).T.astype(np.float16).tobytes())
                if on_clip is not None:
                    on_clip(number + 1, len(order))
        return cls(folder, channels)

    @classmethod
    def is_built(cls, folder: Path) -> bool:
        """Whether `build` was finished there."""
        return (folder / cls.TARGETS).exists()

    @functools.cached_property
    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents' channels, [C] each."""
        latents = self.latents.astype(np.float32)
        return torch.from_numpy(latents.mean(0)), torch.from_numpy(latents.std(0)).clamp(min=1e-3)


class DecoderTask(SpectralTask):
    """Task of the training loop: decode stored latents."""

    def __init__(self, module: SpectralDecoder, pool: LatentPool, config: DecoderConfig, seed: int = 0) -> None:
        super().__init__("decoder", module, len(pool.targets), pool.latents.shape[1], config, seed)
        self.module, self.pool = module, pool
        self.noise_scale = config.latent_noise * pool.statistics[1]

    def windows(self, starts: np.ndarray) -> dict[str, Tensor]:
        """See SpectralTask; windows begin with a latent frame."""
        frames = self.config.window_frames // FRAMES_PER_LATENT
        firsts = [int(start) // FRAMES_PER_LATENT for start in starts]
        latents = np.stack([self.pool.latents[first : first + frames] for first in firsts])
        begins = [FRAMES_PER_LATENT * first for first in firsts]
        targets = np.stack([self.pool.targets[begin : begin + FRAMES_PER_LATENT * frames] for begin in begins])
        return {
            "latents": torch.from_numpy(latents.astype(np.float32)),
            "features": torch.from_numpy(targets.astype(np.float32)),
        }

    def parameters(self, batch: dict[str, Tensor]) -> Tensor:
        """See SpectralTask."""
        noisy = batch["latents"] + self.noise_scale.to(batch["latents"].device) * batch["noise"]
        return self.module.from_unit(noisy * self.module.std + self.module.mean)

    def demo(self, folder: Path, state: dict[str, Tensor], step: int) -> None:
        """Write what the averaged decoder makes of the pool's first seconds."""
        from arctone.training.demos import write_decoded

        latents = torch.from_numpy(self.pool.latents[None, :128].astype(np.float32)).mT
        write_decoded(self.module.config, state, latents, folder / f"{step:07d}.wav")


def student_config(teacher: ModelConfig, config: DecoderConfig) -> SpectralConfig:
    """The config that describes the new decoder (its encoder fields mean nothing where the teacher is no `spectral`).

    Raises: UsageError if the teacher's latents do not have the decoder's hop, rate or channels, or a `spectral` teacher
    would get another width.
    """
    facts = {"hop_length": HOP, "sample_rate": 44_100, "channels": 2}
    for name, wanted in facts.items():
        if getattr(teacher, name) != wanted:
            raise UsageError(f"init: its {name} is {getattr(teacher, name)}, but spectral decoders have {wanted}")
    own = teacher.autoencoder
    base = own if isinstance(own, SpectralConfig) else SpectralConfig(latent_channels=own.latent_channels)
    for name in ("width", "expansion"):
        value = getattr(config, name)
        if base is own and value not in (None, getattr(base, name)):
            raise UsageError(f"{name}: {value} is not the encoder's {getattr(base, name)}, which is kept")
    sizes = {
        "width": config.width,
        "expansion": config.expansion,
        "decoder_blocks": config.blocks,
        "decoder_fine_blocks": config.fine_blocks,
    }
    return msgspec.structs.replace(base, **{name: value for name, value in sizes.items() if value is not None})


def wanted_target(teacher: ModelConfig, config: DecoderConfig) -> str:
    """ "original" or "teacher": what "auto" means for this teacher."""
    if config.target != "auto":
        return config.target
    return "original" if isinstance(teacher.autoencoder, SpectralConfig) else "teacher"


@torch.no_grad()
def standardise(module: SpectralDecoder, mean: Tensor, std: Tensor) -> None:
    """Let the decoder bring latents of this mean and standard deviation, [C] each, to 0 and 1."""
    module.std.copy_(1 / std)
    module.mean.copy_(-mean / std)


def _whole(samples: np.ndarray) -> np.ndarray:
    """Silence after the end, up to a whole latent frame."""
    return np.pad(samples, ((0, 0), (0, -samples.shape[1] % HOP)))
