"""A table of sound files: CSV with a header line, or one JSON object a line."""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from arctone.data.file_source import Facts, FileDefaults, FileSource, SoundEntry
from arctone.data.sound import SoundPlace
from arctone.errors import InputFileError
from arctone.files.text import read_text

MANIFEST_SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson"})
# Several captions in one CSV cell; a caption itself hardly holds this sign.
CAPTION_SEPARATOR = "|"
_ATTRIBUTE = "attributes."


class ManifestRow(Facts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Facts and the sound file they are about. path: from the manifest's folder on, or absolute."""

    path: str


def open_manifest(path: str | Path, defaults: FileDefaults | None = None) -> FileSource:
    """Clips of the files that a manifest names, in its order.

    Columns (CSV, TSV) or keys (JSONL): path and any field of Facts; a CSV cell takes several `captions` separated by
    "|", and columns such as attributes.instrument.
    Raises: InputFileError if the manifest is unreadable or has no rows, or a CSV column is unknown. Single bad rows are
    in the source's `problems`.
    """
    return FileSource(*manifest_entries(path), defaults)


def manifest_entries(path: str | Path) -> tuple[list[SoundEntry], list[str]]:
    """The rows of a manifest, and a sentence for each that cannot be used. Raises: InputFileError as open_manifest."""
    path = Path(path)
    rows, problems = read_manifest(path)
    return [_entry(path, number, row) for number, row in rows], problems


def read_manifest(path: Path) -> tuple[list[tuple[int, ManifestRow]], list[str]]:
    """The rows of a manifest with their line numbers, and one sentence for each row that cannot be used.

    Raises: InputFileError if it is unreadable or has no rows, or a CSV column is unknown.
    """
    parse = _jsonl_rows if path.suffix.lower() in (".jsonl", ".ndjson") else _csv_rows
    rows: list[tuple[int, ManifestRow]] = []
    problems: list[str] = []
    for number, parse_row in parse(path, read_text(path)):
        try:
            row = parse_row()
            if not row.path.strip():
                raise ValueError("path is empty")
            rows.append((number, row))
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as problem:
            problems.append(f"{path} line {number}: {_lower_first(str(problem))}.")
    if not rows and not problems:
        raise InputFileError(f"{path} holds no rows.")
    return rows, problems


def _entry(manifest: Path, number: int, row: ManifestRow) -> SoundEntry:
    facts = Facts(**{name: getattr(row, name) for name in Facts.__struct_fields__})
    file = manifest.parent / row.path
    return SoundEntry(row.path, SoundPlace(file, f"{file} ({manifest.name} line {number})"), facts)


def _jsonl_rows(path: Path, text: str) -> Iterator[tuple[int, Callable[[], ManifestRow]]]:
    decoder = msgspec.json.Decoder(ManifestRow)
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, lambda line=line: decoder.decode(line)  # type: ignore[misc]


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, Callable[[], ManifestRow]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), dialect="excel-tab" if path.suffix == ".tsv" else "excel")
    _refuse_columns(path, [name or "" for name in reader.fieldnames or []])
    try:
        for row in reader:
            yield reader.line_num, lambda row=row: _from_cells(row)  # type: ignore[misc]
    except csv.Error as problem:
        raise InputFileError(f"{path} line {reader.line_num} is not valid CSV: {problem}.") from None


def _refuse_columns(path: Path, names: list[str]) -> None:
    allowed = [name for name in ManifestRow.__struct_fields__ if name != "attributes"]
    if "path" not in names:
        raise InputFileError(f"{path} has no column path in its first line; it has {', '.join(names) or 'none'}.")
    for name in names:
        if name not in allowed and not name.startswith(_ATTRIBUTE):
            choices = ", ".join([*allowed, f"{_ATTRIBUTE}NAME"])
            raise InputFileError(f"{path} has the unknown column '{name}'; allowed are {choices}.")


def _from_cells(cells: dict[str, Any]) -> ManifestRow:
    if None in cells or None in cells.values():
        raise ValueError("the row has another number of cells than the first line")
    fields: dict[str, Any] = {name: value for name, value in cells.items() if value and not name.startswith(_ATTRIBUTE)}
    for name in ("captions", "held_out"):
        if name in fields:
            fields[name] = fields[name].split(CAPTION_SEPARATOR)
    fields["path"] = cells["path"]
    fields["attributes"] = {n.removeprefix(_ATTRIBUTE): v for n, v in cells.items() if n.startswith(_ATTRIBUTE) and v}
    return msgspec.convert(fields, ManifestRow, strict=False)


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")
