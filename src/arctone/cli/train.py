"""`arctone train`: the stages of training, each resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from arctone.cli.train_lora import lora
from arctone.cli.training_options import TrainingOptions, folder_of, with_training_options
from arctone.cli.training_run import plan_or_train, train, use_threads

app = typer.Typer(
    no_args_is_help=True, help="Train models: the autoencoder, then the flow on its latents, then fewer steps."
)

LatentsOption = Annotated[Path, typer.Option(help="Folder that `arctone data encode` wrote")]
StudentOption = Annotated[
    str | None,
    typer.Option(help="Post-trained model (name or folder) to begin with, instead of the flow model of --init"),
]


@app.command()
@with_training_options
def autoencoder(
    options: TrainingOptions,
    data: Annotated[str, typer.Option(help="A folder, a manifest, shards, or corpus:")] = "corpus:",
) -> None:
    """Train the autoencoder that turns sound into latents and back.

    Example: arctone train autoencoder --recipe spark-minutes --out runs/mine --max-minutes 3
    """
    from arctone.training import stages

    plan = options.plan("autoencoder_loop")
    use_threads(options.threads)
    options.refuse_plan()
    train(stages.AutoencoderStage(plan, data, options.out, options.init_folder()))


@app.command()
@with_training_options
def decoder(
    options: TrainingOptions,
    data: Annotated[str, typer.Option(help="A folder, a manifest, shards, or corpus:")] = "corpus:",
) -> None:
    """Train a decoder alone, for the latents of the model of --init, whose encoder stays as it is.

    A spectral decoder goes on learning, and everything that was trained on its latents keeps fitting; beside a waveform
    autoencoder a new one learns to make in a fraction of the time what that one makes.

    Example: arctone train decoder --init spark --data my-sounds/ --out runs/clearer
    """
    from arctone.training import stages

    plan = options.plan("decoder_loop")
    use_threads(options.threads)
    options.refuse_plan()
    train(stages.decoder_stage(plan, data, options.out, options.init_folder()))


@app.command()
@with_training_options
def flow(
    options: TrainingOptions,
    latents: LatentsOption,
    new_weights: Annotated[
        bool, typer.Option("--new-weights", help="Take only the sizes and the other parts of --init")
    ] = False,
) -> None:
    """Train the diffusion transformer as a flow on encoded latents.

    Example: arctone train flow --latents runs/mine/latents --recipe spark-minutes --out runs/mine --max-minutes 3
    """
    from arctone.training import stages

    plan = options.plan("flow_loop")
    use_threads(options.threads)
    stage = stages.FlowStage(plan, latents, options.out, options.init_folder(), new_weights)
    plan_or_train(stage, plan_only=options.plan_only)


@app.command()
@with_training_options
def arc(options: TrainingOptions, latents: LatentsOption, student: StudentOption = None) -> None:
    """Post-train a flow model adversarially (ARC), so that it makes sound in a few steps without guidance.

    The flow model is the one of --init, which also gives the sizes; losses and rates come from the recipe.

    Example: arctone train arc --latents runs/mine/latents --init runs/mine --recipe spark-minutes --out runs/fast
    """
    from arctone.training import stages

    plan = options.plan("arc_loop")
    use_threads(options.threads)
    stage = stages.ArcStage(plan, latents, options.out, options.init_folder(), folder_of(student))
    plan_or_train(stage, plan_only=options.plan_only)


@app.command()
@with_training_options
def distill(
    options: TrainingOptions,
    latents: LatentsOption,
    kind: Annotated[
        Literal["dmd", "consistency"],
        typer.Option(
            help="dmd: distribution matching with a discriminator (DMD2, Presto); consistency: one network, cheapest"
        ),
    ] = "dmd",
    student: StudentOption = None,
) -> None:
    """Distil a flow model and its guidance into a few steps: what ARC is compared with.

    The flow model is the one of --init, which also gives the sizes; losses and rates come from the recipe.

    Example: arctone train distill --latents runs/mine/latents --init runs/mine --recipe spark-minutes --out runs/dmd
    """
    from arctone.training import stages

    plan = options.plan(f"{kind}_loop")
    use_threads(options.threads)
    stage = stages.DistillStage(plan, latents, options.out, options.init_folder(), kind, folder_of(student))
    plan_or_train(stage, plan_only=options.plan_only)


app.command()(lora)
