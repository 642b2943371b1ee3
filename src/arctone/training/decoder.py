"""Training of a `spectral` decoder for the latents of any autoencoder with the same hop: its encoder stays as it is.

For a `spectral` model that is fine-tuning: whatever was trained on its latents keeps fitting. For a waveform
autoencoder it is distillation into a decoder that costs a fraction, the idea of TAESD (Boer Bohan, 2023).
C latent channels, T latent frames, M = 4 T feature frames, F features, P parameters.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import shutil
import time
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import torch
from torch import Tensor

from arctone.audio.spectral.features import NUM_FEATURES
from arctone.audio.spectral.features import features as spectral_features
from arctone.checkpoints.folder import AUTOENCODER, DIT, FLOW, fill, has_flow, load_config, load_state, save_part
from arctone.checkpoints.parts import DECODER, ENCODER, OWN_DECODER
from arctone.checkpoints.text import copy_untrained
from arctone.checkpoints.weights_map import MAP, part_state
from arctone.data.sound import ClipSource
from arctone.data.sources import open_source
from arctone.errors import UsageError
from arctone.files.atomic import MARKER, file_atomically
from arctone.inference.backends.torch import TorchBackend, load_backend
from arctone.model_folder.config import ModelConfig, SpectralConfig
from arctone.model_folder.folder import HASHES
from arctone.models.spectral import FRAMES_PER_LATENT, SpectralDecoder
from arctone.training.autoencoder import AutoencoderConfig, OnClip, SpectralTask, drawn_clips
from arctone.training.loop import LoopConfig, Trainer
from arctone.training.parallel import open_fabric

HOP = 2048


@dataclasses.dataclass(frozen=True)
class DecoderConfig(AutoencoderConfig):
    """The decoder's size and what it learns.

    Args:
        width: Of the decoder; None = those of a `spectral` teacher, else of SpectralConfig.
        expansion: As `width`.
        blocks: As `width`.
        fine_blocks: As `width`.
        target: Sound that is to be made of the latents: the "original" that was encoded, or what the "teacher" decodes;
            "auto" = the original for `spectral` teachers, which can be surpassed, else the teacher's.
        latent_noise: Added to the latents, in their standard deviations, because latents that are generated err, too.
    """

    width: int | None = None
    expansion: int | None = None
    blocks: int | None = None
    fine_blocks: int | None = None
    target: Literal["auto", "original", "teacher"] = "auto"
    latent_noise: float = 0.1


class LatentPool:
    """Latents and features of many clips, in memory-mapped files: latents.float16 [T, C], targets.float16 [4 T, F].

    Args:
        folder: That `build` filled.
        channels: C.
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
        max_seconds: float | None = None,
        on_clip: OnClip | None = None,
    ) -> LatentPool:
        """Encode clips drawn from a source, each once, in a random order.

        Args:
            source: Source of clips.
            teacher: Autoencoder that encodes, and decodes if it is the target.
            folder: New folder.
            channels: Latent channels.
            num_clips: The most clips.
            target: "original" or "teacher".
            seed: Of the random draws.
            max_seconds: Time after which the clips so far are all; None = no limit.
            on_clip: Called with the number of clips done and of all.

        Returns:
            The stored latents.

        Raises:
            UsageError: if there is no clip.
        """
        order = drawn_clips(source, num_clips, seed)
        end = math.inf if max_seconds is None else time.monotonic() + max_seconds
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
                if time.monotonic() > end:
                    break
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
    """Describe the new decoder (its encoder fields mean nothing where the teacher is no `spectral`).

    Args:
        teacher: Config of the model whose latents are decoded.
        config: Settings of the decoder.

    Returns:
        Its config.

    Raises:
        UsageError: if the teacher's latents do not have the decoder's hop, rate or channels, or a `spectral` teacher
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


STATE_FOLDER = "training-decoder"


@dataclasses.dataclass(frozen=True)
class DecoderStage:
    """Training of a decoder for a model's latents; see `stages.Stage`.

    The source's training clips are encoded once and kept in the folder. A `spectral` decoder of the same sizes begins
    with the model's weights.

    Attributes:
        settings: Sizes of the decoder, losses and batches.
        loop: Length and rates.
        data: Source of clips.
        out: Folder of the new model.
        init: Folder of the model whose encoder stays.
        corpus_size: Clips of the source, where it is the corpus.
        num_clips: Clips that are drawn.
        max_seconds: Of the encoding; the clips so far are used then.
        on_clip: Called while clips are encoded.
    """

    settings: DecoderConfig
    loop: LoopConfig
    data: str
    out: Path
    init: Path | None
    corpus_size: int
    num_clips: int
    max_seconds: float | None = None
    on_clip: OnClip | None = None

    def trainer(self) -> Trainer:
        """See `stages.Stage`.

        Returns:
            The trainer.

        Raises:
            UsageError: If init is missing or is `out` itself, or its latents are none for a spectral decoder.
        """
        out, init = self.out, self.init
        if init is None:
            raise UsageError("init: a decoder is trained for a model's latents; name the model, or its folder")
        if out.exists() and out.samefile(init):
            raise UsageError(f"out: {out} is also init, and its decoder would be lost; choose another folder")
        teacher = load_config(init)
        config = student_config(teacher, self.settings)
        fabric = open_fabric(self.loop)
        fabric.launch()
        with fabric.rank_zero_first():
            pool = self._pool(teacher, init)
        module = _student(config, teacher, pool, init, self.loop.seed)
        task = DecoderTask(module, pool, self.settings, self.loop.seed)
        return Trainer(task, self.loop, out / STATE_FOLDER, fabric)

    def _pool(self, teacher: ModelConfig, init: Path) -> LatentPool:
        channels, folder = teacher.autoencoder.latent_channels, self.out / STATE_FOLDER
        if LatentPool.is_built(folder):
            return LatentPool(folder, channels)
        return LatentPool.build(
            open_source(self.data, size=self.corpus_size, split="train"),
            # A model whose flow has just been trained has no text encoder yet, and none is needed here.
            load_backend(init, teacher, only=(ENCODER, DECODER)),
            folder,
            channels=channels,
            num_clips=self.num_clips,
            target=wanted_target(teacher, self.settings),
            seed=self.loop.seed,
            max_seconds=self.max_seconds,
            on_clip=self.on_clip,
        )

    def finish(self, trainer: Trainer) -> None:
        """See `stages.Stage`: writes everything of `init`, with its decoder replaced by the averaged one.

        The decoder of a `spectral` model goes into its autoencoder; next to another encoder it gets a file of its own.
        """
        task, init, out = trainer.task, self.init, self.out
        assert isinstance(task, DecoderTask)
        assert init is not None
        teacher = load_config(init)
        decoded = {f"{DECODER}.{name}": value for name, value in trainer.ema.state.items()}
        _bring(init, out, teacher)
        if isinstance(teacher.autoencoder, SpectralConfig):
            config = msgspec.structs.replace(teacher, autoencoder=task.module.config)
            state = load_state(init, AUTOENCODER)
            halves = {name: value for name, value in state.items() if name.startswith(f"{ENCODER}.")} | decoded
            save_part(out, AUTOENCODER, halves, config)
        else:
            save_part(out, OWN_DECODER, decoded, msgspec.structs.replace(teacher, decoder=task.module.config))


def _student(config: SpectralConfig, teacher: ModelConfig, pool: LatentPool, init: Path, seed: int) -> SpectralDecoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = SpectralDecoder(config)
    if config == teacher.sounding:
        fill(module, _decoder_state(init, teacher), str(init))
    else:
        standardise(module, *pool.statistics)
    return module


def _decoder_state(folder: Path, config: ModelConfig) -> dict[str, torch.Tensor]:
    """The tensors of the decoder that a model uses."""
    name = AUTOENCODER if config.decoder is None else OWN_DECODER
    return part_state(load_state(folder, name), DECODER)


def _bring(init: Path, out: Path, config: ModelConfig) -> None:
    """Put the parts of a model into a folder where they are not there yet."""
    if (init / MAP).is_file():
        copy_untrained(init, out)
        for part in (DIT, FLOW) if has_flow(init) else (DIT,):
            if not (out / f"{part}.safetensors").exists():
                save_part(out, part, load_state(init, part), config)
        return
    for path in init.iterdir():
        if path.is_file() and path.name not in (HASHES, MARKER) and not (out / path.name).exists():
            with file_atomically(out / path.name) as partial:
                shutil.copyfile(path, partial)
