"""What there is to be judged: the clips of a system, by prompt."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from arctone.audio.tags import prompt_of, read_metadata
from arctone.audio.waveform import Waveform
from arctone.data.file_source import FileSource
from arctone.data.manifest import read_manifest
from arctone.data.opening import open_source
from arctone.errors import InputFileError, UsageError

Captions = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip of a system. name: its file from the folder on. prompts: what it sounds, the main wording first."""

    name: str
    prompts: tuple[str, ...]
    source: FileSource
    index: int

    @property
    def num_samples(self) -> int:
        """Length per channel at 44.1 kHz."""
        return round(self.source.info(self.index).duration_seconds * 44_100)

    def waveform(self) -> Waveform:
        """Sound, stereo, 44.1 kHz. Raises: InputFileError if the file cannot be decoded."""
        return self.source.waveform(self.index)


def read_clips(spec: str | Path, captions: Captions | None = None) -> list[Clip]:
    """The clips of a folder, a manifest or shards, in the order of their names.

    A clip's prompt is its caption in `captions`, else in a .txt or .json file beside it or in the manifest, else the
    prompt that arctone wrote into the file. Of a file longer than 11.89 s the first window is taken.
    Raises: InputFileError if nothing is there, a file cannot be read, or a clip has no caption.
    """
    source = open_source(spec)
    if not isinstance(source, FileSource):
        raise UsageError(f"{spec} is no collection of sound files: name a folder, a manifest or .tar shards.")
    if source.problems:
        raise InputFileError(source.problems[0])
    base = Path(spec) if Path(spec).is_dir() else Path(spec).parent
    return [_clip(source, index, base, captions) for index in range(len(source)) if source.place(index)[1] == 0]


def by_prompt(clips: list[Clip], *, all_wordings: bool = False) -> dict[str, list[Clip]]:
    """Clips by prompt. all_wordings: a clip with several captions stands under each of them."""
    found: dict[str, list[Clip]] = {}
    for clip in clips:
        for prompt in clip.prompts if all_wordings else clip.prompts[:1]:
            found.setdefault(prompt, []).append(clip)
    return found


def read_captions(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Captions by name, for clips that go without: a manifest whose `path` is a clip's file from its folder on.

    The ending of `path` does not count, so that one list serves the .wav of one system and the .mp3 of another.
    Raises: InputFileError if the list or one of its rows cannot be used.
    """
    rows, problems = read_manifest(Path(path))
    if problems:
        raise InputFileError(problems[0])
    return {_stem(row.path): wordings for _, row in rows if (wordings := row.wordings())}


def _clip(source: FileSource, index: int, base: Path, captions: Captions | None) -> Clip:
    place, _ = source.place(index)
    info = source.info(index)
    name = Path(os.path.relpath(place.path, base)).as_posix() if place.size is None else info.id
    wordings = (captions or {}).get(_stem(name)) or info.captions
    if not wordings and place.size is None:
        stated = prompt_of(read_metadata(place.path) or {})
        wordings = (stated,) if stated else ()
    if not wordings:
        raise InputFileError(
            f"{place.name} has no caption: put one into a .txt file of the same name, or give a list with --captions."
        )
    return Clip(name, tuple(" ".join(text.split()) for text in wordings), source, index)


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
