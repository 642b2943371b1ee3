"""`arctone train`: the stages of training, each resumable, and `arctone train lora`."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from arctone.cli.output import counted_bar, waiting
from arctone.cli.training_options import (
    PRECISIONS,
    TrainingOptions,
    changed,
    folder_of,
    plan_or_train,
    store_shards,
    train,
    use_threads,
    with_training_options,
)
from arctone.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from arctone.workflows.fine_tune.run import Settings
    from arctone.workflows.time_limit import Deadline


Adapter = TypeVar("Adapter", bound="DataclassInstance")


def lora(
    sounds: Annotated[
        str | None,
        typer.Argument(help="A folder of sounds, with captions in .txt or .json files next to them, or a manifest"),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder; a run that was interrupted continues there")] = Path(
        "runs/lora"
    ),
    model: Annotated[str, typer.Option("--model", "-m", help="Name or folder of the model that is tuned")] = "spark",
    latents: Annotated[
        str | None,
        typer.Option(
            help="Instead of sounds: a folder that `arctone data encode` wrote, or WebDataset shards of latents; then "
            "there is no report"
        ),
    ] = None,
    caption: Annotated[str, typer.Option(help="Caption of sounds that have none; their file names if not given")] = "",
    rank: Annotated[
        int | None, typer.Option(help="Rank of the adapter: how much it can learn; 16 if not given")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="The adapter is scaled by alpha / rank; the rank if not given")
    ] = None,
    dropout: Annotated[
        float | None, typer.Option(help="Share of the adapter's inputs left out in training, below 1; 0 if not given")
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="Layer that gets an adapter, by the end of its name; repeatable, else all of the blocks"),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Train all weights instead, and write a whole model")] = False,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps in all")] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help="Be done after this many minutes, encoding, training and report together"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the adapter, batches and noise")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all if not given")] = None,
    precision: Annotated[str | None, typer.Option(help=f"{', '.join(PRECISIONS)}")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a further setting, such as rate; may be repeated"),
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unusable files out instead of stopping")] = False,
    keep_apart: Annotated[
        bool, typer.Option(help="Keep a fifth of the files, at most 8, for the report; --no-keep-apart trains on all")
    ] = True,
    report_prompts: Annotated[
        int | None, typer.Option(help="Prompts of each kind in the report, 0 to 12, 6 if not given; 0 writes none")
    ] = None,
    embedder: Annotated[
        list[str] | None, typer.Option("--embedder", "-e", help="Who listens for the report; repeatable")
    ] = None,
) -> None:
    """Tune a model to your own sounds: an adapter (LoRA), and a page with sounds before and after.

    Afterwards: arctone generate "..." --lora FOLDER.

    Example: arctone train lora my-sounds --model spark --out runs/mylora --max-minutes 15
    """
    from arctone.workflows.time_limit import Deadline

    deadline = Deadline(max_minutes)
    from arctone.model_folder.folder import find_model
    from arctone.training.loop import LoopConfig
    from arctone.training.lora import TuneStage, fine_tuning
    from arctone.workflows.fine_tune import run

    plan = fine_tuning(is_full=full)
    adapter = {"rank": rank, "alpha": alpha, "dropout": dropout, "target": tuple(target) if target else None}
    loop: LoopConfig = dataclasses.replace(plan.loop, **_loop_changes(steps, seed, precision))
    plan = dataclasses.replace(plan, loop=loop, lora=_adapter(plan.lora, adapter, full))
    plan = changed(plan, ("lora", "flow", "loop"), settings or ())
    prompts = _number_of_prompts(sounds, latents, report_prompts, caption)
    source = str(sounds or latents)
    given = run.Settings(source, find_model(model), out, plan, caption, skip_bad, prompts, keep_apart)
    use_threads(threads)
    if latents is None:
        _tune(given, embedder or [], deadline)
        return
    latents = store_shards(latents, given.model, out)
    run.begin(given)
    train(TuneStage(plan, given.model, latents, out), deadline)
    typer.echo(out)


def _number_of_prompts(sounds: str | None, latents: str | None, asked: int | None, caption: str) -> int:
    """The number of prompts in the report: of latents there is none.

    Args:
        sounds: Source of sounds.
        latents: Latents instead of sounds.
        asked: Number that was given.
        caption: That was given.

    Returns:
        0 to 12.

    Raises:
        UsageError: Unless either sounds or latents are given, or for an option that latents make useless.
    """
    if (sounds is None) == (latents is None):
        raise UsageError("sounds: name either a folder of sounds or --latents", field="sounds")
    if latents is None:
        return 6 if asked is None else asked
    for name, value in (("report_prompts", asked), ("caption", caption)):
        if value:
            raise UsageError(f"{name}: {value!r} has no effect with --latents, which name no sounds", field=name)
    return 0


def _adapter(default: Adapter, options: dict[str, Any], full: bool) -> Adapter:
    """Make the adapter's size from the options that were given.

    Args:
        default: Of the recipe.
        options: That were given.
        full: Whether all weights are trained instead.

    Returns:
        The size.

    Raises:
        UsageError: For one that would have no effect.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if full and given:
        raise UsageError(f"{next(iter(given))}: has no effect with --full, which trains all weights")
    if "rank" in given:
        given = {"alpha": float(given["rank"]), **given}
    if "target" in given:
        given["target_modules"] = given.pop("target")
    return dataclasses.replace(default, **given)


