"""The post-training stages, ARC and distillation: what each starts from and what it leaves in the model folder."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from arctone.checkpoints.folder import (
    DIT,
    FLOW,
    fill,
    flow_part,
    load_config,
    load_state,
    part_hash,
    save_part,
)
from arctone.checkpoints.text import copy_untrained
from arctone.data.latent_shards import STORED_LATENTS, read_stored_latents
from arctone.errors import UsageError
from arctone.model_folder.config import ContinuousDiTConfig, ModelConfig
from arctone.models.discriminator import (
    BLOCK_SHARE,
    HEADS,
    NETWORKS,
    AlignmentCritic,
    Discriminator,
    FakeScore,
    blocks_of,
    trunk_state,
)
from arctone.training.arc.config import ArcConfig
from arctone.training.arc.task import ArcTask
from arctone.training.batches import LatentBatches
from arctone.training.demos import flow_listener
from arctone.training.distill.consistency import KINDS, ConsistencyTask
from arctone.training.distill.dmd import DmdTask
from arctone.training.loop import Trainer
from arctone.training.network import fill_with_flow, flow_state, new_network
from arctone.training.parallel import open_fabric
from arctone.training.recipes import Recipe
from arctone.training.stages import ARC_FOLDER, _as_flow, open_batches


@dataclasses.dataclass(frozen=True)
class ArcStage:
    """ARC post-training of a flow model.

    Attributes:
        recipe: Losses and rates.
        latents: Folder of encoded clips, or shards of them (`data.latent_shards`).
        out: Folder of the new model.
        init: Folder of the flow model; its config gives the sizes, and its other parts are copied to `out`.
        student: Post-trained model whose weights the generator begins with, instead of the flow model's.
    """

    recipe: Recipe
    latents: Path | str
    out: Path
    init: Path | None
    student: Path | None = None

    def trainer(self) -> Trainer:
        """See `Stage`.

        Returns:
            The trainer.

        Raises:
            UsageError: If init is missing or is `out` itself.
            ModelError: If a part does not fit.
        """
        recipe, loop = self.recipe, self.recipe.arc_loop
        _check_student(self.student)
        fabric = open_fabric(loop)
        fabric.launch()
        with fabric.rank_zero_first():
            config, init = _model_to_post_train(self.init, self.out)
            latents = read_stored_latents(self.latents, self.out, self.out / STORED_LATENTS)
        batches = open_batches(latents, recipe.arc_batch_frames, loop, config, self.out, recipe)
        task = _arc_task(recipe.arc, loop.seed, config, flow_state(init), batches, str(init))
        _begin_with(task.generator, self.student)
        if loop.demo_every:
            task.listener = flow_listener(few_step(config, "", *recipe.arc.sampled_by), self.out)
        return Trainer(task, loop, self.out / ARC_FOLDER, fabric)

    def finish(self, trainer: Trainer) -> None:
        """See `Stage`: writes the averaged generator, and how it is sampled."""
        finish_few_step(trainer, self.out, self.recipe.arc.sampled_by)


@dataclasses.dataclass(frozen=True)
class DistillStage:
    """Distillation of a flow model and its guidance.

    Attributes:
        recipe: Losses and rates.
        latents: Folder of encoded clips, or shards of them (`data.latent_shards`).
        out: Folder of the new model.
        init: Folder of the flow model; its config gives the sizes, and its other parts are copied to `out`.
        kind: "dmd" (distribution matching) or "consistency".
        student: Post-trained model whose weights the student begins with, instead of the flow model's.

    Raises:
        UsageError: If the kind is unknown.
    """

    recipe: Recipe
    latents: Path | str
    out: Path
    init: Path | None
    kind: str
    student: Path | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"kind: {self.kind!r} is unknown, choose from {', '.join(KINDS)}")

    def trainer(self) -> Trainer:
        """See `Stage`.

        Returns:
            The trainer.

        Raises:
            UsageError: If init is missing or is `out` itself.
            ModelError: If a part does not fit.
        """
        recipe = self.recipe
        loop = recipe.dmd_loop if self.kind == "dmd" else recipe.consistency_loop
        _check_student(self.student)
        fabric = open_fabric(loop)
        fabric.launch()
        with fabric.rank_zero_first():
            config, init = _model_to_post_train(self.init, self.out)
            latents = read_stored_latents(self.latents, self.out, self.out / STORED_LATENTS)
        batches = open_batches(latents, recipe.distill_batch_frames, loop, config, self.out, recipe)
        teacher = new_network(config.dit, loop.seed)
        fill_with_flow(teacher, init)
        make = _dmd_task if self.kind == "dmd" else _consistency_task
        task = make(recipe, config, teacher, batches)
        _begin_with(task.student, self.student)
        if loop.demo_every:
            task.listener = flow_listener(few_step(config), self.out)
        return Trainer(task, loop, self.out / f"training-{self.kind}", fabric)

    def finish(self, trainer: Trainer) -> None:
        """See `Stage`: writes the averaged student, and how it is sampled."""
        finish_few_step(trainer, self.out)


def _arc_task(
    settings: ArcConfig, seed: int, config: ModelConfig, state: dict[str, Tensor], batches: LatentBatches, origin: str
) -> ArcTask:
    """Returns the networks of ARC, generator and discriminator filled strictly with the flow model's weights."""
    shape, parts = config.dit, settings.discriminator
    num_blocks = blocks_of(shape, parts.block_share, parts.num_blocks)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = NETWORKS[type(shape)](shape)
        discriminator = Discriminator(shape, num_blocks, parts.head)
        critic = AlignmentCritic(shape.latent_channels, shape.text_width)
    fill(generator, state, origin)
    fill(discriminator.trunk, trunk_state(state, shape, num_blocks), origin)
    return ArcTask(
        generator,
        discriminator,
        batches,
        settings,
        critic=critic if settings.alignment.steps > 0 else None,
        teacher=copy.deepcopy(generator) if settings.teacher.is_on else None,
        seed=seed,
    )


