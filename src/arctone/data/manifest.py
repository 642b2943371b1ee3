"""A table of sound files, in our own layout or one of those that collections are published in."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import msgspec

from arctone.data.file_source import Facts, FileDefaults, FileSource, SoundEntry
from arctone.data.layouts import OWN, TABLE_SUFFIXES, Row, Table, read_table
from arctone.data.sound import SoundPlace

MANIFEST_SUFFIXES = TABLE_SUFFIXES


class ManifestRow(Facts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Facts and the sound file they are about. path: from the manifest's folder on, or absolute."""

    path: str


def open_manifest(path: str | Path, defaults: FileDefaults | None = None) -> FileSource:
    """Clips of the files that a table names, in its order.

    Our own layout has the columns (CSV, TSV) or keys (JSON lines) path and any field of Facts; a CSV cell takes several
    `captions` separated by "|", and columns such as attributes.instrument. Others are in `layouts.LAYOUTS`.
    Raises: InputFileError if the table is unreadable or has no rows, or no column names the files. Single bad rows are
    in the source's `problems`.
    """
    path = Path(path)
    table = read_table(path)
    return FileSource(
        list(_entries(path, table)),
        table.problems,
        defaults,
        layout=f"{table.layout} ({path.name})",
        notes=[*table.notes, *unused_note(path, table)],
    )


def manifest_entries(path: str | Path) -> tuple[list[SoundEntry], list[str]]:
    """The rows of a table, and a sentence for each that cannot be used. Raises: InputFileError as open_manifest."""
    path = Path(path)
    table = read_table(path)
    return list(_entries(path, table)), list(table.problems)


def read_manifest(path: Path) -> tuple[list[tuple[int, ManifestRow]], list[str]]:
    """The rows of a table with their line numbers, and one sentence for each row that cannot be used.

    Raises: InputFileError as open_manifest.
    """
    table = read_table(path)
    return [(row.number, _manifest_row(row)) for row in table.rows], list(table.problems)


def unused_note(path: Path, table: Table) -> Iterator[str]:
    """A sentence about columns that were passed over, if there are any."""
    if table.unused:
        yield f"{path}: these columns are not used: {', '.join(table.unused)}."


def find_file(folder: Path, name: str) -> Path:
    """The file that a table in a folder names; tables often keep the paths of the machine they were made on.

    Tried are the path itself, from the folder on, the same in the other Unicode form, and the mere name in the folder
    and in its folder `audio`. If none is there it is the first, for the error to name.
    """
    name = name.replace("\\", "/") if "\\" in name and os.sep == "/" else name
    forms = dict.fromkeys((name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)))
    places = [folder / form for form in forms]
    places += [folder / inner / Path(form).name for form in forms for inner in ("", "audio", "clips")]
    return next((place for place in places if _is_there(place)), folder / name)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _entries(manifest: Path, table: Table) -> Iterator[SoundEntry]:
    for row in table.rows if table.layout == OWN else _merged(table.rows):
        file = find_file(manifest.parent, row.path)
        place = SoundPlace(file, f"{file} ({manifest.name} line {row.number})")
        yield SoundEntry(row.path, place, row.facts)


def _merged(rows: tuple[Row, ...]) -> Iterator[Row]:
    """One row a file: collections with several captions of a sound often have a row for each."""
    by_path: dict[str, Row] = {}
    for row in rows:
        first = by_path.get(row.path)
        if first is None:
            by_path[row.path] = row
        else:
            captions = (*first.facts.wordings(), *row.facts.wordings())
            facts = msgspec.structs.replace(first.facts, caption="", captions=captions)
            by_path[row.path] = Row(first.number, row.path, facts)
    yield from by_path.values()


def _manifest_row(row: Row) -> ManifestRow:
    return ManifestRow(path=row.path, **{name: getattr(row.facts, name) for name in Facts.__struct_fields__})
