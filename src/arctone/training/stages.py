"""The stages of a recipe: what each starts from and what it leaves in the model folder."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from arctone.checkpoints.copying import copy_untrained
from arctone.checkpoints.folder import (
    AUTOENCODER,
    DIT,
    FLOW,
    encoder_hash,
    fill,
    flow_part,
    load_config,
    load_state,
    part_hash,
    save_part,
)
from arctone.data.latents import LatentDataset
from arctone.data.opening import open_source
from arctone.errors import UsageError
from arctone.model_folder.config import DiTConfig, ModelConfig, SpectralConfig, of_type
from arctone.models.alignment import AlignmentCritic
from arctone.models.discriminator import BLOCK_SHARE, HEADS, Discriminator, trunk_state
from arctone.models.dit import DiT
from arctone.models.fake_score import FakeScore
from arctone.models.spectral import SpectralAutoencoder
from arctone.training.arc.config import ArcConfig
from arctone.training.arc.task import ArcTask
from arctone.training.autoencoder import (
    AutoencoderTask,
    FeaturePool,
    fit_linear_code,
    measure_statistics,
    new_autoencoder,
)
from arctone.training.demos import flow_listener
from arctone.training.distill.config import KINDS
from arctone.training.distill.consistency import ConsistencyTask
from arctone.training.distill.dmd import DmdTask
from arctone.training.flow import FlowTask
from arctone.training.latent_batches import LatentBatches
from arctone.training.loop import Trainer
from arctone.training.recipes import Recipe

FEATURES = "features.float16"
STATE_FOLDERS = {AUTOENCODER: "training-autoencoder", DIT: "training-flow"}
ARC_FOLDER = "training-arc"


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
    module = new_autoencoder(of_type(recipe.model.autoencoder, SpectralConfig), recipe.autoencoder_loop.seed)
    if init is None:
        fit_linear_code(module, pool)
    else:
        fill(module, load_state(init, AUTOENCODER), str(init))
    task = AutoencoderTask(module, pool, recipe.autoencoder, recipe.autoencoder_loop.seed)
    return Trainer(task, recipe.autoencoder_loop, folder)


def finish_autoencoder(recipe: Recipe, trainer: Trainer, out: Path) -> None:
    """Write the averaged autoencoder with the statistics of its latents."""
    task = trainer.task
    assert isinstance(task, AutoencoderTask)
    averaged = SpectralAutoencoder(of_type(recipe.model.autoencoder, SpectralConfig))
    fill(averaged, trainer.ema.state, "the averaged weights")
    measure_statistics(averaged.eval(), task.pool)
    save_part(out, AUTOENCODER, averaged.state_dict(), recipe.model)


def flow(recipe: Recipe, latents: Path, out: Path, init: Path | None = None) -> Trainer:
    """Trainer of the flow.

    Args: init: a model folder whose weights a new run begins with.
    Raises: ModelError if the latents come from another autoencoder than the folder's.
    """
    dataset = LatentDataset(latents, split="train", autoencoder_hash=encoder_hash(out))
    batches = LatentBatches(dataset, recipe.flow_batch_frames, recipe.flow_loop.seed)
    module = _new_dit(recipe)
    if init is not None:
        fill(module, load_state(init, flow_part(init)), str(init))
    task = FlowTask(module, batches, recipe.flow, recipe.flow_loop.seed)
    if recipe.flow_loop.demo_every:
        task.listener = flow_listener(recipe.model, out)
    return Trainer(task, recipe.flow_loop, out / STATE_FOLDERS[DIT])


def beginning_with(recipe: Recipe, init: Path | None, out: Path) -> Recipe:
    """The recipe of a flow that begins with a model: its sizes are that model's, and so are its other parts, which are
    put into `out` where they are not there yet. Of a post-trained model it is the flow model it was made from.

    Raises: UsageError if a post-trained model's folder lacks that; ModelError if a part is missing.
    """
    if init is None:
        return recipe
    flow_part(init)
    config = load_config(init).of_flow
    copy_untrained(init, out, config)
    return dataclasses.replace(recipe, model=config)


def finish_flow(recipe: Recipe, trainer: Trainer, out: Path) -> None:
    """Write the averaged transformer."""
    save_part(out, DIT, trainer.ema.state, recipe.model)


def arc(recipe: Recipe, latents: Path, out: Path, init: Path | None, student: Path | None = None) -> Trainer:
    """Trainer of the ARC post-training of a flow model.

    Args: init: the flow model's folder; its config gives the sizes, and its other parts are copied to `out`. student: a
    post-trained model whose weights the generator begins with, instead of the flow model's.
    Raises: UsageError if init is missing or is `out` itself, ModelError if a part does not fit.
    """
    _check_student(student)
    config = _model_to_post_train(init, out)
    assert init is not None
    dataset = LatentDataset(latents, split="train", autoencoder_hash=encoder_hash(out))
    batches = LatentBatches(dataset, recipe.arc_batch_frames, recipe.arc_loop.seed)
    task = _arc_task(recipe, config, load_state(init, flow_part(init)), batches, str(init))
    _begin_with(task.generator, student)
    if recipe.arc_loop.demo_every:
        task.listener = flow_listener(few_step(config, "", *recipe.arc.sampled_by), out)
    return Trainer(task, recipe.arc_loop, out / ARC_FOLDER)


def _arc_task(
    recipe: Recipe, config: ModelConfig, flow_state: dict[str, Tensor], batches: LatentBatches, origin: str
) -> ArcTask:
    """The networks of ARC, generator and discriminator filled strictly with the flow model's weights."""
    settings, seed = recipe.arc, recipe.arc_loop.seed
    shape = of_type(config.dit, DiTConfig)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = DiT(shape)
        discriminator = Discriminator(shape, settings.num_blocks, settings.head)
        critic = AlignmentCritic(shape.latent_channels, shape.text_width)
    fill(generator, flow_state, origin)
    fill(discriminator.trunk, trunk_state(flow_state, shape, len(discriminator.trunk.blocks)), origin)
    return ArcTask(
        generator,
        discriminator,
        batches,
        settings,
        max_seconds=shape.max_seconds,
        critic=critic if settings.alignment_steps > 0 else None,
        teacher=copy.deepcopy(generator) if settings.has_teacher else None,
        seed=seed,
    )


