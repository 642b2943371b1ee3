"""Folders and manifests of sounds as data sources."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from arctone.audio.formats import MEDIA_SUFFIXES
from arctone.data.file_source import Facts, FileDefaults, FileSource, SoundEntry
from arctone.data.layouts import OWN, TABLE_SUFFIXES, Row, Table, facts_of_sidecar, read_table
from arctone.data.sound import SOUND_SUFFIXES, SoundPlace
from arctone.errors import InputFileError
from arctone.files.strict_json import read_config
from arctone.files.text import parse_json, read_any_text, read_bytes

MANIFEST_SUFFIXES = TABLE_SUFFIXES


class ManifestRow(Facts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Facts and the sound file they are about.

    Args:
        path: From the manifest's folder on, or absolute.
    """

    path: str


def open_manifest(path: str | Path, defaults: FileDefaults | None = None) -> FileSource:
    """Open the files that a table names, in its order.

    Our own layout has the columns (CSV, TSV) or keys (JSON lines) path and any field of Facts; a CSV cell takes several
    `captions` separated by "|", and columns such as attributes.instrument. Others are in `layouts.LAYOUTS`.

    Args:
        path: Table in CSV, TSV or JSON Lines.
        defaults: Facts of files that name none of their own.

    Returns:
        Their clips.

    Raises:
        InputFileError: if the table is unreadable or has no rows, or no column names the files. Single bad rows are in
            the source's `problems`.
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
    """Read the rows of a table.

    Args:
        path: Table in CSV, TSV or JSON Lines.

    Returns:
        Sounds with their facts, and a sentence for each row that cannot be used.

    Raises:
        InputFileError: as open_manifest.
    """
    path = Path(path)
    table = read_table(path)
    return list(_entries(path, table)), list(table.problems)


def read_manifest(path: Path) -> tuple[list[tuple[int, ManifestRow]], list[str]]:
    """Read the rows of a table with their line numbers.

    Args:
        path: Table in CSV, TSV or JSON Lines.

    Returns:
        The rows, and one sentence for each row that cannot be used.

    Raises:
        InputFileError: as open_manifest.
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


CAPTION_SUFFIXES = (".txt", ".caption")
_FACTS_BYTES = 10_000_000


