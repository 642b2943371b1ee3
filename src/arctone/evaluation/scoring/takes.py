"""The sounds that are judged: files with their captions, and which generated one belongs to which real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from arctone.data.file_source import SoundEntry
from arctone.data.folder import list_folder
from arctone.data.manifest import MANIFEST_SUFFIXES, manifest_entries
from arctone.errors import InputFileError, UsageError


@dataclass(frozen=True)
class Take:
    """One sound. name: from its folder on. path: of the file. captions: the first is the prompt; may be empty."""

    name: str
    path: Path
    captions: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        """The first caption, "" if there is none."""
        return self.captions[0] if self.captions else ""

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return Path(self.name).with_suffix("").as_posix()


def read_takes(place: Path, captions: Path | None = None) -> tuple[list[Take], list[str]]:
    """The sounds of a folder or manifest, and a sentence for each file that is left out.

    Args: place: a folder, with captions in .txt or .json files beside the sounds, or a .csv, .tsv or .jsonl manifest.
    captions: a manifest whose paths are those of the sounds inside the folder, with or without their endings; it takes
    the place of the files beside them. Raises: InputFileError if nothing can be read; UsageError for another kind.
    """
    if place.is_dir():
        found = list_folder(place)
        entries, problems = found.entries, [*found.problems, *(f"{name} is no sound." for name in found.passed_over)]
    elif place.suffix.lower() in MANIFEST_SUFFIXES:
        entries, problems = manifest_entries(place)
    elif not place.exists():
        raise InputFileError(f"{place} does not exist; name a folder of sounds or a manifest.")
    else:
        kinds = ", ".join(sorted(MANIFEST_SUFFIXES))
        raise UsageError(f"{place} is neither a folder of sounds nor a manifest ({kinds}).")
    takes = [Take(entry.name, entry.place.path, entry.facts.wordings()) for entry in entries]
    return (takes if captions is None else _captioned(takes, captions)), problems


def pair(generated: Sequence[Take], reference: Sequence[Take]) -> list[tuple[int, int]]:
    """(generated, reference) indices that belong together: files of the same name, else of the same caption.

    A generated sound without either is left out; a real one may serve several.
    """
    by_stem = {take.stem: number for number, take in enumerate(reference)}
    by_caption: dict[str, int] = {}
    for number, take in enumerate(reference):
        for caption in take.captions:
            by_caption.setdefault(caption, number)
    found = ((number, by_stem.get(take.stem, by_caption.get(take.prompt))) for number, take in enumerate(generated))
    return [(number, other) for number, other in found if other is not None]


def _captioned(takes: Sequence[Take], captions: Path) -> list[Take]:
    entries, problems = manifest_entries(captions)
    if problems:
        raise InputFileError(f"{captions} has {len(problems)} unusable rows, the first: {problems[0]}")
    wordings: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        _add(wordings, entry)
    found = [Take(take.name, take.path, wordings.get(take.name, wordings.get(take.stem, ()))) for take in takes]
    if not any(take.captions for take in found):
        raise InputFileError(f"{captions} names none of the sounds; the first of them is {takes[0].name}.")
    return found


def _add(wordings: dict[str, tuple[str, ...]], entry: SoundEntry) -> None:
    name = Path(entry.name).as_posix()
    wordings[name] = (*wordings.get(name, ()), *entry.facts.wordings())