def finish_few_step(trainer: Trainer, out: Path, settings: ArcConfig | None = None) -> None:
    """Write the averaged generator or student, and how a post-trained model is sampled. Args: settings: of ARC."""
    # A run that goes on has written it before.
    config = load_config(out).of_flow
    sampled_by = (settings or ArcConfig()).sampled_by
    save_part(out, DIT, trainer.ema.state, few_step(config, part_hash(out, FLOW), *sampled_by))


def distill(
    recipe: Recipe, latents: Path, out: Path, init: Path | None, kind: str, student: Path | None = None
) -> Trainer:
    """Trainer of the distillation of a flow model, by distribution matching ("dmd") or "consistency".

    Args: init: the flow model's folder; its config gives the sizes, and its other parts are copied to `out`. student: a
    post-trained model whose weights the student begins with, instead of the flow model's.
    Raises: UsageError if the kind is unknown, init is missing or `out` itself; ModelError if a part does not fit.
    """
    if kind not in KINDS:
        raise UsageError(f"kind: {kind!r} is unknown, choose from {', '.join(KINDS)}")
    _check_student(student)
    config = _model_to_post_train(init, out)
    assert init is not None
    loop = recipe.dmd_loop if kind == "dmd" else recipe.consistency_loop
    dataset = LatentDataset(latents, split="train", autoencoder_hash=encoder_hash(out))
    batches = LatentBatches(dataset, recipe.distill_batch_frames, loop.seed)
    teacher = DiT(of_type(config.dit, DiTConfig))
    fill(teacher, load_state(init, flow_part(init)), str(init))
    make = _dmd_task if kind == "dmd" else _consistency_task
    task = make(recipe, config, teacher, batches)
    _begin_with(task.student, student)
    if loop.demo_every:
        task.listener = flow_listener(few_step(config), out)
    return Trainer(task, loop, out / f"training-{kind}")


