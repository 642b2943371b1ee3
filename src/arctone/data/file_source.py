"""Clips from sound files with stored facts: what folders, manifests and archives have in common."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from arctone.audio.waveform import Waveform
from arctone.data.sound import (
    SAMPLE_RATE,
    ClipInfo,
    SoundFormat,
    SoundPlace,
    Split,
    num_samples_at_44100,
    read_format,
    read_stretch,
)
from arctone.data.sound import windows as windows_of
from arctone.errors import InputFileError, UsageError

# A manifest's length may be rounded to hundredths of a second.
DURATION_TOLERANCE_SECONDS = 0.05


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person may state about a sound file; everything may be left out. Meanings as in ClipInfo.

    Args:
        caption: Either or both. licence may be spelt license.
        captions: Either or both. licence may be spelt license.
    """

    id: str = ""
    caption: str = ""
    captions: tuple[str, ...] = ()
    duration_seconds: float | None = None
    bpm: float | None = None
    key: str | None = None
    category: str = ""
    attributes: dict[str, str] = {}
    split: Split | None = None
    held_out: tuple[str, ...] = ()
    licence: str = ""
    license: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if self.bpm is not None and not 20 <= self.bpm <= 400:
            raise ValueError(f"bpm must be from 20 to 400, got {self.bpm:g}")

    def wordings(self) -> tuple[str, ...]:
        """All captions, the main one first, each once, without empty ones."""
        stripped = (text.strip() for text in (self.caption, *self.captions))
        return tuple(dict.fromkeys(text for text in stripped if text))


@dataclass(frozen=True)
class FileDefaults:
    """For files that do not say it themselves.

    Args:
        licence: Of all files.
        source: Of all files.
        valid_share: Share of the files, 0 to 0.5, that become the "valid" split, chosen by a hash of their names, so
            that new files do not move old ones.
    """

    licence: str = ""
    source: str = ""
    valid_share: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.valid_share <= 0.5:
            raise UsageError(f"valid_share must be from 0 to 0.5, got {self.valid_share}.", field="valid_share")


@dataclass(frozen=True)
class SoundEntry:
    """A sound file and its facts.

    Args:
        name: Unique and stable inside the source, such as the path from the folder on.
    """

    name: str
    place: SoundPlace
    facts: Facts


@dataclass(frozen=True)
class _Window:
    info: ClipInfo
    place: SoundPlace
    format: SoundFormat
    start: int
    count: int


class FileSource:
    """Sound files as a ClipSource: any rate and channels become 44.1 kHz stereo, long files equal windows of at most
    11.89 s, with the file's captions each.

    Args:
        entries: Sounds with their facts.
        problems: One sentence for each file or row that cannot be used and is left out.
        defaults: Facts of files that name none of their own.
        layout: How the collection is laid out, for people.
        passed_over: Files that are neither sounds nor about one.
        notes: Remarks on how files were read.
    """

    def __init__(
        self,
        entries: Iterable[SoundEntry],
        problems: Iterable[str] = (),
        defaults: FileDefaults | None = None,
        *,
        layout: str = "",
        passed_over: Iterable[str] = (),
        notes: Iterable[str] = (),
    ) -> None:
        self.problems = tuple(problems)
        self.layout, self.passed_over, self.notes = layout, tuple(passed_over), tuple(notes)
        self._windows: list[_Window] = []
        seen: set[str] = set()
        for entry in entries:
            try:
                found = _windows_of(entry, defaults or FileDefaults())
                if found[0].info.id in seen:
                    raise InputFileError(
                        f"{entry.place.name} has the id {found[0].info.id}, which an earlier one has too: "
                        "state other ids, or put all captions of a file together."
                    )
            except InputFileError as problem:
                self.problems += (str(problem),)
                continue
            self._windows += found
            seen.add(found[0].info.id)

    def __len__(self) -> int:
        return len(self._windows)

    def info(self, index: int) -> ClipInfo:
        """Return the facts of clip `index`.

        Args:
            index: Number of the clip, from 0.

        Returns:
            Facts of the clip.

        Raises:
            IndexError: outside the range.
        """
        return self._windows[index].info

    def waveform(self, index: int) -> Waveform:
        """Decode clip `index`.

        Args:
            index: Number of the clip, from 0.

        Returns:
            Stereo, 44.1 kHz.

        Raises:
            IndexError: outside the range.
            InputFileError: if the file cannot be decoded.
        """
        window = self._windows[index]
        return read_stretch(window.place, window.start, window.count)

    def place(self, index: int) -> tuple[SoundPlace, int]:
        """The file that clip `index` comes from, and its first sample there."""
        window = self._windows[index]
        return window.place, window.start

    def format(self, index: int) -> SoundFormat:
        """Rate, channels and length of the file that clip `index` comes from."""
        return self._windows[index].format


def _windows_of(entry: SoundEntry, defaults: FileDefaults) -> list[_Window]:
    found = read_format(entry.place)
    stretches = windows_of(found)
    _refuse_other_length(entry, found)
    return [
        _Window(_info(entry, defaults, found, number, len(stretches), count), entry.place, found, start, count)
        for number, (start, count) in enumerate(stretches)
    ]


def _refuse_other_length(entry: SoundEntry, found: SoundFormat) -> None:
    stated, seconds = entry.facts.duration_seconds, found.num_samples / found.sample_rate
    if stated is not None and abs(stated - seconds) > DURATION_TOLERANCE_SECONDS:
        raise InputFileError(f"{entry.place.name} is {seconds:.2f} s long, but duration_seconds says {stated:.2f}.")


def _info(
    entry: SoundEntry, defaults: FileDefaults, found: SoundFormat, number: int, num_windows: int, count: int
) -> ClipInfo:
    facts, wordings = entry.facts, entry.facts.wordings()
    name = facts.id or entry.name
    return ClipInfo(
        id=name if num_windows == 1 else f"{name}#{number}",
        caption=wordings[0] if wordings else "",
        captions=wordings,
        duration_seconds=num_samples_at_44100(count, found.sample_rate) / SAMPLE_RATE,
        bpm=facts.bpm,
        key=facts.key,
        category=facts.category,
        attributes=facts.attributes,
        split=facts.split or _split(entry.name, defaults.valid_share),
        held_out=facts.held_out,
        licence=facts.licence or facts.license or defaults.licence,
        source=facts.source or defaults.source or entry.name,
    )


def _split(name: str, valid_share: float) -> Split:
    place = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big") / 2**64
    return "valid" if place < valid_share else "train"
