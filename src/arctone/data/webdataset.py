"""WebDataset shards: tar files in which the files of a clip share the name up to the first dot.

The library `webdataset` reads shards as a stream. Batches of similar length, resuming in mid-epoch and cutting long
files need any clip at any time, so the shards are indexed here once (names and byte positions) and read by position.
"""

import tarfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from arctone.data.file_source import Facts, FileDefaults, FileSource, SoundEntry
from arctone.data.folder import parse_captions
from arctone.data.sound import SOUND_SUFFIXES, SoundPlace
from arctone.errors import InputFileError
from arctone.files.text import parse_typed

MAX_FACTS_BYTES = 10_000_000
_Members = dict[str, tarfile.TarInfo]


def open_webdataset(shards: Sequence[str | Path], defaults: FileDefaults | None = None) -> FileSource:
    """Clips of plain .tar shards, in the order of the shards and of the samples in them.

    A sample is `key.flac` (or another sound format) with `key.txt`, one caption a line, and `key.json` with the fields
    of Facts; `key.audio.flac` counts as `key.flac`.
    Raises: InputFileError if no shard is given, or one is compressed or unreadable. Single bad samples are in the
    source's `problems`.
    """
    if not shards:
        raise InputFileError("no shard is given, but at least one .tar file is needed.")
    entries: list[SoundEntry] = []
    problems: list[str] = []
    for shard in map(Path, shards):
        for key, members in _samples(shard).items():
            try:
                entries.append(_entry(shard, key, members))
            except InputFileError as problem:
                problems.append(str(problem))
    return FileSource(entries, problems, defaults, layout="WebDataset shards")


def _samples(shard: Path) -> dict[str, _Members]:
    """Members of each sample by their ending, such as ".flac"."""
    samples: dict[str, _Members] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                stem = name.partition(".")[0]
                if member.isfile() and stem:
                    samples.setdefault(f"{folder}/{stem}".lstrip("/"), {})[Path(name).suffix.lower()] = member
    except FileNotFoundError:
        raise InputFileError(f"{shard} does not exist.") from None
    except (tarfile.TarError, EOFError, ValueError, RecursionError) as problem:
        raise InputFileError(f"{shard} is not a whole, uncompressed tar file: {str(problem).lower()}.") from None
    except OSError as problem:
        raise InputFileError(f"{shard} cannot be read: {(problem.strerror or str(problem)).lower()}.") from None
    return samples


def _entry(shard: Path, key: str, members: _Members) -> SoundEntry:
    sounds = [member for ending, member in members.items() if ending in SOUND_SUFFIXES]
    if len(sounds) != 1:
        raise InputFileError(f"{shard}: the sample {key} holds {len(sounds)} sound files, but one is needed.")
    place = SoundPlace(shard, f"{shard}/{sounds[0].name}", sounds[0].offset_data, sounds[0].size)
    return SoundEntry(f"{shard.name}/{key}", place, _facts(shard, key, members))


def _facts(shard: Path, key: str, members: _Members) -> Facts:
    try:
        facts = parse_typed(_bytes(shard, members[".json"]), Facts) if ".json" in members else Facts()
        text = _bytes(shard, members[".txt"]).decode("utf-8-sig") if ".txt" in members else ""
    except ValueError as problem:
        detail = str(problem)
        raise InputFileError(f"{shard}: the facts of {key} are not valid: {detail[:1].lower()}{detail[1:]}.") from None
    return msgspec.structs.replace(facts, captions=(*facts.captions, *parse_captions(text)))


def _bytes(shard: Path, member: tarfile.TarInfo) -> bytes:
    with open(shard, "rb") as file:
        file.seek(member.offset_data)
        return file.read(min(member.size, MAX_FACTS_BYTES))
