"""A folder of sound files, each with its captions in a .txt or .json file of the same name."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from arctone.data.file_source import Facts, FileDefaults, FileSource, SoundEntry
from arctone.data.sound import SOUND_SUFFIXES, SoundPlace
from arctone.errors import InputFileError
from arctone.files.strict_json import read_config
from arctone.files.text import read_text


def open_folder(folder: str | Path, defaults: FileDefaults | None = None) -> FileSource:
    """Clips of all sound files in a folder and the folders in it, in the order of their names.

    Beside `rain.wav` may stand `rain.txt`, one caption a line, and `rain.json` with the fields of Facts. Names that
    begin with a dot are left out.
    Raises: InputFileError if the folder does not exist or holds no sound file. Single bad files are in the source's
    `problems`.
    """
    return FileSource(*folder_entries(folder), defaults)


def folder_entries(folder: str | Path) -> tuple[list[SoundEntry], list[str]]:
    """The sound files of a folder with their facts, and a sentence for each that cannot be used.

    Raises: InputFileError as open_folder does.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputFileError(f"{root} is not a folder.")
    entries: list[SoundEntry] = []
    problems: list[str] = []
    for path in sorted(_sound_files(root)):
        try:
            entries.append(_entry(root, path))
        except InputFileError as problem:
            problems.append(str(problem))
    if not entries and not problems:
        endings = ", ".join(sorted(SOUND_SUFFIXES))
        raise InputFileError(f"{root} holds no sound file (looked for {endings}).")
    return entries, problems


def parse_captions(text: str) -> tuple[str, ...]:
    """One caption a line; empty lines do not count."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _sound_files(root: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in SOUND_SUFFIXES:
                yield Path(parent, name)


def _entry(root: Path, path: Path) -> SoundEntry:
    facts = _facts(path)
    return SoundEntry(path.relative_to(root).as_posix(), SoundPlace(path, str(path)), facts)


def _facts(path: Path) -> Facts:
    beside, text = path.with_suffix(".json"), path.with_suffix(".txt")
    facts = read_config(beside, Facts, error=InputFileError) if beside.exists() else Facts()
    if text.exists():
        facts = msgspec.structs.replace(facts, captions=(*facts.captions, *parse_captions(read_text(text))))
    return facts