def _loop_changes(steps: int | None, seed: int, precision: str | None) -> dict[str, Any]:
    if precision is not None and precision not in PRECISIONS:
        raise UsageError(f"precision: {precision!r} is unknown, choose from {', '.join(PRECISIONS)}", field="precision")
    changes: dict[str, Any] = {"seed": seed}
    changes |= {} if steps is None else {"total_steps": steps}
    return changes | ({} if precision is None else {"precision": precision})


def _tune(given: Settings, embedder: list[str], deadline: Deadline) -> None:
    """All stages; what could go wrong after the training is tried before it."""
    from arctone.workflows.fine_tune import run

    with waiting("opening the model"):
        listeners = run.open_embedders(embedder, _tell) if given.num_prompts else []
        if given.num_prompts:
            importlib.import_module("jinja2")
        opened = run.open_sounds(given, _tell)
        before = run.untuned(given)
    run.begin(given)
    with counted_bar("", quiet=False) as show:
        stage = run.tuning_stage(given, opened, show)
        plan = None
        if given.num_prompts:
            plan = run.plan_report(given, opened, before.config.dit.max_seconds)
            plan = run.generate_before(given, plan, before, deadline, show)
    trainer = train(stage, deadline, plan.seconds if plan else 0.0)
    if plan:
        from arctone.workflows.fine_tune.report import write_report

        with counted_bar("report:", quiet=False) as show:
            tuned = run.compare(given, opened, listeners, show, plan)
        typer.echo(write_report(given, tuned, before.name, trainer.step))
    typer.echo(given.out)


def _tell(sentence: str) -> None:
    typer.echo(sentence, err=True)


app = typer.Typer(
    no_args_is_help=True, help="Train models: the autoencoder, then the flow on its latents, then fewer steps."
)

LatentsOption = Annotated[
    str,
    typer.Option(
        help="Folder that `arctone data encode` wrote, or WebDataset shards of latents: 'latents/{000..099}.tar', "
        "'pipe:aws s3 cp s3://bucket/{000..099}.tar -'; they are stored in the folder of --out first"
    ),
]
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
    deadline = options.deadline()
    from arctone.training import stages

    plan = options.plan("autoencoder_loop")
    use_threads(options.threads)
    options.refuse_plan()
    train(stages.AutoencoderStage(plan, data, options.out, options.init_folder()), deadline)


@app.command()
@with_training_options
def decoder(
    options: TrainingOptions,
    data: Annotated[str, typer.Option(help="A folder, a manifest, shards, or corpus:")] = "corpus:",
) -> None:
    """Train a decoder alone, for the latents of the model of --init, whose encoder stays as it is.

    A spectral decoder continues to train, and everything that was trained on its latents keeps fitting. For the latents
    of a waveform autoencoder a new decoder is trained, which decodes in a fraction of the time.

    Example: arctone train decoder --init spark --data my-sounds/ --out runs/clearer
    """
    deadline = options.deadline()
    from arctone.training import stages

    plan = options.plan("decoder_loop")
    use_threads(options.threads)
    options.refuse_plan()
    train(stages.decoder_stage(plan, data, options.out, options.init_folder()), deadline)


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
    deadline = options.deadline()
    from arctone.training import stages

    plan = options.plan("flow_loop")
    use_threads(options.threads)
    latents = store_shards(latents, options.init_folder() or options.out, options.out)
    stage = stages.FlowStage(plan, latents, options.out, options.init_folder(), new_weights)
    plan_or_train(stage, deadline, plan_only=options.plan_only)


@app.command()
@with_training_options
def arc(options: TrainingOptions, latents: LatentsOption, student: StudentOption = None) -> None:
    """Post-train a flow model adversarially (ARC), so that it makes sound in a few steps without guidance.

    The flow model is the one of --init, which also gives the sizes; losses and rates come from the recipe.

    Example: arctone train arc --latents runs/mine/latents --init runs/mine --recipe spark-minutes --out runs/fast
    """
    deadline = options.deadline()
    from arctone.training.post_training import ArcStage

    plan = options.plan("arc_loop")
    use_threads(options.threads)
    latents = store_shards(latents, options.init_folder(), options.out)
    stage = ArcStage(plan, latents, options.out, options.init_folder(), folder_of(student))
    plan_or_train(stage, deadline, plan_only=options.plan_only)


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
    deadline = options.deadline()
    from arctone.training.post_training import DistillStage

    plan = options.plan(f"{kind}_loop")
    use_threads(options.threads)
    latents = store_shards(latents, options.init_folder(), options.out)
    stage = DistillStage(plan, latents, options.out, options.init_folder(), kind, folder_of(student))
    plan_or_train(stage, deadline, plan_only=options.plan_only)


app.command()(lora)
