"""Options of every `arctone train` command: recipe, its settings, loop, limits, and the run itself."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import os
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from arctone.cli.output import counted_bar, waiting
from arctone.errors import UsageError

if TYPE_CHECKING:
    from arctone.training.loop import Trainer
    from arctone.training.recipes import Recipe
    from arctone.training.stages import Stage
    from arctone.workflows.time_limit import Deadline


def changed(recipe: Any, parts: Sequence[str], settings: Sequence[str]) -> Any:
    """Change settings of some parts of a recipe.

    Args:
        recipe: A dataclass of dataclasses.
        parts: Its fields that may be changed; the first that has a name counts.
        settings: NAME=VALUE each; tuples are written 1,2,4, the optimiser of one network ROLE.NAME=VALUE.

    Returns:
        The changed recipe.

    Raises:
        UsageError: That names the setting, its value and what is allowed.
    """
    changes: dict[str, dict[str, Any]] = {}
    sections: dict[tuple[str, str], dict[str, Any]] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"set: {setting!r} must have the form NAME=VALUE", field="set")
        if "." in name:
            part, section, field = _section(recipe, parts, name)
            if not section:
                recipe = _with_role(recipe, parts, name, text)
                continue
            kind = typing.get_type_hints(type(section))[field]
            sections.setdefault((part, name.partition(".")[0]), {})[field] = _converted(name, text, kind)
            continue
        part = _owner(recipe, parts, name)
        kind = typing.get_type_hints(type(getattr(recipe, part)))[name]
        changes.setdefault(part, {})[name] = _converted(name, text, kind)
    for (part, title), values in sections.items():
        changed_section = dataclasses.replace(getattr(getattr(recipe, part), title), **values)
        changes.setdefault(part, {})[title] = changed_section
    # All at once, because some settings are only possible together.
    replaced = {part: dataclasses.replace(getattr(recipe, part), **values) for part, values in changes.items()}
    return dataclasses.replace(recipe, **replaced)


def _section(recipe: Any, parts: Sequence[str], name: str) -> tuple[str, Any, str]:
    """The part, the section and the field that a name such as teacher.weight means; no section for other names.

    A section may have the name of a network, whose optimiser then has all other fields.
    """
    title, _, field = name.partition(".")
    for part in parts:
        section = getattr(getattr(recipe, part), title, None)
        if dataclasses.is_dataclass(section):
            known = [one.name for one in dataclasses.fields(section)]
            if field in known:
                return part, section, field
            if not any(title in getattr(getattr(recipe, other), "roles", ()) for other in parts):
                near = difflib.get_close_matches(field, known, n=1)
                hint = f"did you mean {title}.{near[0]}?" if near else f"choose from {', '.join(sorted(known))}"
                raise UsageError(f"set: {name!r} is unknown, {hint}")
    return "", None, ""


def _with_role(recipe: Any, parts: Sequence[str], name: str, text: str) -> Any:
    """The recipe with a setting of the optimiser of one role changed."""
    role, _, field = name.partition(".")
    loops = {part: value for part in parts if getattr(value := getattr(recipe, part), "roles", None)}
    known = {owned: part for part, loop in loops.items() for owned in loop.roles}
    if role not in known:
        allowed = f"choose from {', '.join(known)}" if known else "this stage has one network; leave the role out"
        raise UsageError(f"set: {name!r} names no network of its own, {allowed}", field="set")
    loop = loops[known[role]]
    optimiser = changed(_Named(loop.of_role(role)), ("optimiser",), [f"{field}={text}"]).optimiser
    roles = {**loop.roles, role: optimiser}
    return dataclasses.replace(recipe, **{known[role]: dataclasses.replace(loop, roles=roles)})


@dataclasses.dataclass(frozen=True)
class _Named:
    optimiser: Any


def _owner(recipe: Any, parts: Sequence[str], name: str) -> str:
    known: dict[str, str] = {}
    for part in parts:
        for field in dataclasses.fields(getattr(recipe, part)):
            known.setdefault(field.name, part)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(sorted(known))}"
        raise UsageError(f"set: {name!r} is unknown, {hint}", field="set")
    return known[name]


def _converted(name: str, text: str, kind: Any) -> Any:
    raw: Any = text.split(",") if typing.get_origin(kind) is tuple else text
    try:
        return msgspec.convert(raw, kind, strict=False)
    except (msgspec.ValidationError, TypeError) as problem:
        raise UsageError(
            f"set: {name} cannot be {text!r}: {str(problem)[:1].lower()}{str(problem)[1:]}", field="set"
        ) from None


PRECISIONS = ("bf16-mixed", "16-mixed", "32-true")


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """What the user asked of a stage; the fields are the options."""

    out: Annotated[Path, typer.Option("--out", "-o", help="Model folder; an interrupted run continues there")] = Path(
        "runs/spark"
    )
    recipe: Annotated[
        str | None,
        typer.Option(
            help="paper and paper-rollout (published models), spark, spark-2, spark-steps and spark-arc (bundled "
            "models), spark-minutes (minutes on two cores); the one that suits the type of --init if not given"
        ),
    ] = None
    steps: Annotated[int | None, typer.Option(min=1, help="Steps in all; the recipe's own if not given")] = None
    max_minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help="Be done after this many minutes, preparation included; progress is kept"),
    ] = None
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, batches and noise")] = 0
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all if not given")] = None
    precision: Annotated[str | None, typer.Option(help=f"{', '.join(PRECISIONS)}; the recipe's own if not given")] = (
        None
    )
    checkpoint_activations: Annotated[
        bool | None,
        typer.Option(help="Compute blocks again on the way back: less memory; the recipe's own if not given"),
    ] = None
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Print parameters, memory and measured speed, and train nothing")
    ] = False
    demo_every: Annotated[int, typer.Option(min=0, help="Write demo audio every N steps; 0 = never")] = 0
    init: Annotated[
        str | None, typer.Option(help="A model, by name or folder, whose weights a new run begins with")
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of the stage's recipe; may be repeated"),
    ] = None

    def plan(self, loop: str) -> Recipe:
        """Put the options into a recipe.

        Args:
            loop: Name of the field that holds the settings of the stage's loop.

        Returns:
            The changed recipe.

        Raises:
            UsageError: If an option does not fit the stage.
        """
        from arctone.training.recipes import recipe

        plan = recipe(self.recipe or self._usual_recipe())
        if self.precision is not None and self.precision not in PRECISIONS:
            raise UsageError(
                f"precision: {self.precision!r} is unknown, choose from {', '.join(PRECISIONS)}", field="precision"
            )
        changes: dict[str, Any] = {"seed": self.seed, "demo_every": self.demo_every}
        changes |= {} if self.steps is None else {"total_steps": self.steps}
        optional = {name: getattr(self, name) for name in ("precision", "checkpoint_activations")}
        changes |= {name: value for name, value in optional.items() if value is not None}
        replaced: dict[str, Any] = {loop: dataclasses.replace(getattr(plan, loop), **changes)}
        planned: Recipe = changed(
            dataclasses.replace(plan, **replaced), (loop.removesuffix("_loop"), loop), self.settings or ()
        )
        return planned

    def deadline(self) -> Deadline:
        """When a command that begins now must be done."""
        from arctone.workflows.time_limit import Deadline

        return Deadline(self.max_minutes)

    def refuse_plan(self) -> None:
        """Raises UsageError where --plan is given to a stage that has none."""
        if self.plan_only:
            raise UsageError("plan: only flow, arc and distill, which train on latents, can be planned")

    def _usual_recipe(self) -> str:
        from arctone.model_folder.folder import read_model_config
        from arctone.training.recipes import usual_recipe

        folder = self.init_folder()
        return "spark" if folder is None else usual_recipe(type(read_model_config(folder).dit))

    def init_folder(self) -> Path | None:
        """Find the model to begin with.

        Returns:
            Its folder; None if none is named.

        Raises:
            ModelError: If there is none.
        """
        return folder_of(self.init)


def folder_of(name: str | None) -> Path | None:
    """Find the folder of a model.

    Args:
        name: Name or folder of the model; None = none.

    Returns:
        The folder, or None.

    Raises:
        ModelError: If there is none of that name.
    """
    from arctone.model_folder.folder import find_model

    return None if name is None else find_model(name)


def with_training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of TrainingOptions; it is called with `options`."""
    fields = inspect.signature(TrainingOptions, eval_str=True).parameters

    def called(**arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in fields}
        command(options=TrainingOptions(**given), **arguments)

    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "options"]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *fields.values())]
    described: Any = called
    described.__name__, described.__doc__ = command.__name__, command.__doc__
    described.__signature__ = inspect.Signature(parameters)
    described.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def store_shards(latents: str, model: Path | None, out: Path) -> str:
    """Stores shards of latents in the folder that is trained in, with a progress bar.

    Args:
        latents: Folder or shards.
        model: Whose latents they are; None leaves it to the stage to refuse that.
        out: Folder of the run.

    Returns:
        Folder of the latents; in other processes than the first the shards, which the stage then finds stored.
    """
    from arctone.data.latent_shards import STORED_LATENTS, are_shards, read_stored_latents

    # Of several processes the first stores them; the others wait in the stage.
    if model is None or not are_shards(latents) or os.environ.get("RANK", "0") != "0":
        return latents
    with counted_bar("storing latents,", quiet=False) as show:
        return str(read_stored_latents(latents, model, out / STORED_LATENTS, show))


