"""Recipes: everything a training run needs to know, as a value. Copy one, change it, keep the difference visible."""

from __future__ import annotations

import dataclasses

import msgspec

from arctone.data.controls import ControlRates
from arctone.errors import UsageError
from arctone.model_folder.config import ContinuousDiTConfig, DiTConfig, ModelConfig, SamplingConfig, SpectralConfig
from arctone.training.arc.config import AlignmentConfig, ArcConfig, DiscriminatorConfig, PenaltyConfig, TeacherConfig
from arctone.training.autoencoder import AutoencoderConfig
from arctone.training.decoder import DecoderConfig
from arctone.training.distill.consistency import ConsistencyConfig, DmdConfig
from arctone.training.flow import FlowConfig
from arctone.training.loop import LoopConfig
from arctone.training.optim import OptimiserConfig
from arctone.training.spectral_loss import SpectralLossConfig


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One model and how each of its stages is trained.

    Attributes:
        model: Type and sizes, where a stage begins without another model.
        corpus_size: Clips of the corpus.
        autoencoder_clips: Clips that the autoencoder's features are computed of.
        autoencoder: Its losses and batches; `autoencoder_loop` its length and rates, and so on for each stage.
        flow_batch_frames: Latent frames in a batch, padding included: short clips come in larger batches.
        arc_batch_frames: The same for adversarial post-training.
        distill_batch_frames: The same for distillation.
        window: "model" fills clips up to the whole window with silence for models that always receive it so; "clip"
            pads to the longest of the batch and masks the padding, which is less work.
        controls: How often key, note, curves and known latents are given; None = the defaults of the type of model.
    """

    model: ModelConfig
    corpus_size: int
    autoencoder_clips: int
    autoencoder: AutoencoderConfig
    autoencoder_loop: LoopConfig
    decoder: DecoderConfig
    decoder_loop: LoopConfig
    flow: FlowConfig
    flow_loop: LoopConfig
    arc: ArcConfig
    arc_loop: LoopConfig
    dmd: DmdConfig
    dmd_loop: LoopConfig
    consistency: ConsistencyConfig
    consistency_loop: LoopConfig
    flow_batch_frames: int = 4096
    arc_batch_frames: int = 4096
    distill_batch_frames: int = 4096
    window: str = "model"
    controls: ControlRates | None = None


def spark() -> Recipe:
    """The bundled model."""
    return Recipe(
        model=ModelConfig(
            name="spark",
            dit=DiTConfig(width=256, depth=8, heads=4, mlp_width=704),
            sampling=SamplingConfig(steps=20),
        ),
        corpus_size=19_000,
        autoencoder_clips=4_500,
        autoencoder=AutoencoderConfig(),
        autoencoder_loop=LoopConfig(
            total_steps=3_000, rate=1e-3, matrix_rate=0.02, ema_decay=0.998, roles={"discriminator": None}
        ),
        decoder=DecoderConfig(adversarial_start=200),
        decoder_loop=LoopConfig(
            total_steps=3_000, rate=3e-4, matrix_rate=6e-3, ema_decay=0.998, roles={"discriminator": None}
        ),
        flow=FlowConfig(),
        flow_loop=LoopConfig(
            total_steps=20_000, rate=1e-3, matrix_rate=0.02, warmup_steps=200, precision="bf16-mixed", ema_decay=0.9995
        ),
        flow_batch_frames=2048,
        arc=ArcConfig(
            time_law="sampler",
            self_output=0.5,
            contrastive_weight=2.0,
            teacher=TeacherConfig(warmup=600, warmup_scale=13.0, weight=1.0, steps=10, refresh=8),
            alignment=AlignmentConfig(steps=2_000, weight=0.5),
        ),
        arc_loop=LoopConfig(
            total_steps=4_000,
            rate=1.5e-5,
            warmup_steps=100,
            rate_floor=1.0,
            precision="bf16-mixed",
            ema_decay=0.99,
            roles={
                "discriminator": OptimiserConfig(rate=3e-5, betas=(0.0, 0.95)),
                "critic": OptimiserConfig(rate=1e-3),
            },
        ),
        arc_batch_frames=2048,
        dmd=DmdConfig(),
        dmd_loop=LoopConfig(
            total_steps=12_000,
            rate=2e-5,
            warmup_steps=100,
            rate_floor=1.0,
            precision="bf16-mixed",
            ema_decay=0.995,
            roles={"fake_score": OptimiserConfig(rate=1e-4)},
        ),
        consistency=ConsistencyConfig(),
        consistency_loop=LoopConfig(
            total_steps=8_000, rate=1e-4, warmup_steps=100, precision="bf16-mixed", ema_decay=0.999
        ),
        distill_batch_frames=2048,
    )


def spark_2() -> Recipe:
    """The next bundled model: latents of 144 channels, 80 of them a fixed linear code of envelope and stereo image."""
    plan = spark()
    channels = 144
    return dataclasses.replace(
        plan,
        model=msgspec.structs.replace(
            plan.model,
            autoencoder=SpectralConfig(latent_channels=channels, linear_channels=80),
            # 20 million weights, twice the work of spark's network for each frame.
            dit=DiTConfig(
                latent_channels=channels,
                width=384,
                depth=8,
                heads=6,
                mlp_width=832,
                inpaint_channels=1 + channels,
                controls=("key", "note", "steps", "loudness", "brightness", "pitch"),
                text_adapter=1,
            ),
        ),
        corpus_size=48_000,
        autoencoder_clips=17_000,
        autoencoder=AutoencoderConfig(
            batch_size=16,
            loss=SpectralLossConfig(
                knee_hz=2_000.0,
                audible_floor=0.4,
                mel_weight=0.0,
                envelope_weight=1.5,
                onset_weight=0.5,
                difference_weight=2.0,
                coherence_weight=1.0,
                stereo_by_energy=True,
            ),
            compile_loss=True,
        ),
        autoencoder_loop=dataclasses.replace(plan.autoencoder_loop, total_steps=20_000, ema_decay=0.999),
        flow_loop=dataclasses.replace(plan.flow_loop, total_steps=24_000, warmup_steps=300),
    )


def spark_steps() -> Recipe:
    """The same model brought to eight Euler steps without guidance: it learns the guided path, no discriminator.

    A model that receives the number of steps learns four and two as well, each in a quarter of the batches.
    """
    plan = spark()
    return dataclasses.replace(
        plan,
        arc=ArcConfig(
            teacher=TeacherConfig(
                target="velocity",
                warmup=1_000_000,
                steps=8,
                substeps=4,
                refresh=16,
                bank=32,
                step_counts=(8, 4, 8, 2),
            ),
        ),
        arc_loop=dataclasses.replace(
            plan.arc_loop, total_steps=12_000, rate=4e-4, matrix_rate=8e-3, rate_floor=0.05, ema_decay=0.99
        ),
    )


def spark_arc() -> Recipe:
    """ARC post-training of the eight-step student (`--student`); the discriminator sees full sampler rollouts."""
    plan = spark()
    loop = plan.arc_loop
    return dataclasses.replace(
        plan,
        arc=ArcConfig(
            rollout_steps=8,
            contrastive_weight=0.5,
            teacher=TeacherConfig(
                target="velocity",
                weight=1.0,
                steps=8,
                substeps=4,
                shift=1.5,
                refresh=24,
                bank=8,
                step_counts=(8, 4, 8, 2),
            ),
            alignment=AlignmentConfig(steps=2_000, weight=0.5),
        ),
        arc_loop=dataclasses.replace(
            loop,
            total_steps=2_600,
            rate=3e-5,
            roles={**loop.roles, "discriminator": dataclasses.replace(loop.of_role("discriminator"), rate=1e-4)},
        ),
    )


def spark_minutes() -> Recipe:
    """A model of the same kind, a fiftieth of the size, trained in minutes on two cores: for trying everything out."""
    return Recipe(
        model=ModelConfig(
            name="spark-minutes",
            autoencoder=SpectralConfig(
                latent_channels=16,
                width=96,
                encoder_fine_blocks=1,
                encoder_blocks=1,
                decoder_blocks=1,
                decoder_fine_blocks=1,
            ),
            dit=DiTConfig(latent_channels=16, width=128, depth=3, heads=4, mlp_width=256),
            sampling=SamplingConfig(steps=12, cfg_scale=2.0, duration_seconds=4.0),
        ),
        corpus_size=400,
        autoencoder_clips=100,
        autoencoder=AutoencoderConfig(batch_size=16, window_frames=64, adversarial_start=400),
        autoencoder_loop=LoopConfig(
            total_steps=600,
            warmup_steps=50,
            rate=2e-3,
            matrix_rate=0.02,
            precision="32-true",
            ema_decay=0.99,
            roles={"discriminator": None},
        ),
        decoder=DecoderConfig(batch_size=16, window_frames=64, adversarial_start=100),
        decoder_loop=LoopConfig(
            total_steps=600,
            warmup_steps=50,
            rate=1e-3,
            matrix_rate=0.01,
            precision="32-true",
            ema_decay=0.99,
            roles={"discriminator": None},
        ),
        flow=FlowConfig(),
        flow_loop=LoopConfig(
            total_steps=600, warmup_steps=50, rate=1e-3, matrix_rate=0.02, precision="32-true", ema_decay=0.99
        ),
        flow_batch_frames=1024,
        arc=ArcConfig(),
        arc_loop=LoopConfig(
            total_steps=400,
            rate=5e-5,
            warmup_steps=20,
            rate_floor=1.0,
            precision="32-true",
            ema_decay=0.98,
            roles={"discriminator": OptimiserConfig(rate=2e-4), "critic": OptimiserConfig(rate=2e-3)},
        ),
        arc_batch_frames=1024,
        dmd=DmdConfig(fake_updates=3),
        dmd_loop=LoopConfig(
            total_steps=400,
            rate=5e-5,
            warmup_steps=20,
            rate_floor=1.0,
            precision="32-true",
            ema_decay=0.95,
            roles={"fake_score": OptimiserConfig(rate=2e-4)},
        ),
        consistency=ConsistencyConfig(),
        consistency_loop=LoopConfig(total_steps=400, rate=3e-4, warmup_steps=20, precision="32-true", ema_decay=0.98),
        distill_batch_frames=1024,
    )


def paper() -> Recipe:
    """The published training of Stable Audio Open small: the sections of its model_config.json, batches of 256 clips.

    Sizes are those of a published model that a stage begins with (`--init`). Where arctone departs from the public
    trainer all the same is in docs/arc.md.
    """
    plan = spark()
    adam = LoopConfig(
        total_steps=100_000,
        rate=1e-6,
        betas=(0.9, 0.95),
        weight_decay=0.01,
        gradient_clip=1.0,
        warmup_steps=0,
        rate_floor=1.0,
        ema_decay=0.9999,
        ema_power=0.75,
        checkpoint_activations=True,
        roles={"discriminator": OptimiserConfig(rate=1e-6, betas=(0.9, 0.95), weight_decay=0.01)},
    )
    # 256 clips of 256 latent frames.
    frames = 256 * 256
    return dataclasses.replace(
        plan,
        flow=FlowConfig(
            caption_dropout=0.1,
            tempo_dropout=0.0,
            time_law="truncated_logit_normal",
            time_shift=True,
            even_times=False,
            micro_items=4,
        ),
        flow_loop=dataclasses.replace(adam, rate=2e-4, schedule="inverse", roles={}),
        flow_batch_frames=frames,
        arc=ArcConfig(
            even_quantiles=False,
            tempo_dropout=0.0,
            first="generator",
            micro_items=4,
            discriminator=DiscriminatorConfig(block_share=13 / 16, head="public_convnext"),
            penalties=PenaltyConfig(r1_weight=1.0, r2_weight=1.0, std=0.05, form="difference"),
        ),
        arc_loop=adam,
        arc_batch_frames=frames,
        dmd_loop=dataclasses.replace(plan.dmd_loop, checkpoint_activations=True),
        consistency_loop=dataclasses.replace(plan.consistency_loop, checkpoint_activations=True),
        distill_batch_frames=frames,
    )


def paper_rollout() -> Recipe:
    """As `paper`, but the discriminator sees full rollouts of the eight-step sampler, prompts weigh half, and the heads
    mask padding.
    """
    plan = paper()
    return dataclasses.replace(
        plan,
        arc=dataclasses.replace(
            plan.arc,
            rollout_steps=8,
            contrastive_weight=0.5,
            even_quantiles=True,
            first="discriminator",
            discriminator=DiscriminatorConfig(),
            penalties=PenaltyConfig(),
        ),
    )


# The recipe of a model whose transformer has this type, where none is named; see `usual_recipe`.
USUAL_RECIPES: dict[type, str] = {DiTConfig: "spark", ContinuousDiTConfig: "paper"}

RECIPES = {
    "paper": paper,
    "paper-rollout": paper_rollout,
    "spark": spark,
    "spark-2": spark_2,
    "spark-steps": spark_steps,
    "spark-arc": spark_arc,
    "spark-minutes": spark_minutes,
}


def recipe(name: str) -> Recipe:
    """Return the recipe of a name.

    Args:
        name: One of `RECIPES`.

    Returns:
        The recipe.

    Raises:
        UsageError: listing the known ones.
    """
    if name not in RECIPES:
        raise UsageError(f"recipe: {name!r} is unknown, choose from {', '.join(RECIPES)}")
    return RECIPES[name]()


def usual_recipe(dit: type) -> str:
    """Name the recipe of a type of transformer, for runs that name none.

    Args:
        dit: Type of the transformer's config.

    Returns:
        Its name, see `USUAL_RECIPES`.

    Raises:
        UsageError: If the type has no usual recipe, listing all recipes.
    """
    if dit not in USUAL_RECIPES:
        known = ", ".join(RECIPES)
        raise UsageError(
            f"recipe: models with a {dit.__name__} have no usual recipe; name one of {known}.", field="recipe"
        )
    return USUAL_RECIPES[dit]