def _dmd_task(recipe: Recipe, config: ModelConfig, teacher: nn.Module, batches: LatentBatches) -> DmdTask:
    """Returns a student and a fake score that begin as the teacher; the discriminator's head begins at random."""
    settings, seed = recipe.dmd, recipe.dmd_loop.seed
    num_blocks = blocks_of(config.dit, BLOCK_SHARE, settings.num_blocks)
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


def _consistency_task(
    recipe: Recipe, config: ModelConfig, teacher: nn.Module, batches: LatentBatches
) -> ConsistencyTask:
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
    """Before anything is written.

    Args:
        student: Model that the generator begins with.

    Raises:
        UsageError: if the student is a flow model.
    """
    if student is not None and not load_config(student).sampling.post_trained:
        raise UsageError(
            f"student: {student} is no post-trained model; post-training begins with the flow model of init"
        )


def _begin_with(module: nn.Module, student: Path | None) -> None:
    """Fills what is post-trained with the weights of a post-trained model, if there is one.

    Args:
        module: Network to fill.
        student: Model that the generator begins with.

    Raises:
        ModelError: if a part is missing or damaged.
    """
    if student is not None:
        fill(module, load_state(student, DIT), str(student))


def few_step(
    config: ModelConfig, flow_hash: str = "", sampler: str = "ping_pong", steps: int = 8, shift: float = 1.0
) -> ModelConfig:
    """Returns the config of a model that was post-trained: a few steps on the sampler's own schedule, no guidance.

    Args:
        config: Of the flow model.
        flow_hash: SHA-256 of the flow model's weights.
        sampler: Name of the sampler.
        steps: Number of its steps.
        shift: Of their grid.

    Returns:
        The config.
    """
    sampling = msgspec.structs.replace(
        config.sampling, sampler=sampler, steps=steps, cfg_scale=1.0, shift=shift, schedule="auto", post_trained=True
    )
    shape = config.dit
    if isinstance(shape, ContinuousDiTConfig) and shape.objective == "rectified_flow":
        shape = msgspec.structs.replace(shape, objective="rf_denoiser")
    return msgspec.structs.replace(
        config, dit=shape, sampling=sampling, flow_hash=flow_hash, flow_sampling=config.sampling
    )


def finish_few_step(trainer: Trainer, out: Path, sampled_by: tuple[str, int, float] = ("ping_pong", 8, 1.0)) -> None:
    """Writes the averaged generator or student, and how it is sampled.

    Args:
        trainer: Of the stage.
        out: Model folder.
        sampled_by: Sampler, number of steps and shift of their grid.
    """
    # A run that goes on has written it before.
    config = load_config(out).of_flow
    save_part(out, DIT, trainer.ema.state, few_step(config, part_hash(out, FLOW), *sampled_by))


def _model_to_post_train(init: Path | None, out: Path) -> tuple[ModelConfig, Path]:
    """Returns the config of `init`, and `init`.

    Everything that post-training leaves as it is is put into `out`, and its transformer under another name: adapters
    for the new model are trained on that. Of a post-trained model it is the flow model that it was made from.
    """
    if init is None:
        raise UsageError("init: post-training needs a flow model to begin with; name one, or its folder")
    if out.exists() and out.samefile(init):
        raise UsageError(f"out: {out} is also init, and its flow model would be lost; choose another folder")
    part, config = flow_part(init), load_config(init).of_flow
    if (out / "config.json").exists() and _as_flow(load_config(out)) != _as_flow(config):
        raise UsageError(f"out: {out} holds another model than init, {init}; choose another folder")
    copy_untrained(init, out, config)
    if not (out / f"{FLOW}.safetensors").exists():
        save_part(out, FLOW, load_state(init, part), load_config(out))
    return config, init
