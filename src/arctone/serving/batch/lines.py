"""The lines of a batch: read, checked, each with the files that it makes."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arctone.errors import InputFileError, UsageError
from arctone.files.text import parse_json, read_bytes
from arctone.inference.request import GenerationRequest, from_dict, named_fields
from arctone.serving.batch.names import check_id, slug
from arctone.serving.batch.report import Report


@dataclass(frozen=True)
class Line:
    """One request of the file: its number (from 1), what was asked, the sound it edits, and where the result goes."""

    number: int
    request: GenerationRequest
    asked: dict[str, Any]
    source: Path | None
    paths: tuple[Path, ...]


def read_lines(path: Path, options: Mapping[str, Any], folder: Path, format: str, report: Report) -> list[Line]:
    """The requests of a file; lines that cannot be used go into the report.

    Args: path: one JSON object a line: fields of a request, and if wanted `id` (the file's name) and `source` (a sound,
        relative to this file). Empty lines are passed over. options: fields for the lines that do not say otherwise.
        folder, format: of the results.
    Raises: InputFileError if the file cannot be read.
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
