"""A part of a source: one split, or the first clips."""

from arctone.audio.waveform import Waveform
from arctone.data.clip import ClipInfo, ClipSource
from arctone.data.file_source import FileSource
from arctone.data.sound import NUM_CHANNELS, SAMPLE_RATE, SoundFormat
from arctone.errors import UsageError


class Subset:
    """The clips `indices` of a source, renumbered from 0."""

    def __init__(self, source: ClipSource, indices: "range | tuple[int, ...]") -> None:
        self.source = source
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def info(self, index: int) -> ClipInfo:
        """Facts of clip `index`. Raises: IndexError outside the range."""
        return self.source.info(self.indices[index])

    def waveform(self, index: int) -> Waveform:
        """Sound of clip `index`."""
        return self.source.waveform(self.indices[index])


def restricted(source: ClipSource, *, split: str | None = None, limit: int | None = None) -> ClipSource:
    """The clips of one split, then the first `limit` of them; None leaves all. Raises: UsageError for bad values."""
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
