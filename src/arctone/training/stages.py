"""The stages of a recipe: what each starts from and what it leaves in the model folder.

Every stage is a value with the same two steps, so the command line, reproductions and fine-tuning run them alike:

    stage = FlowStage(recipe, latents, out)
    run_stage(stage)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from arctone.checkpoints.folder import (
    AUTOENCODER,
    DIT,
    encoder_hash,
    fill,
    flow_part,
    load_config,
    load_state,
    save_part,
)
from arctone.checkpoints.text import copy_untrained
from arctone.data.latent_shards import STORED_LATENTS, read_stored_latents
from arctone.data.latents import LatentDataset
from arctone.data.sources import open_source
from arctone.model_folder.config import ContinuousDiTConfig, ModelConfig, SpectralConfig, of_type
from arctone.models.spectral import SpectralAutoencoder
from arctone.training.autoencoder import (
    AutoencoderTask,
    FeaturePool,
    OnClip,
    fit_linear_code,
    measure_statistics,
    new_autoencoder,
)
from arctone.training.batches import LatentBatches, silence_of
from arctone.training.decoder import DecoderStage
from arctone.training.demos import flow_listener
from arctone.training.flow import FlowTask
from arctone.training.loop import LoopConfig, Trainer
from arctone.training.network import fill_with_flow, new_network
from arctone.training.parallel import open_fabric
from arctone.training.recipes import Recipe

FEATURES = "features.float16"
AUTOENCODER_FOLDER, FLOW_FOLDER, ARC_FOLDER = "training-autoencoder", "training-flow", "training-arc"


class Stage(Protocol):
    """One training run: opened, trained, written."""

    def trainer(self) -> Trainer:
        """Returns the trainer, at its beginning or where an interrupted run stopped."""

    def finish(self, trainer: Trainer) -> None:
        """Writes what was learned so far into the model folder."""


Run = Callable[[Trainer], object]


def run_stage(stage: Stage, run: Run = Trainer.run) -> Trainer:
    """Trains a stage and writes its result; after Ctrl-C it writes what was learned so far.

    A run that fails writes nothing: the folder keeps the result of its last good state.

    Args:
        stage: What is trained.
        run: Runs the trainer, perhaps with a progress bar.

    Returns:
        The trainer, at its end.

    Raises:
        KeyboardInterrupt: If the run was ended so.
    """
    trainer = stage.trainer()
    try:
        run(trainer)
    except KeyboardInterrupt:
        finish_stage(stage, trainer)
        raise
    finish_stage(stage, trainer)
    return trainer


def finish_stage(stage: Stage, trainer: Trainer) -> None:
    """Writes what a trainer learned, from the first process alone.

    Args:
        stage: Of the trainer.
        trainer: Where it stands.
    """
    trainer.ema.gather()
    if trainer.fabric.is_global_zero:
        stage.finish(trainer)
    trainer.fabric.barrier()


@dataclasses.dataclass(frozen=True)
class AutoencoderStage:
    """Training of the spectral autoencoder; features of the source's training clips are computed once and kept.

    Attributes:
        recipe: Sizes, losses and rates.
        data: Source of clips.
        out: Model folder.
        init: Model folder whose weights a new run begins with.
        max_seconds: Of the features; those of the clips so far are used then.
        on_clip: Called while the features are computed.
    """

    recipe: Recipe
    data: str
    out: Path
    init: Path | None = None
    max_seconds: float | None = None
    on_clip: OnClip | None = None

    def trainer(self) -> Trainer:
        """See `Stage`."""
        recipe, loop = self.recipe, self.recipe.autoencoder_loop
        fabric = open_fabric(loop)
        fabric.launch()
        folder = self.out / AUTOENCODER_FOLDER
        with fabric.rank_zero_first():
            pool = self._pool(folder / FEATURES)
        module = new_autoencoder(of_type(recipe.model.autoencoder, SpectralConfig), loop.seed)
        if self.init is None:
            fit_linear_code(module, pool)
        else:
            fill(module, load_state(self.init, AUTOENCODER), str(self.init))
        return Trainer(AutoencoderTask(module, pool, recipe.autoencoder, loop.seed), loop, folder, fabric)

    def _pool(self, path: Path) -> FeaturePool:
        recipe = self.recipe
        if path.exists():
            return FeaturePool(path)
        source = open_source(self.data, size=recipe.corpus_size, split="train")
        seed = recipe.autoencoder_loop.seed
        return FeaturePool.build(
            source,
            path,
            num_clips=recipe.autoencoder_clips,
            seed=seed,
            max_seconds=self.max_seconds,
            on_clip=self.on_clip,
        )

    def finish(self, trainer: Trainer) -> None:
        """See `Stage`: writes the averaged autoencoder with the statistics of its latents."""
        task = trainer.task
        assert isinstance(task, AutoencoderTask)
        averaged = SpectralAutoencoder(of_type(self.recipe.model.autoencoder, SpectralConfig))
        fill(averaged, trainer.ema.state, "the averaged weights")
        measure_statistics(averaged.eval(), task.pool)
        save_part(self.out, AUTOENCODER, averaged.state_dict(), self.recipe.model)


def decoder_stage(recipe: Recipe, data: str, out: Path, init: Path | None) -> DecoderStage:
    """Returns the stage that trains a decoder alone.

    Args:
        recipe: Sizes, losses and rates.
        data: Source of clips.
        out: Folder of the new model.
        init: Folder of the model whose encoder stays.

    Returns:
        The stage.
    """
    sizes = recipe.corpus_size, recipe.autoencoder_clips
    return DecoderStage(recipe.decoder, recipe.decoder_loop, data, out, init, *sizes)


@dataclasses.dataclass(frozen=True)
class FlowStage:
    """Flow training of a velocity network on encoded latents.

    Attributes:
        recipe: Sizes, objective and rates; with `init` the sizes are that model's.
        latents: Folder of encoded clips, or shards of them (`data.latent_shards`).
        out: Model folder, with the autoencoder of the latents.
        init: Model that a new run begins with: its weights and sizes, and its other parts, which are copied to `out`.
        new_weights: Whether only the sizes and other parts of `init` are taken, with a random transformer.
    """

    recipe: Recipe
    latents: Path | str
    out: Path
    init: Path | None = None
    new_weights: bool = False

    @property
    def config(self) -> ModelConfig:
        """Config of the model that is trained: of a post-trained `init` the one of the flow model it was made from."""
        return self.recipe.model if self.init is None else _as_flow(load_config(self.init))

    def prepare(self) -> None:
        """Puts the other parts of `init` into `out`, where they are not there yet.

        Raises:
            UsageError: If the folder of a post-trained `init` lacks its flow model.
        """
        if self.init is not None:
            if not self.new_weights:
                flow_part(self.init)
            copy_untrained(self.init, self.out, self.config)

    def trainer(self) -> Trainer:
        """See `Stage`.

        Returns:
            The trainer.

        Raises:
            UsageError: If the folder of a post-trained `init` lacks its flow model.
            ModelError: If a part is missing, or the latents come from another autoencoder.
        """
        recipe, loop, config = self.recipe, self.recipe.flow_loop, self.config
        fabric = open_fabric(loop)
        fabric.launch()
        with fabric.rank_zero_first():
            self.prepare()
            latents = read_stored_latents(self.latents, self.out, self.out / STORED_LATENTS)
        batches = open_batches(latents, recipe.flow_batch_frames, loop, config, self.out, recipe)
        module = new_network(config.dit, loop.seed)
        if self.init is not None and not self.new_weights:
            fill_with_flow(module, self.init)
        task = FlowTask(module, batches, recipe.flow, loop.seed)
        if loop.demo_every:
            task.listener = flow_listener(config, self.out)
        return Trainer(task, loop, self.out / FLOW_FOLDER, fabric)

    def finish(self, trainer: Trainer) -> None:
        """See `Stage`: writes the averaged transformer."""
        save_part(self.out, DIT, trainer.ema.state, self.config)


def open_batches(
    latents: Path, max_frames: int, loop: LoopConfig, config: ModelConfig, folder: Path, recipe: Recipe
) -> LatentBatches:
    """Returns batches in the form that a model needs.

    Args:
        latents: Folder of encoded clips.
        max_frames: Latent frames in a batch of all processes, padding included.
        loop: Of the stage.
        config: The model's config.
        folder: Of the model, with its autoencoder.
        recipe: Its `window` says whether models that always receive a whole window do so in training.

    Returns:
        The batches.

    Raises:
        ModelError: If the latents come from another autoencoder.
    """
    dataset = LatentDataset(latents, split="train", autoencoder_hash=encoder_hash(folder))
    silence = silence_of(folder, config) if recipe.window == "model" else None
    return LatentBatches.of_model(dataset, max_frames, loop.seed, config, silence, recipe.controls)


def _as_flow(config: ModelConfig) -> ModelConfig:
    """Returns a config as that of a flow model, under one name for its objective."""
    flow, shape = config.of_flow, config.dit
    if isinstance(shape, ContinuousDiTConfig) and shape.objective == "rf_denoiser":
        flow = msgspec.structs.replace(flow, dit=msgspec.structs.replace(shape, objective="rectified_flow"))
    return flow