def _dmd_task(recipe: Recipe, config: ModelConfig, teacher: DiT, batches: LatentBatches) -> DmdTask:
    """Student and fake score begin as the teacher, the judge's head as random weights."""
    settings, seed, depth = recipe.dmd, recipe.dmd_loop.seed, config.dit.depth
    num_blocks = max(1, round(BLOCK_SHARE * depth)) if settings.num_blocks is None else settings.num_blocks
    if num_blocks > depth:
        raise UsageError(f"num_blocks: {num_blocks} is not possible, the flow model has {depth} blocks")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = HEADS[settings.head](config.dit.width) if settings.gan_weight > 0 else None
    return DmdTask(
        copy.deepcopy(teacher),
        FakeScore(copy.deepcopy(teacher), head, num_blocks),
        teacher,
        batches,
        settings,
        cfg_scale=config.sampling.cfg_scale if settings.cfg_scale is None else settings.cfg_scale,
        seed=seed,
    )


def _consistency_task(recipe: Recipe, config: ModelConfig, teacher: DiT, batches: LatentBatches) -> ConsistencyTask:
    settings = recipe.consistency
    return ConsistencyTask(
        copy.deepcopy(teacher),
        teacher,
        batches,
        settings,
        cfg_scale=config.sampling.cfg_scale if settings.cfg_scale is None else settings.cfg_scale,
        seed=recipe.consistency_loop.seed,
    )


def _check_student(student: Path | None) -> None:
    """Before anything is written. Raises: UsageError if the student is a flow model."""
    if student is not None and not load_config(student).sampling.post_trained:
        raise UsageError(
            f"student: {student} is no post-trained model; post-training begins with the flow model of init"
        )


def _begin_with(module: torch.nn.Module, student: Path | None) -> None:
    """Fill what is post-trained with the weights of a post-trained model, if there is one. Raises: ModelError."""
    if student is not None:
        fill(module, load_state(student, DIT), str(student))


def few_step(
    config: ModelConfig, flow_hash: str = "", sampler: str = "ping_pong", steps: int = 8, shift: float = 1.0
) -> ModelConfig:
    """The config of a model that was post-trained: a few steps on the sampler's own schedule, without guidance.

    Args: flow_hash: SHA-256 of the flow model's weights.
    """
    sampling = msgspec.structs.replace(
        config.sampling, sampler=sampler, steps=steps, cfg_scale=1.0, shift=shift, schedule="auto", post_trained=True
    )
    return msgspec.structs.replace(config, sampling=sampling, flow_hash=flow_hash, flow_sampling=config.sampling)


def _model_to_post_train(init: Path | None, out: Path) -> ModelConfig:
    """The config of `init`, with everything put into `out` that post-training leaves as it is, and its transformer
    under another name: adapters for the new model are trained on that. Of a post-trained model it is the flow model
    that it was made from.
    """
    if init is None:
        raise UsageError("init: post-training needs a flow model to begin with; name one, or its folder")
    if out.exists() and out.samefile(init):
        raise UsageError(f"out: {out} is also init, and its flow model would be lost; choose another folder")
    part, config = flow_part(init), load_config(init).of_flow
    if (out / "config.json").exists() and load_config(out).of_flow != config:
        raise UsageError(f"out: {out} holds another model than init, {init}; choose another folder")
    copy_untrained(init, out, config)
    if not (out / f"{FLOW}.safetensors").exists():
        save_part(out, FLOW, load_state(init, part), load_config(out))
    return config


def _new_dit(recipe: Recipe) -> DiT:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.flow_loop.seed)
        return DiT(of_type(recipe.model.dit, DiTConfig))
