"""The stages of a recipe: what each starts from and what it leaves in the model folder."""

from __future__ import annotations

from pathlib import Path

import torch

from arctone.checkpoints.folder import AUTOENCODER, DIT, fill, part_hash, save_part
from arctone.data.latents import LatentDataset
from arctone.data.opening import open_source
from arctone.models.dit import DiT
from arctone.models.spectral import SpectralAutoencoder
from arctone.training.autoencoder import AutoencoderTask, FeaturePool, measure_statistics, new_autoencoder
from arctone.training.flow import FlowTask
from arctone.training.latent_batches import LatentBatches
from arctone.training.loop import Trainer
from arctone.training.recipes import Recipe

STATE_FOLDERS = {AUTOENCODER: "training-autoencoder", DIT: "training-flow"}


def autoencoder(recipe: Recipe, data: str, out: Path) -> Trainer:
    """Trainer of the autoencoder; features of the source's training clips are computed once and kept in the folder."""
    folder = out / STATE_FOLDERS[AUTOENCODER]
    path = folder / "features.npy"
    if path.exists():
        pool = FeaturePool(path)
    else:
        source = open_source(data, size=recipe.corpus_size, split="train")
        pool = FeaturePool.build(source, path, num_clips=recipe.autoencoder_clips, seed=recipe.autoencoder_loop.seed)
    module = new_autoencoder(recipe.model.autoencoder, recipe.autoencoder_loop.seed)
    task = AutoencoderTask(module, pool, recipe.autoencoder, recipe.autoencoder_loop.seed)
    return Trainer(task, recipe.autoencoder_loop, folder)


def finish_autoencoder(recipe: Recipe, trainer: Trainer, out: Path) -> None:
    """Write the averaged autoencoder with the statistics of its latents."""
    task = trainer.task
    assert isinstance(task, AutoencoderTask)
    averaged = SpectralAutoencoder(recipe.model.autoencoder)
    fill(averaged, trainer.ema.state, "the averaged weights")
    measure_statistics(averaged.eval(), task.pool)
    save_part(out, AUTOENCODER, averaged.state_dict(), recipe.model)


def flow(recipe: Recipe, latents: Path, out: Path) -> Trainer:
    """Trainer of the flow. Raises: ModelError if the latents come from another autoencoder than the folder's."""
    dataset = LatentDataset(latents, split="train", autoencoder_hash=part_hash(out, AUTOENCODER))
    batches = LatentBatches(dataset, recipe.flow_batch_frames, recipe.flow_loop.seed)
    task = FlowTask(_new_dit(recipe), batches, recipe.flow, recipe.flow_loop.seed)
    return Trainer(task, recipe.flow_loop, out / STATE_FOLDERS[DIT])


def finish_flow(recipe: Recipe, trainer: Trainer, out: Path) -> None:
    """Write the averaged transformer."""
    save_part(out, DIT, trainer.ema.state, recipe.model)


def _new_dit(recipe: Recipe) -> DiT:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.flow_loop.seed)
        return DiT(recipe.model.dit)
