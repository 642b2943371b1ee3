"""Open a data source by its name: a folder, manifest, WebDataset shards, the corpus, or a subset of one.

The library `webdataset` reads shards as a stream. Batches of similar length, resuming in mid-epoch and cutting long
files need any clip at any time, so the shards are indexed here once (names and byte positions) and read by position.
"""

import difflib
import glob
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from arctone.audio.waveform import Waveform
from arctone.data.file_source import Facts, FileDefaults, FileSource, SoundEntry
from arctone.data.folder import MANIFEST_SUFFIXES, open_folder, open_manifest, parse_captions
from arctone.data.sound import (
    NUM_CHANNELS,
    SAMPLE_RATE,
    SOUND_SUFFIXES,
    ClipInfo,
    ClipSource,
    SoundFormat,
    SoundPlace,
    prepare,
)
from arctone.errors import InputFileError, UsageError
from arctone.files.text import parse_typed

MAX_FACTS_BYTES = 10_000_000
_Members = dict[str, tarfile.TarInfo]


def open_webdataset(shards: Sequence[str | Path], defaults: FileDefaults | None = None) -> FileSource:
    """Open plain .tar shards, in the order of the shards and of the samples in them.

    A sample is `key.flac` (or another sound format) with `key.txt`, one caption a line, and `key.json` with the fields
    of Facts; `key.audio.flac` counts as `key.flac`.

    Args:
        shards: Tar files.
        defaults: Facts of files that name none of their own.

    Returns:
        Their clips.

    Raises:
        InputFileError: if no shard is given, or one is compressed or unreadable. Single bad samples are in the source's
            `problems`.
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


class Subset:
    """The clips `indices` of a source, renumbered from 0."""

    def __init__(self, source: ClipSource, indices: "range | tuple[int, ...]") -> None:
        self.source = source
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def info(self, index: int) -> ClipInfo:
        """Return the facts of clip `index`.

        Args:
            index: Number of the clip, from 0.

        Returns:
            Facts of the clip.

        Raises:
            IndexError: outside the range.
        """
        return self.source.info(self.indices[index])

    def waveform(self, index: int) -> Waveform:
        """Sound of clip `index`."""
        return self.source.waveform(self.indices[index])

    def prepare(self, indices: Sequence[int]) -> None:
        """Load what the clips `indices` share, see `sound.prepare`."""
        prepare(self.source, [self.indices[index] for index in indices])


def restricted(source: ClipSource, *, split: str | None = None, limit: int | None = None) -> ClipSource:
    """Keep the clips of one split, then the first `limit` of them; None leaves all.

    Args:
        source: Source of clips.
        split: Name of a split; None = all.
        limit: The most clips; None = all.

    Returns:
        Source of the clips that are left.

    Raises:
        UsageError: for bad values.
    """
    if split not in (None, "train", "valid", "test"):
        raise UsageError(f"split must be train, valid or test, got {split!r}.", field="split")
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be 1 or more, got {limit}.", field="limit")
    if split is None and limit is None:
        return source
    chosen: list[int] = []
    for index in range(len(source)):
        if limit is not None and len(chosen) == limit:
            break
        if split is None or source.info(index).split == split:
            chosen.append(index)
    return Subset(source, tuple(chosen))


def problems_of(source: ClipSource) -> tuple[str, ...]:
    """Sentences about files that were left out when the source was opened."""
    files = files_of(source)
    return files.problems if files is not None else ()


def files_of(source: ClipSource) -> FileSource | None:
    """The collection of files that a source, or the one it is a part of, reads; None if its clips are made."""
    if isinstance(source, Subset):
        return files_of(source.source)
    return source if isinstance(source, FileSource) else None


def remarks(source: ClipSource, shown: int = 3) -> list[str]:
    """Sentences about files of a collection that are not used as sounds, and about how others were read."""
    files = files_of(source)
    if files is None:
        return []
    names = files.passed_over
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    passed = [f"passed over, because they are no sounds: {', '.join(names[:shown])}{more}."] if names else []
    return [*passed, *files.notes]


def format_of(source: ClipSource, index: int) -> SoundFormat:
    """Rate and channels of the file behind a clip; of a clip that is made on the spot, its own."""
    if isinstance(source, Subset):
        return format_of(source.source, source.indices[index])
    if isinstance(source, FileSource):
        return source.format(index)
    return SoundFormat(SAMPLE_RATE, NUM_CHANNELS, round(source.info(index).duration_seconds * SAMPLE_RATE))


CORPUS_PREFIX = "corpus:"
_NUMBERS = ("seed", "size", "version")
_PATHS = ("pack", "sonic_pi", "strums")
_OPTIONS = (*_NUMBERS, *_PATHS, "split")


def open_source(
    spec: str | Path,
    defaults: FileDefaults | None = None,
    *,
    size: int | None = None,
    split: str | None = None,
    limit: int | None = None,
) -> ClipSource:
    """Open a source of clips.

    Args:
        spec: A folder of sound files; a .csv, .tsv or .jsonl manifest; .tar shards, also as a pattern such as
            `shards/*.tar` or `shards/{00..12}.tar`; or `corpus:` for the generated corpus, with options such as
            `corpus:version=2,seed=1,size=2000,pack=../audio-pack`.
        defaults: For files that do not say it themselves.
        size: Clips of the generated corpus if the spec does not name it; files have the number they have.
        split: Only the clips of one split, only the first `limit` of them.
        limit: Only the clips of one split, only the first `limit` of them.

    Returns:
        The source.

    Raises:
        UsageError: for an unknown kind or option.
        InputFileError: if it cannot be read.
    """
    text = str(spec)
    if text.startswith(CORPUS_PREFIX):
        source = _open_corpus(text.removeprefix(CORPUS_PREFIX), size)
    else:
        source = _open_files(text, defaults)
    return restricted(source, split=split, limit=limit)


def _open_files(text: str, defaults: FileDefaults | None) -> FileSource:
    path = Path(text)
    if path.is_dir():
        return open_folder(path, defaults)
    suffix = path.suffix.lower()
    if suffix in MANIFEST_SUFFIXES:
        return open_manifest(path, defaults)
    if suffix == ".tar":
        return open_webdataset(_shards(text), defaults)
    if not path.exists():
        raise InputFileError(f"{text} does not exist; name a folder, a manifest, .tar shards or corpus:.")
    if suffix == ".gz":
        raise UsageError(f"{text} is compressed: unpack it and name what is in it.")
    kinds = ", ".join(sorted(MANIFEST_SUFFIXES | {".tar"}))
    raise UsageError(f"{text} is no source of clips: name a folder, a file ending in {kinds}, or corpus:.")


def _shards(text: str) -> list[str]:
    match = re.search(r"\{(\d+)\.\.(\d+)\}", text)
    if match:
        first, last = match.groups()
        numbers = range(int(first), int(last) + 1)
        return [text[: match.start()] + f"{n:0{len(first)}d}" + text[match.end() :] for n in numbers]
    if Path(text).exists():
        return [text]
    found = sorted(glob.glob(text))
    if not found:
        raise InputFileError(f"{text} does not exist and matches no file.")
    return found


def _open_corpus(text: str, size: int | None) -> ClipSource:
    from arctone.data.corpus import Corpus

    options: dict[str, Any] = {} if size is None else {"size": size}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        options[name] = _option(name, value)
    return Corpus(**options)


def _option(name: str, value: str) -> int | str:
    if name not in _OPTIONS:
        near = difflib.get_close_matches(name, _OPTIONS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"allowed are {', '.join(_OPTIONS)}."
        raise UsageError(f"corpus: has no option '{name}'; {hint}", field="corpus")
    if name in _PATHS and not Path(value).is_dir():
        raise InputFileError(f"corpus: {name} must be a folder, but '{value}' is none.", field="corpus")
    if name not in _NUMBERS:
        return value
    if not re.fullmatch(r"\d+", value):
        raise UsageError(f"corpus: {name} must be a whole number, 0 or more, got '{value}'.", field="corpus")
    return int(value)
