"""The layouts in which collections of sounds are published: which columns name the file, which describe it.

A table is CSV, TSV, JSON, JSON lines or parquet; its layout is recognised by its columns. Columns that say nothing
about training are passed over and named.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from arctone.data.file_source import Facts
from arctone.errors import InputFileError, install_hint
from arctone.files.text import parse_json, read_any_text

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet"})
# Several captions in one CSV cell; a caption itself hardly holds this sign.
CAPTION_SEPARATOR = "|"
OWN = "arctone"
_ATTRIBUTE = "attributes."
_MAX_ROWS = 10_000_000
Cells = dict[str, Any]


@dataclass(frozen=True)
class Layout:
    """How one kind of collection names things.

    Args:
        name: For people.
        file: The column that names the sound.
        needs: Further columns by which it is recognised.
        captions: Columns that describe the sound, any number of them; a name ending in * stands for all that begin so.
    """

    name: str
    file: str
    needs: frozenset[str] = frozenset()
    captions: tuple[str, ...] = ()


_TEXTS = ("text", "caption", "captions", "description", "prompt", "sentence", "transcription", "label")
# The first that fits is taken, so the narrow ones come first.
LAYOUTS = (
    Layout("MusicGen (audiocraft)", "path", frozenset({"amplitude"}), ("description", "caption")),
    Layout("MusicGen (audiocraft)", "path", frozenset({"info_path"}), ("description", "caption")),
    Layout(OWN, "path"),
    Layout("Clotho", "file_name", frozenset({"caption_1"}), ("caption_*",)),
    Layout("Hugging Face audio folder", "file_name", captions=_TEXTS),
    Layout("NeMo", "audio_filepath", captions=_TEXTS),
    Layout("AudioLDM", "wav", captions=("caption", "captions", "text")),
    Layout("TangoFlux", "location", captions=("captions", "caption", "text")),
    Layout("Hugging Face dataset", "audio", captions=_TEXTS),
    Layout("list of files", "audio_path", captions=_TEXTS),
    Layout("list of files", "filename", captions=_TEXTS),
    Layout("list of files", "file", captions=_TEXTS),
)
# Facts that other layouts spell in their own way.
_SAME = {
    "duration": "duration_seconds",
    "license": "licence",
    "genre": "attributes.genre",
    "instrument": "attributes.instrument",
    "moods": "attributes.moods",
    "keywords": "attributes.keywords",
    "category": "category",
    "bpm": "bpm",
    "key": "key",
    "split": "split",
    "source": "source",
}


@dataclass(frozen=True)
class Row:
    """A row: its line in the table, the file that it names as it is written there, and what it says of it."""

    number: int
    path: str
    facts: Facts


@dataclass(frozen=True)
class Table:
    """A table that was read.

    Args:
        problems: One sentence for each row that cannot be used.
        unused: Columns passed over.
    """

    layout: str
    rows: tuple[Row, ...]
    problems: tuple[str, ...]
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_table(path: Path) -> Table:
    """Read a table of sounds in any layout that is known.

    Args:
        path: File in CSV, JSON Lines or Parquet.

    Returns:
        Rows, problems and unused columns.

    Raises:
        InputFileError: if it is unreadable, has no rows, or no column that names the files.
    """
    rows: list[Row] = []
    problems: list[str] = []
    unused: dict[str, None] = {}
    layout: Layout | None = None
    cells_of_rows, notes = _cells(path)
    for number, cells in cells_of_rows:
        if isinstance(cells, str):
            problems.append(f"{path} line {number}: {cells}.")
            continue
        if layout is None or layout.file not in cells:
            layout = recognise(cells) or layout
        if layout is None or layout.file not in cells:
            problems.append(f"{path} line {number}: {_no_file(cells)}.")
            continue
        try:
            file, facts, left = _described(layout, cells)
        except ValueError as problem:
            problems.append(f"{path} line {number}: {_lower_first(str(problem))}.")
            continue
        rows.append(Row(number, file, facts))
        unused |= dict.fromkeys(left)
    if not rows and not problems:
        raise InputFileError(f"{path} holds no rows.")
    if layout is None:
        raise InputFileError(problems[0])
    return Table(layout.name, tuple(rows), tuple(problems), tuple(unused), notes)


def recognise(columns: Iterable[str]) -> Layout | None:
    """The layout that a table with these columns has."""
    names = set(columns)
    return next((each for each in LAYOUTS if each.file in names and each.needs <= names), None)


def facts_of_sidecar(values: Mapping[str, Any]) -> Facts | None:
    """Read the facts of a sound's JSON sidecar in MusicGen's spelling; None if it is not of this kind."""
    if "description" not in values and "keywords" not in values:
        return None
    _, facts, _ = _described(
        Layout("MusicGen (audiocraft)", "path", captions=("description",)), {"path": "-", **values}
    )
    return facts


def _described(layout: Layout, cells: Cells) -> tuple[str, Facts, list[str]]:
    """Read one row.

    Args:
        layout: Which columns hold what.
        cells: Cells of the row by column.

    Returns:
        The file, the facts and the columns passed over.

    Raises:
        ValueError: in a few words.
    """
    file = cells[layout.file]
    if isinstance(file, dict):  # datasets keep a path next to the bytes
        if file.get("bytes"):
            raise ValueError(f"{layout.file} holds the sound itself; write the sounds into files of their own first")
        file = file.get("path")
    if not isinstance(file, str) or not file.strip():
        raise ValueError(f"{layout.file} is empty")
    if layout.name == OWN:
        return file, _own(cells), []
    facts: Cells = {"captions": _captions(layout, cells)}
    attributes: dict[str, str] = {}
    left: list[str] = []
    for name, value in cells.items():
        same = _SAME.get(name, "")
        if name == layout.file or _is_caption(layout, name) or value in (None, "", []):
            continue
        if same.startswith(_ATTRIBUTE):
            attributes[same.removeprefix(_ATTRIBUTE)] = _joined(value)
        elif same and _fits(same, value):
            facts[same] = value
        else:
            left.append(name)
    # A stated length is rounded, or of the uncut original: it is not held against the file.
    facts.pop("duration_seconds", None)
    return file, _converted({**facts, "attributes": attributes}), left


def _own(cells: Cells) -> Facts:
    return _converted({name: value for name, value in cells.items() if name != "path"})


def _converted(values: Cells) -> Facts:
    try:
        return msgspec.convert(values, Facts, strict=False)
    except msgspec.ValidationError as problem:
        raise ValueError(_lower_first(str(problem))) from None


def _fits(name: str, value: Any) -> bool:
    """Whether a fact of another layout is one that Facts takes; what is not, is passed over like other columns."""
    try:
        msgspec.convert({name: value}, Facts, strict=False)
    except (msgspec.ValidationError, ValueError):
        return False
    return True


def _captions(layout: Layout, cells: Cells) -> list[str]:
    found: list[str] = []
    for name, value in cells.items():
        if _is_caption(layout, name):
            found += [str(each) for each in (value if isinstance(value, list) else [value]) if each]
    return found


def _is_caption(layout: Layout, name: str) -> bool:
    return any(name == each or (each.endswith("*") and name.startswith(each[:-1])) for each in layout.captions)


def _joined(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _no_file(cells: Cells) -> str:
    wanted = ", ".join(dict.fromkeys(each.file for each in LAYOUTS))
    return f"no column names the sound ({wanted}); it has {', '.join(map(str, list(cells)[:12])) or 'none'}"


def _cells(path: Path) -> tuple[Iterable[tuple[int, Cells | str]], tuple[str, ...]]:
    """Rows with their line numbers, each as a dict or as what is wrong with it, and remarks."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet_rows(path), ()
    text, encoding = read_any_text(path)
    notes = (f"{path} is read as {encoding}.",) if encoding not in ("utf-8", "utf-8-sig") else ()
    if suffix in (".json", ".jsonl", ".ndjson"):
        return _json_rows(path, text), notes
    return _csv_rows(path, text), notes


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, Cells | str]]:
    reader, names = _csv_reader(path, text)
    layout = recognise(names)
    if layout is None:
        raise InputFileError(f"{path} line 1: {_no_file(dict.fromkeys(names))}.")
    if layout.name == OWN:
        _refuse_columns(path, names)
    try:
        for row in reader:
            if None in row or None in row.values():
                yield reader.line_num, "the row has another number of cells than the first line"
            else:
                yield reader.line_num, _own_cells(row) if layout.name == OWN else {**row}
    except csv.Error as problem:
        raise InputFileError(f"{path} line {reader.line_num} is not valid CSV: {problem}.") from None