def use_threads(threads: int | None) -> None:
    """Sets the CPU threads of this process; None leaves them."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def plan_or_train(stage: Stage, deadline: Deadline, *, plan_only: bool) -> None:
    """Prints what a stage will take, or trains it.

    Args:
        stage: On latents.
        deadline: Of the command.
        plan_only: Whether nothing is trained.
    """
    if not plan_only:
        train(stage, deadline)
        return
    from arctone.training.plan import plan_stage

    for line in plan_stage(stage).lines():
        typer.echo(line)


# What preparation may take of a limit of time: features of fewer clips leave time to train on them.
_SHARE_OF_PREPARATION = 1 / 3


def train(stage: Stage, deadline: Deadline, reserve: float = 0.0) -> Trainer:
    """Trains a stage with a progress bar, then writes the model; an interruption keeps the checkpoint and the model so
    far, a failure what was there before.

    Args:
        stage: What is trained.
        deadline: Of the command.
        reserve: Seconds that the command needs afterwards.

    Returns:
        The trainer at its end.
    """
    from arctone.training.stages import run_stage

    def run(trainer: Trainer) -> None:
        trainer.config = dataclasses.replace(trainer.config, max_minutes=deadline.minutes_of_training(reserve))
        run_with_bar(trainer)

    trainer = run_stage(_Shown(stage, deadline), run)
    _tell_end(trainer)
    return trainer


class _Shown:
    """A stage whose preparation and writing are shown, and which prepares no longer than the time allows."""

    def __init__(self, stage: Stage, deadline: Deadline) -> None:
        self._stage, self._deadline = stage, deadline

    def trainer(self) -> Trainer:
        """See `Stage`."""
        stage: Any = self._stage
        with counted_bar("preparing", quiet=False) as show:
            if hasattr(stage, "on_clip"):
                seconds = _SHARE_OF_PREPARATION * self._deadline.seconds_left() if self._deadline.is_set else None
                stage = dataclasses.replace(stage, on_clip=show, max_seconds=seconds)
            trainer: Trainer = stage.trainer()
            return trainer

    def finish(self, trainer: Trainer) -> None:
        """See `Stage`."""
        with waiting("writing the model"):
            self._stage.finish(trainer)


def run_with_bar(trainer: Trainer) -> None:
    """Runs a trainer to its end with a progress bar, which the first process alone shows.

    Args:
        trainer: At its beginning, or where an interrupted run stopped.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    hidden = not trainer.fabric.is_global_zero
    with Progress(*columns, console=Console(stderr=True), disable=hidden) as progress:
        task = progress.add_task("", total=trainer.config.total_steps, completed=trainer.step)

        def show(step: int, means: dict[str, float]) -> None:
            losses = (f"{name} {means[name]:.3f}" for name in means if name.endswith("total"))
            progress.update(task, completed=step, description=", ".join(losses).replace("total", "loss"))

        trainer.run(show)


def _tell_end(trainer: Trainer) -> None:
    if trainer.fabric.is_global_zero:
        done = f"{trainer.step} of {trainer.config.total_steps} steps done, weights in {trainer.folder.parent}"
        typer.echo(done, err=True)
