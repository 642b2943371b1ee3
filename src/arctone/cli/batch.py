"""Many requests from one JSONL file: checked first, made one after another, resumed where they stopped."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from arctone.audio.files import FORMATS, write_audio
from arctone.audio.metadata import read_metadata
from arctone.cli.progress import finished
from arctone.cli.source_options import read_source
from arctone.cli.targets import slug
from arctone.errors import ArctoneError, InputFileError, UsageError
from arctone.flow.noise import draw_seed
from arctone.request import GenerationRequest, from_dict, named_fields

if TYPE_CHECKING:
    from arctone.engine import Model

_ID = re.compile(r"\w[\w. +-]{0,99}")
_MAX_SHOWN = 20


@dataclass(frozen=True)
class Line:
    """One request of the file: its number (from 1), what was asked, the sound it edits, and where the result goes."""

    number: int
    request: GenerationRequest
    asked: dict[str, Any]
    source: Path | None
    paths: tuple[Path, ...]


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


def read_lines(path: Path, options: Mapping[str, Any], folder: Path, format: str, report: Report) -> list[Line]:
    """The requests of a file; lines that cannot be used go into the report.

    Args: path: one JSON object a line: fields of a request, and if wanted `id` (the file's name) and `source` (a sound,
        relative to this file). Empty lines are passed over. options: fields for the lines that do not say otherwise.
        folder, format: of the results.
    Raises: InputFileError if the file cannot be read.
    """
    lines: list[Line] = []
    taken: dict[Path, int] = {}
    for number, text in enumerate(_texts(path), start=1):
        if not text.strip():
            continue
        try:
            line = _parsed(number, text, path.parent, options, folder, format)
            for target in line.paths:
                if target in taken:
                    raise UsageError(f"its file {target.name} is that of line {taken[target]} too; give another id.")
            taken |= dict.fromkeys(line.paths, number)
            lines.append(line)
        except UsageError as problem:
            report.failed[number] = problem
    return lines


def make(lines: list[Line], model: Model, report: Report, *, force: bool, quiet: bool) -> None:
    """Make every line that is not there yet. Each file appears whole or not at all, so that a stopped batch goes on."""
    for line in lines:
        try:
            if not force and _is_done(line):
                report.skipped.append(line.number)
                continue
            _make(line, model, quiet=quiet)
            report.made.append(line.number)
            if not quiet:
                print(f"line {line.number}: {', '.join(str(path) for path in line.paths)}", file=sys.stderr)
        except (UsageError, InputFileError) as problem:
            report.failed[line.number] = problem


def _make(line: Line, model: Model, *, quiet: bool) -> None:
    waveform, name = read_source(line.source) if line.source else (None, "")
    seed = draw_seed() if line.request.seed is None else line.request.seed
    request = msgspec.structs.replace(line.request, seed=seed)
    result = finished(model.engine.stream(request, None, waveform, name), request.variations, quiet=quiet)
    for warning in result.warnings:
        print(f"warning: line {line.number}: {warning}", file=sys.stderr)
    for item, (path, sound) in enumerate(zip(line.paths, result.waveforms, strict=True)):
        write_audio(path, sound, metadata=result.to_metadata(item), force=True)


def _is_done(line: Line) -> bool:
    """Whether all files of a line are there. Raises: UsageError if one is there that was made by another request."""
    there = [path for path in line.paths if path.exists()]
    for path in there:
        _check_same(line, path)
    return len(there) == len(line.paths)


def _check_same(line: Line, path: Path) -> None:
    record = read_metadata(path) or {}
    found = record.get("request")
    name = line.source.name if line.source else None
    source = record.get("source")
    same_source = (source.get("name") if isinstance(source, dict) else None) == name
    if not isinstance(found, dict) or not same_source or any(found.get(key) != value for key, value in _fixed(line)):
        raise UsageError(f"{path} is there, but it was not made by this line; it is replaced only with --force.")


def _fixed(line: Line) -> Iterator[tuple[str, Any]]:
    """What the record of every file of a line must say."""
    stored = msgspec.to_builtins(line.request)
    for key in line.asked:
        if key not in ("variations", "seed", "threads"):
            yield key, stored[key]


def _texts(path: Path) -> Iterator[str]:
    try:
        data = path.read_bytes()
    except OSError as problem:
        reason = (problem.strerror or str(problem)).lower()
        raise InputFileError(f"{path} cannot be read: {reason}.") from None
    if not data.strip():
        raise InputFileError(f"{path} is empty.")
    for line in data.removeprefix(b"\xef\xbb\xbf").splitlines():
        yield line.decode("utf-8", "surrogateescape")


def _parsed(number: int, text: str, beside: Path, options: Mapping[str, Any], folder: Path, format: str) -> Line:
    values = _object(text)
    stem, source = values.pop("id", None), values.pop("source", None)
    if stem is not None and (not isinstance(stem, str) or not _ID.fullmatch(stem)):
        raise UsageError(f"id must be a file name without its ending, got {json.dumps(stem)[:60]}.")
    if source is not None and not isinstance(source, str):
        raise UsageError(f"source must be the path of a sound file, got {json.dumps(source)[:60]}.")
    asked = {**options, **named_fields(values)}
    request = from_dict(asked)
    name = stem or f"{number:04d}-{slug(request.prompt)}"
    count = request.variations
    names = [f"{name}-{item + 1}" if count > 1 else name for item in range(count)]
    paths = tuple(folder / f"{each}.{format}" for each in names)
    return Line(number, request, asked, beside / source if source else None, paths)


def _object(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as problem:
        raise UsageError(f"it is not valid JSON at column {problem.colno}: {problem.msg.lower()}.") from None
    except (ValueError, RecursionError):
        raise UsageError("it is not valid JSON.") from None
    if not isinstance(values, dict):
        raise UsageError("it must be a JSON object with the fields of a request.")
    return values


def batch_folder(output: str | None, format: str | None) -> tuple[Path, str]:
    """Where the results of a batch go, made if it is not there, and their format. Raises: UsageError."""
    chosen = format or "wav"
    if chosen not in FORMATS:
        raise UsageError(f"format must be one of {', '.join(FORMATS)}, got '{chosen}'.")
    if output == "-":
        raise UsageError("--batch writes files, so -o must be a folder, got '-'.")
    folder = Path(output or ".")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UsageError(
            f"{folder} cannot be the folder of a batch: {(problem.strerror or str(problem)).lower()}."
        ) from None
    return folder, chosen
