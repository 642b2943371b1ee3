"""A request brought to its end on a model, with progress on the terminal."""

from __future__ import annotations

from typing import Literal

from arctone.cli.progress import finished
from arctone.cli.source_options import SourceFile
from arctone.request import GenerationRequest, GenerationResult

# As in arctone.engine, which is not imported before there is something to make.
EngineName = Literal["auto", "native", "torch"]
ENGINE_HELP = "auto, native (needs no torch) or torch."


def made(
    request: GenerationRequest, model: str, engine: EngineName, *, quiet: bool, source: SourceFile | None = None
) -> GenerationResult:
    """The sounds of a request, which may edit a source.

    Raises: ModelError for an unknown or damaged model, and what the engine raises.
    """
    import arctone

    loaded = arctone.load(model, engine=engine, threads=request.threads)
    waveform, name = source or (None, "")
    return finished(loaded.engine.stream(request, None, waveform, name), request.variations, quiet=quiet)
