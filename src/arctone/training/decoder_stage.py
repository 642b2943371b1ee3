"""The stage that trains a decoder alone: what it starts from and what it leaves in the model folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import torch

from arctone.checkpoints.copying import copy_untrained
from arctone.checkpoints.folder import AUTOENCODER, DIT, FLOW, fill, has_flow, load_config, load_state, save_part
from arctone.checkpoints.parts import DECODER, ENCODER, OWN_DECODER
from arctone.checkpoints.weights_map import MAP, part_state
from arctone.data.opening import open_source
from arctone.errors import UsageError
from arctone.files.atomic import MARKER, file_atomically
from arctone.inference.backends.torch import load_backend
from arctone.model_folder.config import ModelConfig, SpectralConfig
from arctone.model_folder.folder import HASHES
from arctone.models.spectral import SpectralDecoder
from arctone.training.decoder import DecoderTask, LatentPool, standardise, student_config, wanted_target
from arctone.training.loop import Trainer
from arctone.training.recipes import Recipe

STATE_FOLDER = "training-decoder"


def decoder(recipe: Recipe, data: str, out: Path, init: Path | None) -> Trainer:
    """Trainer of a decoder for a model's latents; the source's training clips are encoded once and kept in the folder.

    Args: init: the model whose encoder stays. A `spectral` decoder of the same sizes begins with its weights.
    Raises: UsageError if init is missing or is `out` itself, or its latents are none for a spectral decoder.
    """
    if init is None:
        raise UsageError("init: a decoder is trained for a model's latents; name the model, or its folder")
    if out.exists() and out.samefile(init):
        raise UsageError(f"out: {out} is also init, and its decoder would be lost; choose another folder")
    teacher = load_config(init)
    config = student_config(teacher, recipe.decoder)
    pool = _pool(recipe, teacher, data, out / STATE_FOLDER, init)
    module = _student(config, teacher, pool, init, recipe.decoder_loop.seed)
    task = DecoderTask(module, pool, recipe.decoder, recipe.decoder_loop.seed)
    return Trainer(task, recipe.decoder_loop, out / STATE_FOLDER)


def _pool(recipe: Recipe, teacher: ModelConfig, data: str, folder: Path, init: Path) -> LatentPool:
    channels = teacher.autoencoder.latent_channels
    if LatentPool.is_built(folder):
        return LatentPool(folder, channels)
    return LatentPool.build(
        open_source(data, size=recipe.corpus_size, split="train"),
        load_backend(init, teacher),
        folder,
        channels=channels,
        num_clips=recipe.autoencoder_clips,
        target=wanted_target(teacher, recipe.decoder),
        seed=recipe.decoder_loop.seed,
    )


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


def finish_decoder(trainer: Trainer, out: Path, init: Path) -> None:
    """Write the model with the averaged decoder: everything of `init`, with its decoder replaced.

    The decoder of a `spectral` model goes into its autoencoder; beside another encoder it gets a file of its own.
    """
    task = trainer.task
    assert isinstance(task, DecoderTask)
    teacher = load_config(init)
    decoded = {f"{DECODER}.{name}": value for name, value in trainer.ema.state.items()}
    if isinstance(teacher.autoencoder, SpectralConfig):
        config = msgspec.structs.replace(teacher, autoencoder=task.module.config)
        state = load_state(init, AUTOENCODER)
        halves = {name: value for name, value in state.items() if name.startswith(f"{ENCODER}.")} | decoded
        _bring(init, out, teacher)
        save_part(out, AUTOENCODER, halves, config)
    else:
        _bring(init, out, teacher)
        save_part(out, OWN_DECODER, decoded, msgspec.structs.replace(teacher, decoder=task.module.config))


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