def _csv_reader(path: Path, text: str) -> tuple[csv.DictReader[str], list[str]]:
    """A reader and its columns: with the sign of the ending, or with another where only that gives known columns."""
    signs = ("\t", ",", ";") if path.suffix.lower() == ".tsv" else (",", ";", "\t")
    found = []
    for sign in signs:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=sign)
        try:
            names = [name or "" for name in reader.fieldnames or []]
        except csv.Error as problem:
            raise InputFileError(f"{path} line 1 is not valid CSV: {problem}.") from None
        if recognise(names) is not None:
            return reader, names
        found.append((reader, names))
    return found[0]


def _refuse_columns(path: Path, names: list[str]) -> None:
    allowed = [*(name for name in Facts.__struct_fields__ if name != "attributes"), "path"]
    for name in names:
        if name not in allowed and not name.startswith(_ATTRIBUTE):
            choices = ", ".join([*allowed, f"{_ATTRIBUTE}NAME"])
            raise InputFileError(f"{path} has the unknown column '{name}'; allowed are {choices}.")


def _own_cells(cells: Mapping[str, str]) -> Cells:
    fields: Cells = {name: value for name, value in cells.items() if value and not name.startswith(_ATTRIBUTE)}
    for name in ("captions", "held_out"):
        if name in fields:
            fields[name] = fields[name].split(CAPTION_SEPARATOR)
    fields["path"] = cells["path"]
    fields["attributes"] = {n.removeprefix(_ATTRIBUTE): v for n, v in cells.items() if n.startswith(_ATTRIBUTE) and v}
    return fields


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Cells | str]]:
    """One object a line; or one document: a list of objects, or an object that holds one, as AudioLDM's `data`."""
    if path.suffix.lower() == ".json" and not _is_lines(text):
        yield from _document_rows(path, text)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield number, _object(parse_json(line))
            except ValueError as problem:
                yield number, str(problem)


