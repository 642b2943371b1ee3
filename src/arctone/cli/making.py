"""A request brought to its end on a model, with progress on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from arctone.cli.progress import finished
from arctone.inference.request import GenerationRequest, GenerationResult
from arctone.inference.source_file import SourceFile

if TYPE_CHECKING:
    from arctone.inference.engine import Model

# As in arctone.inference.engine, which is not imported before there is something to make.
EngineName = Literal["auto", "native", "torch"]
PrecisionName = Literal["auto", "float32", "bfloat16", "int8"]
ENGINE_HELP = "auto, native (needs no torch) or torch."
PRECISION_HELP = "Of the torch engine: auto (that of the model's files), float32, bfloat16 or int8."


def loaded(
    model: str,
    engine: EngineName,
    threads: int | None,
    adapters: Sequence[tuple[Path, float]] = (),
    precision: PrecisionName = "auto",
) -> Model:
    """The model. Raises: ModelError for an unknown or damaged one."""
    import arctone

    return arctone.load(model, engine=engine, threads=threads, adapters=adapters, precision=precision)


def made(
    request: GenerationRequest,
    model: str,
    engine: EngineName,
    *,
    quiet: bool,
    source: SourceFile | None = None,
    adapters: Sequence[tuple[Path, float]] = (),
    precision: PrecisionName = "auto",
) -> GenerationResult:
    """The sounds of a request, which may edit a source.

    Raises: ModelError for an unknown or damaged model, and what the engine raises.
    """
    waveform, name = source or (None, "")
    opened = loaded(model, engine, request.threads, adapters, precision)
    return finished(opened.engine.stream(request, None, waveform, name), request.variations, quiet=quiet)
