"""Options that say which model is opened and how; the same for every command that generates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arctone.cli.progress import finished
from arctone.errors import UsageError
from arctone.inference.load_options import DeviceName, EngineName, LoadOptions, PrecisionName, help_of
from arctone.inference.request import GenerationRequest, GenerationResult
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

    Raises:
        ModelError: for an unknown or damaged model.
        UsageError: for options that do not go together.
    """
    from arctone.inference.loading import load_model

    return load_model(name, options)


def run_request(
    request: GenerationRequest, model: str, options: LoadOptions, *, quiet: bool, source: SourceFile | None = None
) -> GenerationResult:
    """Open a model and generate the sounds of a request, which may edit a source, with progress on the terminal.

    Raises:
        ModelError: for an unknown or damaged model.
        ArctoneError: whatever else the engine raises.
    """
    waveform, name = source or (None, "")
    events = open_model(model, options).engine.stream(request, None, waveform, name)
    return finished(events, request.variations, quiet=quiet)


def parse_adapters(options: Sequence[str] | None) -> tuple[tuple[Path, float], ...]:
    """Read folders and strengths from `--lora` options.

    Raises:
        UsageError: for an empty path or a strength that is no finite number.
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