def _document_rows(path: Path, text: str) -> Iterator[tuple[int, Cells | str]]:
    try:
        content = parse_json(text)
    except ValueError as problem:
        raise InputFileError(f"{path} is not valid JSON: {problem}.") from None
    if isinstance(content, dict):
        content = next((value for value in content.values() if isinstance(value, list)), content)
    if not isinstance(content, list):
        raise InputFileError(f"{path} holds no list of sounds.")
    for number, item in enumerate(content, start=1):
        try:
            yield number, _object(item)
        except ValueError as problem:
            yield number, str(problem)


def _is_lines(text: str) -> bool:
    """Whether the first line is an object of its own and another follows."""
    first, _, rest = text.strip().partition("\n")
    try:
        return bool(rest.strip()) and isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _object(value: Any) -> Cells:
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    return {str(name): item for name, item in value.items()}


def _parquet_rows(path: Path) -> Iterator[tuple[int, Cells | str]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        hint = install_hint("parquet")
        raise InputFileError(f"{path} needs pyarrow to be read, which is not installed: {hint}.") from None
    try:
        table = pyarrow.parquet.ParquetFile(path)
        if table.metadata.num_rows > _MAX_ROWS:
            raise InputFileError(f"{path} has {table.metadata.num_rows} rows, but at most {_MAX_ROWS} are read.")
        number = 0
        for batch in table.iter_batches(batch_size=1_000):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pyarrow.ArrowException, OSError, ValueError) as problem:
        reason = (str(problem).strip().splitlines() or ["it is damaged"])[0].rstrip(".")
        raise InputFileError(f"{path} is not a parquet file that can be read: {_lower_first(reason)}.") from None


def _lower_first(text: str) -> str:
    return (text if text[1:2].isupper() else text[:1].lower() + text[1:]).rstrip(".")
