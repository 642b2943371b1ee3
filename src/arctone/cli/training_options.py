"""Options that every stage of training has, in one place."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arctone.cli.recipe_settings import changed
from arctone.errors import UsageError

if TYPE_CHECKING:
    from arctone.training.recipes import Recipe

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
        float | None, typer.Option(min=0.01, help="Stop after so many minutes; progress is kept")
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
    demo_every: Annotated[int, typer.Option(min=0, help="Write demo audio every so many steps; 0 = never")] = 0
    init: Annotated[
        str | None, typer.Option(help="A model, by name or folder, whose weights a new run begins with")
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of the stage's recipe; may be repeated"),
    ] = None

    def plan(self, loop: str) -> Recipe:
        """The recipe with what was asked put into the stage's loop, the field named so, and into its other settings.

        Raises: UsageError.
        """
        from arctone.training.recipes import recipe

        plan = recipe(self.recipe or self._usual_recipe())
        if self.precision is not None and self.precision not in PRECISIONS:
            raise UsageError(
                f"precision: {self.precision!r} is unknown, choose from {', '.join(PRECISIONS)}", field="precision"
            )
        changes: dict[str, Any] = {"max_minutes": self.max_minutes, "seed": self.seed, "demo_every": self.demo_every}
        changes |= {} if self.steps is None else {"total_steps": self.steps}
        optional = {name: getattr(self, name) for name in ("precision", "checkpoint_activations")}
        changes |= {name: value for name, value in optional.items() if value is not None}
        replaced: dict[str, Any] = {loop: dataclasses.replace(getattr(plan, loop), **changes)}
        planned: Recipe = changed(
            dataclasses.replace(plan, **replaced), (loop.removesuffix("_loop"), loop), self.settings or ()
        )
        return planned

    def refuse_plan(self) -> None:
        """Raises UsageError where --plan is given to a stage that has none."""
        if self.plan_only:
            raise UsageError("plan: only flow, arc and distill, which train on latents, can be planned")

    def _usual_recipe(self) -> str:
        from arctone.model_folder.folder import read_model_config
        from arctone.training.recipes import USUAL_RECIPES

        folder = self.init_folder()
        return "spark" if folder is None else USUAL_RECIPES[type(read_model_config(folder).dit)]

    def init_folder(self) -> Path | None:
        """Where the model to begin with lies. Raises: ModelError if there is none."""
        return folder_of(self.init)


def folder_of(name: str | None) -> Path | None:
    """Where a model lies, if one is named. Raises: ModelError if there is none of that name."""
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