@dataclass
class Listing:
    """What a folder holds.

    Args:
        problems: A sentence for each file that cannot be used.
        passed_over: Files that are neither sounds nor about one.
        layout: How the captions are kept.
        notes: Remarks on how files were read.
    """

    entries: list[SoundEntry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    layout: str = ""
    notes: list[str] = field(default_factory=list)


def open_folder(folder: str | Path, defaults: FileDefaults | None = None) -> FileSource:
    """Open all sound files in a folder and the folders in it, in the order of their names.

    Next to `rain.wav` may stand `rain.txt` or `rain.caption`, one caption a line, and `rain.json` with the fields of
    Facts or those of MusicGen. Captions may also be in `metadata.csv`, `.jsonl` or `.parquet` in the same folder or one
    above, as the Hugging Face audio folder keeps them. Names that begin with a dot are left out.

    Args:
        folder: Folder of sounds.
        defaults: Facts of files that name none of their own.

    Returns:
        Their clips.

    Raises:
        InputFileError: if the folder does not exist or holds no sound file. Single bad files are in the source's
            `problems`, what is no sound in its `passed_over`.
    """
    found = list_folder(folder)
    return FileSource(
        found.entries,
        found.problems,
        defaults,
        layout=found.layout,
        passed_over=found.passed_over,
        notes=found.notes,
    )


def list_folder(folder: str | Path) -> Listing:
    """List everything in a folder.

    Args:
        folder: Folder of sounds.

    Returns:
        Sounds, problems and files that were passed over.

    Raises:
        InputFileError: as open_folder does.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputFileError(f"{root} is not a folder.")
    files = sorted(_files(root))
    found = Listing()
    table = _tables(files, found)
    reader = _Sidecars(files)
    kinds: set[str] = {"metadata table"} if table else set()
    for path in files:
        if path.suffix.lower() in SOUND_SUFFIXES | MEDIA_SUFFIXES:
            try:
                facts = reader.facts(path, found.notes, kinds)
                found.entries.append(_entry(root, path, _joined(facts, table.pop(_key(path), None))))
            except InputFileError as problem:
                found.problems.append(str(problem))
    used = reader.used | {path for path in files if path.stem == "metadata" and path.suffix.lower() in TABLE_SUFFIXES}
    sounds = SOUND_SUFFIXES | MEDIA_SUFFIXES
    found.passed_over = [
        path.relative_to(root).as_posix() for path in files if path not in used and path.suffix.lower() not in sounds
    ]
    found.problems += [f"{place} does not exist." for place, _ in table.values()]
    found.layout = f"folder of sounds, captions in {' and '.join(sorted(kinds)) or 'no file'}"
    if not found.entries and not found.problems:
        endings = ", ".join(sorted(sounds))
        raise InputFileError(f"{root} holds no sound file (looked for {endings}).")
    return found


def parse_captions(text: str) -> tuple[str, ...]:
    """One caption a line; empty lines do not count."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


_Tabled = dict[str, tuple[str, Facts]]


def _tables(files: list[Path], found: Listing) -> _Tabled:
    """Facts by file from the tables called metadata, with the place that each row names."""
    facts: _Tabled = {}
    for path in files:
        if path.stem != "metadata" or path.suffix.lower() not in TABLE_SUFFIXES:
            continue
        try:
            table = read_table(path)
        except InputFileError as problem:
            found.problems.append(str(problem))
            continue
        found.problems += table.problems
        found.notes += [*table.notes, *unused_note(path, table)]
        for row in table.rows:
            file = find_file(path.parent, row.path)
            place, earlier = facts.get(_key(file), (f"{file} ({path.name} line {row.number})", None))
            facts[_key(file)] = (place, _added(earlier, row.facts))
    return facts


def _joined(own: Facts, tabled: tuple[str, Facts] | None) -> Facts:
    return own if tabled is None else _added(tabled[1], own)


def _added(first: Facts | None, second: Facts) -> Facts:
    """Facts of two places about one sound: all captions; of the rest, what the first leaves open."""
    if first is None:
        return second
    empty = Facts()
    more = {n: getattr(second, n) for n in Facts.__struct_fields__ if getattr(first, n) == getattr(empty, n)}
    captions = (*first.wordings(), *second.wordings())
    return msgspec.structs.replace(first, **{**more, "caption": "", "captions": captions})


class _Sidecars:
    """The sidecar files of sounds, found by name whatever their Unicode form and the case of their ending."""

    def __init__(self, files: list[Path]) -> None:
        self._files = {_key(path.with_suffix(path.suffix.lower())): path for path in files}
        self.used: set[Path] = set()

    def facts(self, path: Path, notes: list[str], kinds: set[str]) -> Facts:
        """Read the facts of a sound's sidecar files.

        Args:
            path: File of the sound.
            notes: Receives remarks on how files were read.
            kinds: Receives the kinds of sidecars that were found.

        Returns:
            Facts of all sidecars together.

        Raises:
            InputFileError: if one cannot be used.
        """
        facts = Facts()
        sidecar = self._sidecar(path, ".json")
        if sidecar is not None:
            facts = _json_facts(sidecar)
            kinds.add(".json files")
        for suffix in CAPTION_SUFFIXES:
            text = self._sidecar(path, suffix)
            if text is not None:
                content, encoding = read_any_text(text, max_bytes=_FACTS_BYTES)
                if encoding not in ("utf-8", "utf-8-sig"):
                    notes.append(f"{text} is read as {encoding}.")
                captions = (*facts.captions, *parse_captions(content))
                facts = msgspec.structs.replace(facts, captions=captions)
                kinds.add(f"{suffix} files")
        return facts

    def _sidecar(self, path: Path, suffix: str) -> Path | None:
        found = self._files.get(_key(path.with_suffix(suffix)))
        if found is not None:
            self.used.add(found)
        return found


def _json_facts(path: Path) -> Facts:
    try:
        values = parse_json(read_bytes(path, max_bytes=_FACTS_BYTES))
    except ValueError as problem:
        raise InputFileError(f"{path} is not valid JSON: {problem}.") from None
    try:
        found = facts_of_sidecar(values) if isinstance(values, dict) else None
    except ValueError as problem:
        raise InputFileError(f"{path}: {problem}.") from None
    return found or read_config(path, Facts, error=InputFileError)


def _key(path: Path) -> str:
    return unicodedata.normalize("NFC", os.path.normpath(path))


def _files(root: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _entry(root: Path, path: Path, facts: Facts) -> SoundEntry:
    return SoundEntry(path.relative_to(root).as_posix(), SoundPlace(path, str(path)), facts)
