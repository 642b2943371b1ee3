"""Making one line of a batch: its files appear whole or not at all, so that a stopped batch goes on."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from arctone.audio.files import write_audio
from arctone.audio.tags import read_metadata
from arctone.audio.waveform import Waveform
from arctone.errors import UsageError
from arctone.flow.noise import draw_seed
from arctone.inference.request import GenerationResult
from arctone.inference.source_file import read_source
from arctone.serving.batch.lines import Line


def with_seed(line: Line) -> Line:
    """The same line with a seed: its own, or one drawn now."""
    if line.request.seed is not None:
        return line
    return dataclasses.replace(line, request=msgspec.structs.replace(line.request, seed=draw_seed()))


def read_line_source(line: Line) -> tuple[Waveform | None, str]:
    """The sound that a line edits and its name. Raises: InputFileError if it cannot be read."""
    return read_source(line.source) if line.source else (None, "")


def write_line(line: Line, result: GenerationResult) -> None:
    """Write the files of a line. Raises: UsageError if they cannot be written."""
    for item, (path, sound) in enumerate(zip(line.paths, result.waveforms, strict=True)):
        write_audio(path, sound, metadata=result.to_metadata(item), force=True)


def is_done(line: Line, precision: str = "auto") -> bool:
    """Whether all files of a line are there.

    Raises: UsageError if one is there that was made by another request or in another precision.
    """
    there = [path for path in line.paths if os.path.lexists(path)]
    for path in there:
        _check_same(line, path, precision)
    return len(there) == len(line.paths)


def _check_same(line: Line, path: Path, precision: str) -> None:
    if not path.is_file():
        raise UsageError(f"{path} is no regular file, so it cannot be replaced.", field="id")
    record = read_metadata(path) or {}
    found = record.get("request")
    name = line.source.name if line.source else None
    source = record.get("source")
    same_source = (source.get("name") if isinstance(source, dict) else None) == name
    if not isinstance(found, dict) or not same_source or any(found.get(key) != value for key, value in _fixed(line)):
        raise UsageError(f"{path} is there, but it was not made by this line; it is replaced only with --force.")
    made_in = record.get("precision", "auto")
    if made_in != precision:
        raise UsageError(
            f"{path} is there, but it was made with precision {made_in}, not {precision}; it is replaced only with "
            "--force."
        )


def _fixed(line: Line) -> Iterator[tuple[str, Any]]:
    """What the record of every file of a line must say."""
    stored = msgspec.to_builtins(line.request)
    for key in line.asked:
        if key not in ("variations", "seed", "threads"):
            yield key, stored[key]
