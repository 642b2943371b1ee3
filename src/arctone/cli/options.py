"""Options that generate, serve, batch and bench share: the model and how it is loaded; fields of a request."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arctone.cli.output import finished, waiting
from arctone.errors import UsageError
from arctone.inference.load_options import DeviceName, EngineName, LoadOptions, PrecisionName, help_of
from arctone.inference.request import FIELDS, GenerationRequest, GenerationResult, validate
from arctone.inference.request_fields import RequestField, as_written, option_names
from arctone.inference.source_file import SourceFile

if TYPE_CHECKING:
    from arctone.inference.engine import Model


ModelOption = Annotated[str, typer.Option("-m", "--model", metavar="NAME", help="Name or folder of a model.")]
EngineOption = Annotated[EngineName, typer.Option("--engine", metavar="NAME", help=help_of("engine"))]
DeviceOption = Annotated[DeviceName, typer.Option("--device", metavar="NAME", help=help_of("device"))]
PrecisionOption = Annotated[PrecisionName, typer.Option("--precision", metavar="NAME", help=help_of("precision"))]
CompiledOption = Annotated[bool, typer.Option("--compiled", help=help_of("compiled"))]
LoraOption = Annotated[
    list[str] | None,
    typer.Option(
        "--lora",
        metavar="PATH[:STRENGTH]",
        help="Adapter folder of arctone train lora, and how strong: 1 as trained (if not given), 0 not at all. "
        "Repeatable. Needs torch.",
    ),
]


def open_model(name: str, options: LoadOptions) -> Model:
    """Open a model; the libraries it needs are imported only now.

    Args:
        name: Name or folder.
        options: How it is opened.

    Returns:
        The model.

    Raises:
        ModelError: For an unknown or damaged model.
        UsageError: For options that do not go together.
    """
    from arctone.inference.loading import load_model

    return load_model(name, options)


def run_request(
    request: GenerationRequest, model: str, options: LoadOptions, *, quiet: bool, source: SourceFile | None = None
) -> GenerationResult:
    """Open a model and generate the sounds of a request, which may edit a source, with progress on the terminal.

    Args:
        request: The request.
        model: Name or folder.
        options: How the model is opened.
        quiet: No progress.
        source: The sound that is edited.

    Returns:
        The sounds.

    Raises:
        ModelError: For an unknown or damaged model.
        ArctoneError: Whatever else the engine raises.
    """
    waveform, name = source or (None, "")
    with waiting("opening the model", quiet):
        engine = open_model(model, options).engine
    events = engine.stream(request, None, waveform, name)
    return finished(events, request.variations, quiet=quiet)


def parse_adapters(options: Sequence[str] | None) -> tuple[tuple[Path, float], ...]:
    """Read folders and strengths from `--lora` options.

    Args:
        options: FOLDER or FOLDER=STRENGTH each; None = none.

    Returns:
        Folders with their strengths.

    Raises:
        UsageError: For an empty path or a strength that is no finite number.
    """
    return tuple(_parse_adapter(option) for option in options or ())


def _parse_adapter(option: str) -> tuple[Path, float]:
    path, colon, text = option.rpartition(":")
    # A folder may have a colon in its name, and a Windows path has one after the drive.
    if not colon or Path(option).expanduser().is_dir() or "/" in text or "\\" in text:
        path, text = option, "1"
    try:
        strength = float(text)
    except ValueError:
        strength = math.nan
    if not path or not math.isfinite(strength):
        raise UsageError(
            f"lora: {option!r} must be PATH or PATH:STRENGTH with a finite number, such as runs/mine:0.8", field="lora"
        )
    return Path(path).expanduser(), strength


_METAVARS = {int: "NUMBER", float: "NUMBER", str: "TEXT", tuple: "A:B"}
# Set by the option that brings the source (--continue), and so without one of its own.
_WITHOUT_OPTION = ("extend",)


def with_request_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each field of a request but the prompt; it is called with `options`, a dict by
    field name that holds what the user wrote.
    """

    def called(**arguments: Any) -> None:
        written = {field.name: arguments.pop(field.name) for field in _optional_fields()}
        command(options={name: value for name, value in written.items() if value not in (None, [])}, **arguments)

    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "options"]
    parameters = [*own, *(_parameter(field) for field in _optional_fields())]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    described: Any = called
    described.__name__, described.__doc__ = command.__name__, command.__doc__
    described.__signature__ = inspect.Signature(parameters)
    described.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def request_from(prompt: str, options: dict[str, Any]) -> GenerationRequest:
    """Make a request of what was written on the command line.

    Args:
        prompt: The prompt.
        options: Fields as they were written.

    Returns:
        The request, checked.

    Raises:
        UsageError: In one sentence.
    """
    request = GenerationRequest(prompt=prompt, **option_values(options))
    validate(request)
    return request


def option_values(options: dict[str, Any]) -> dict[str, Any]:
    """What was written, as the types of the fields; not checked yet."""
    kinds = {field.name: field.kind for field in FIELDS}
    return {name: as_written(written, kinds[name]) for name, written in options.items()}


def _optional_fields() -> list[RequestField]:
    return [field for field in FIELDS if not field.required and field.name not in _WITHOUT_OPTION]


def _parameter(field: RequestField) -> inspect.Parameter:
    if field.kind is bool:
        flag = typer.Option(*option_names(field), help=_help(field), show_default=False)
        return inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[bool | None, flag]
        )
    option = typer.Option(*option_names(field), help=_help(field), metavar=_metavar(field), show_default=False)
    if field.kind is tuple:
        return inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[list[str] | None, option]
        )
    # Text, because the request's own check gives the better sentence for "abc" and "nan".
    annotation = Annotated[str | None, option]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help(field: RequestField) -> str:
    if field.default in (None, "", False, ()):
        default = "Default: the model's own." if field.name in _MODEL_DEFAULTS else ""
    else:
        default = f"Default: {field.default}."
    limits = "May be given several times." if field.kind is tuple else ""
    if field.kind in (int, float):
        limits = f"{field.allowed[0].upper()}{field.allowed[1:]}."
    return " ".join(part for part in (field.help, limits, default) if part)


def _metavar(field: RequestField) -> str:
    return "|".join(field.choices) if field.choices else _METAVARS[field.kind]


_MODEL_DEFAULTS = ("duration_seconds", "steps", "cfg_scale", "sampler")
