"""The stages of a recipe: what each starts from and what it leaves in the model folder."""

from __future__ import annotations

from pathlib import Path

import torch

from arctone.checkpoints.folder import AUTOENCODER, DIT, fill, load_state, part_hash, save_part
from arctone.data.latents import LatentDataset
from arctone.data.opening import open_source
from arctone.models.dit import DiT
from arctone.models.spectral import SpectralAutoencoder
from arctone.training.autoencoder import AutoencoderTask, FeaturePool, measure_statistics, new_autoencoder
from arctone.training.demos import flow_listener
from arctone.training.flow import FlowTask
from arctone.training.latent_batches import LatentBatches
from arctone.training.loop import Trainer
from arctone.training.recipes import Recipe

FEATURES = "features.float16"
STATE_FOLDERS = {AUTOENCODER: "training-autoencoder", DIT: "training-flow"}


def autoencoder(recipe: Recipe, data: str, out: Path, init: Path | None = None) -> Trainer:
    """Trainer of the autoencoder; features of the source's training clips are computed once and kept in the folder.

    Args: init: a model folder whose weights a new run begins with.
    """
    folder = out / STATE_FOLDERS[AUTOENCODER]
    path = folder / FEATURES
    if path.exists():
        pool = FeaturePool(path)
    else:
        source = open_source(data, size=recipe.corpus_size, split="train")
        pool = FeaturePool.build(source, path, num_clips=recipe.autoencoder_clips, seed=recipe.autoencoder_loop.seed)
    module = new_autoencoder(recipe.model.autoencoder, recipe.autoencoder_loop.seed)
    if init is not None:
        fill(module, load_state(init, AUTOENCODER), str(init))
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


def flow(recipe: Recipe, latents: Path, out: Path, init: Path | None = None) -> Trainer:
    """Trainer of the flow.

    Args: init: a model folder whose weights a new run begins with.
    Raises: ModelError if the latents come from another autoencoder than the folder's.
    """
    dataset = LatentDataset(latents, split="train", autoencoder_hash=part_hash(out, AUTOENCODER))
    batches = LatentBatches(dataset, recipe.flow_batch_frames, recipe.flow_loop.seed)
    module = _new_dit(recipe)
    if init is not None:
        fill(module, load_state(init, DIT), str(init))
    task = FlowTask(module, batches, recipe.flow, recipe.flow_loop.seed)
    if recipe.flow_loop.demo_every:
        task.listener = flow_listener(recipe.model, out)
    return Trainer(task, recipe.flow_loop, out / STATE_FOLDERS[DIT])


def finish_flow(recipe: Recipe, trainer: Trainer, out: Path) -> None:
    """Write the averaged transformer."""
    save_part(out, DIT, trainer.ema.state, recipe.model)


def _new_dit(recipe: Recipe) -> DiT:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.flow_loop.seed)
        return DiT(recipe.model.dit)
