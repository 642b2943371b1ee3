"""Folders and manifests of sounds as data sources."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
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
        notes=[*table.notes, *note_unused(path, table)],
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


def note_unused(path: Path, table: Table) -> Iterator[str]:
    """A sentence about columns that were passed over, if there are any."""
    if table.unused:
        yield f"{path}: these columns are not used: {', '.join(table.unused)}."


class FileFinder:
    """Finds the files that a table in a folder names; tables often keep the paths of the machine they were made on.

    Tried are the path itself, from the folder on, the same in the other Unicode form, the mere name in the folder and
    in its folder `audio` or `clips`, and the only sound below the folder of this name, with its ending or without.

    Args:
        folder: Of the table.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> Path:
        """Find a file.

        Args:
            name: As the table names it.

        Returns:
            Its path, or the path that is written, for an error to name, if there is none.
        """
        name = name.replace("\\", "/") if "\\" in name and os.sep == "/" else name
        forms = dict.fromkeys((name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)))
        places = [self._folder / form for form in forms]
        places += [self._folder / inner / Path(form).name for form in forms for inner in ("", "audio", "clips")]
        there = next((place for place in places if _is_there(place)), None)
        return there or self._below.get(_name_key(name)) or self._folder / name

    @cached_property
    def _below(self) -> dict[str, Path]:
        """The sounds below the folder by name, and by name without its ending, where only one has it."""
        found: dict[str, list[Path]] = {}
        for path in _files(self._folder):
            if path.suffix.lower() in SOUND_SUFFIXES | MEDIA_SUFFIXES:
                for name in {path.name, path.stem}:
                    found.setdefault(_name_key(name), []).append(path)
        return {name: paths[0] for name, paths in found.items() if len(paths) == 1}


def _name_key(name: str) -> str:
    return unicodedata.normalize("NFC", name.rpartition("/")[2])


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _entries(manifest: Path, table: Table) -> Iterator[SoundEntry]:
    finder = FileFinder(manifest.parent)
    for row in table.rows if table.layout == OWN else _merged(table.rows):
        file = finder.find(row.path)
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
# Written by `arctone data render` into the folder of its clips.
RENDER_HEADER = "render.json"
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
    Facts or those of MusicGen. Captions may also be in tables of a known layout in the same folder or one above, such
    as the `metadata.csv` of the Hugging Face audio folder. Names that begin with a dot are left out.

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
    sounds = SOUND_SUFFIXES | MEDIA_SUFFIXES
    tables = _Tables([path for path in files if path.suffix.lower() in sounds])
    for path in files:
        if path.suffix.lower() in TABLE_SUFFIXES and not tables.has_the_name_of_a_sound(path):
            tables.read(path, found)
    table = tables.facts
    reader = _Sidecars(files)
    kinds: set[str] = set(tables.kinds)
    for path in files:
        if path.suffix.lower() in sounds:
            try:
                facts = reader.facts(path, found.notes, kinds)
                found.entries.append(_entry(root, path, _joined(facts, table.pop(_key(path), None))))
            except InputFileError as problem:
                found.problems.append(str(problem))
    used = reader.used | tables.used
    found.passed_over = [
        path.relative_to(root).as_posix()
        for path in files
        if path not in used and path.suffix.lower() not in sounds and path.name != RENDER_HEADER
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


class _Tables:
    """Facts of a folder's sounds from the tables in it, with the place that each row names.

    A table called metadata is about the folder's sounds, so a row without a file is a problem. Others count if they say
    something of one of the sounds; what else they name may be a part of the collection that is not here.

    Args:
        sounds: Of the folder.
    """

    def __init__(self, sounds: list[Path]) -> None:
        self.facts: _Tabled = {}
        self.kinds: list[str] = []
        self.used: set[Path] = set()
        self._sounds = {_key(path) for path in sounds}
        self._stems = {_key(path.with_suffix("")) for path in sounds}

    def has_the_name_of_a_sound(self, path: Path) -> bool:
        """Whether a JSON file has the name of a sound, and is about this one."""
        return path.suffix.lower() == ".json" and _key(path.with_suffix("")) in self._stems

    def read(self, path: Path, found: Listing) -> None:
        """Add what a table says; its problems and remarks are added to the listing."""
        is_metadata = path.stem.lower() == "metadata"
        try:
            table = read_table(path)
        except InputFileError as problem:
            if is_metadata:
                self.used.add(path)
                found.problems.append(str(problem))
            return
        finder = FileFinder(path.parent)
        rows = [(finder.find(row.path), row) for row in table.rows]
        here = [(file, row) for file, row in rows if _key(file) in self._sounds and row.facts != Facts()]
        if not is_metadata and not here:
            return
        self.used.add(path)
        self.kinds.append(f"{path.name} ({table.layout})")
        found.problems += table.problems
        found.notes += [*table.notes, *note_unused(path, table)]
        if len(here) < len(rows) and not is_metadata:
            found.notes.append(f"{path}: {len(rows) - len(here)} of its rows name files that are not here.")
        for file, row in rows if is_metadata else here:
            place, earlier = self.facts.get(_key(file), (f"{file} ({path.name} line {row.number})", None))
            self.facts[_key(file)] = (place, _added(earlier, row.facts))


def _joined(own: Facts, tabled: tuple[str, Facts] | None) -> Facts:
    return own if tabled is None else _added(tabled[1], own)


def _added(first: Facts | None, second: Facts) -> Facts:
    """Facts of two places about one sound: all captions; of the rest, what the first leaves open."""
    if first is None:
        return second
    empty = Facts()
    more = {n: getattr(second, n) for n in Facts.__struct_fields__ if getattr(first, n) == getattr(empty, n)}
    captions = tuple(dict.fromkeys((*first.wordings(), *second.wordings())))
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
