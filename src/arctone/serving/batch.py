"""Batches from a file: JSON lines in, named sounds and a report out."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from arctone.audio.files import write_audio
from arctone.audio.tags import read_metadata
from arctone.audio.waveform import Waveform
from arctone.errors import ArctoneError, InputFileError, UsageError
from arctone.files.text import parse_json, read_bytes
from arctone.inference.request import GenerationRequest, GenerationResult, from_dict, named_fields
from arctone.inference.request_fields import draw_seed
from arctone.inference.source_file import read_source

_SLUG_LENGTH = 40
# Every common file system takes 255 bytes; the number of a variation and the ending need some of them.
MAX_NAME_BYTES = 240
_ID = re.compile(r"\w[\w. +-]*")
# Windows keeps these for devices, whatever their ending.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
ALLOWED_ID = (
    f"a file name without its ending: letters, digits, spaces and . + - _, at most {MAX_NAME_BYTES} bytes, no dot or "
    "space at its end, no name of a Windows device"
)


def slug(prompt: str) -> str:
    """A prompt as a file name: lower-case words joined by hyphens, at most 40 characters, never empty.

    >>> slug("Funky drum loop, 120 BPM!")
    'funky-drum-loop-120-bpm'
    """
    words = re.findall(r"\w+", prompt.lower())
    text = ""
    for word in words:
        if len(text) + len(word) + 1 > _SLUG_LENGTH:
            break
        text = f"{text}-{word}" if text else word
    return text or "sound"


def check_id(value: object) -> str:
    """Check an id that becomes the name of a file.

    Args:
        value: The id.

    Returns:
        The id.

    Raises:
        UsageError: If some system could not have a file of that name.

    >>> check_id("door 3")
    'door 3'
    """
    fits = isinstance(value, str) and _ID.fullmatch(value) and len(value.encode(errors="replace")) <= MAX_NAME_BYTES
    if not fits or value.endswith((".", " ")) or value.partition(".")[0].strip().lower() in _DEVICES:  # type: ignore[attr-defined]
        raise UsageError(field="id", value=value, allowed=ALLOWED_ID)
    return str(value)


@dataclass(frozen=True)
class Line:
    """One request of the file: its number (from 1), what was asked, the sound it edits, and where the result goes."""

    number: int
    request: GenerationRequest
    asked: dict[str, Any]
    source: Path | None
    paths: tuple[Path, ...]


def read_lines(path: Path, options: Mapping[str, Any], folder: Path, format: str, report: Report) -> list[Line]:
    """Read the requests of a file; lines that cannot be used go into the report.

    Args:
        path: One JSON object a line: fields of a request, and if wanted `id` (the file's name) and `source` (a sound,
            relative to this file). Empty lines are passed over.
        options: Fields for the lines that do not say otherwise.
        folder: Of the results.
        format: Of the results.
        report: Receives the lines that cannot be used.

    Returns:
        The other lines.

    Raises:
        InputFileError: If the file cannot be read.
    """
    lines: list[Line] = []
    # Some systems tell neither letter case nor Unicode forms apart.
    taken: dict[str, int] = {}
    for number, text in enumerate(_texts(path), start=1):
        if not text.strip():
            continue
        try:
            line = _parsed(number, text, path.parent, options, folder, format)
            keys = [unicodedata.normalize("NFC", str(target)).casefold() for target in line.paths]
            for target, key in zip(line.paths, keys, strict=True):
                if key in taken:
                    raise UsageError(
                        f"its file {target.name} is that of line {taken[key]} too; give another id.", field="id"
                    )
            taken |= dict.fromkeys(keys, number)
            lines.append(line)
        except UsageError as problem:
            report.failed[number] = problem
    return lines


def _texts(path: Path) -> Iterator[str]:
    data = read_bytes(path)
    if not data.strip():
        raise InputFileError(f"{path} is empty.")
    for line in data.removeprefix(b"\xef\xbb\xbf").splitlines():
        yield line.decode("utf-8", "surrogateescape")


def _parsed(
    number: int, text: str, folder_of_file: Path, options: Mapping[str, Any], folder: Path, format: str
) -> Line:
    values = _object(text)
    stem, source = values.pop("id", None), values.pop("source", None)
    if stem is not None:
        check_id(stem)
    if source is not None and not isinstance(source, str):
        raise UsageError(f"source must be the path of a sound file, got {json.dumps(source)[:60]}.", field="source")
    asked = {**options, **named_fields(values)}
    request = from_dict(asked)
    name = stem or f"{number:04d}-{slug(request.prompt)}"
    count = request.variations
    names = [f"{name}-{item + 1}" if count > 1 else name for item in range(count)]
    paths = tuple(folder / f"{each}.{format}" for each in names)
    return Line(number, request, asked, folder_of_file / source if source else None, paths)


def _object(text: str) -> dict[str, Any]:
    try:
        values = parse_json(text)
    except ValueError as problem:
        raise UsageError(f"it is not valid JSON: {problem}.") from None
    if not isinstance(values, dict):
        raise UsageError("it must be a JSON object with the fields of a request.")
    return values


_MAX_SHOWN = 20


@dataclass
class Report:
    """What became of each line, by its number."""

    made: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    failed: dict[int, ArctoneError] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0, or the code of the first line that failed."""
        return self.failed[min(self.failed)].exit_code if self.failed else 0

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        failed = {str(number): str(problem) for number, problem in sorted(self.failed.items())}
        return {"made": self.made, "skipped": self.skipped, "failed": failed}

    def sentences(self) -> Iterator[str]:
        """For people: the lines that failed, then the counts."""
        numbers = sorted(self.failed)
        for number in numbers[:_MAX_SHOWN]:
            yield f"error: line {number}: {self.failed[number]}"
        if len(numbers) > _MAX_SHOWN:
            yield f"and {len(numbers) - _MAX_SHOWN} more lines failed."
        yield f"{len(self.made)} made, {len(self.skipped)} already there, {len(numbers)} failed"


def with_seed(line: Line) -> Line:
    """The same line with a seed: its own, or one drawn now."""
    if line.request.seed is not None:
        return line
    return dataclasses.replace(line, request=msgspec.structs.replace(line.request, seed=draw_seed()))


def read_line_source(line: Line) -> tuple[Waveform | None, str]:
    """Read the sound that a line edits.

    Args:
        line: The line.

    Returns:
        The sound, if there is one, and its name.

    Raises:
        InputFileError: If it cannot be read.
    """
    return read_source(line.source) if line.source else (None, "")


def write_line(line: Line, result: GenerationResult) -> None:
    """Write the files of a line.

    Args:
        line: The line.
        result: Its sounds.

    Raises:
        UsageError: If they cannot be written.
    """
    for item, (path, sound) in enumerate(zip(line.paths, result.waveforms, strict=True)):
        write_audio(path, sound, metadata=result.to_metadata(item), force=True)


def is_done(line: Line, precision: str = "auto") -> bool:
    """Whether all files of a line are there.

    Args:
        line: The line.
        precision: Of the weights.

    Returns:
        True if they are.

    Raises:
        UsageError: If one is there that was made by another request or in another precision.
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
    same_choice = (record.get("selection") is not None) == line.request.diverse
    is_same = same_source and same_choice
    if not isinstance(found, dict) or not is_same or any(found.get(key) != value for key, value in _fixed(line)):
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
        if key not in ("variations", "seed", "threads", "diverse"):
            yield key, stored[key]
