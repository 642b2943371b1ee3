"""Sounds for training: a clip with its facts, and the random crop, gain and channels that are taken of it."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol, runtime_checkable

import msgspec
import numpy as np
import numpy.typing as npt
import soundfile

from arctone.audio.formats import SOUND_SUFFIXES as SOUND_SUFFIXES
from arctone.audio.formats import check_shape, reason, refuse_unreadable
from arctone.audio.media import decode_media, is_media
from arctone.audio.media import media_shape as media_format
from arctone.audio.waveform import Waveform, conform, to_mono
from arctone.errors import ArctoneError, InputFileError

if TYPE_CHECKING:
    from arctone.audio.waveform import Waveform


Split = Literal["train", "valid", "test"]


class ClipInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about a clip except its sound.

    Args:
        id: Unique and stable name inside its source.
        caption: What the clip is, in English.
        captions: All wordings, the first is `caption`.
        duration_seconds: Exact length of the waveform.
        bpm: Exact tempo, None where there is no beat.
        key: Tonic and mode such as "C minor", None where unpitched.
        attributes: Machine readable labels, such as family, instrument, genre, kit.
        held_out: Names of the rules that put the clip into the test split, empty elsewhere.
        licence: SPDX-like names, joined by " AND ".
        source: Where the sounds come from, joined by " + ".
    """

    id: str
    caption: str
    captions: tuple[str, ...]
    duration_seconds: float
    bpm: float | None = None
    key: str | None = None
    category: str = ""
    attributes: dict[str, str] = {}
    split: Split = "train"
    held_out: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""


@runtime_checkable
class ClipSource(Protocol):
    """An ordered collection of clips: numbers 0 to len - 1."""

    def __len__(self) -> int: ...

    def info(self, index: int) -> ClipInfo:
        """Facts of clip `index`. Cheap: makes no audio. Raises IndexError outside the range."""
        ...

    def waveform(self, index: int) -> Waveform:
        """Sound of clip `index`: float32 [2, samples], 44,100 Hz, the same at every call."""
        ...


def prepare(source: ClipSource, indices: Sequence[int]) -> None:
    """Load what clips share, for sources that have something of the kind: before processes are forked.

    Args:
        source: Source of clips.
        indices: Numbers of the clips that will be rendered.
    """
    if (load := getattr(source, "prepare", None)) is not None:
        load(indices)


SAMPLE_RATE = 44_100
NUM_CHANNELS = 2
# The longest clip: 256 latent frames of 2,048 samples, 11.89 s.
MAX_SAMPLES = 524_288
_MAX_BYTES = 2_000_000_000  # of a sound inside an archive
# What libsndfile gives for a stream of unknown length.
_UNKNOWN_LENGTH = 2**62


@dataclass(frozen=True)
class SoundPlace:
    """Where a sound lies: a file, or `size` bytes from `offset` on inside an archive.

    Args:
        name: For messages.
    """

    path: Path
    name: str
    offset: int = 0
    size: int | None = None


@dataclass(frozen=True)
class SoundFormat:
    """What a file announces.

    Args:
        num_samples: At sample_rate, per channel.
    """

    sample_rate: int
    num_channels: int
    num_samples: int


def read_format(place: SoundPlace) -> SoundFormat:
    """Read rate, channels and length, without decoding.

    Args:
        place: Where the sound is stored.

    Returns:
        Format of the file.

    Raises:
        InputFileError: in one sentence if it is no sound file.
    """
    with _open(place) as stream:
        if _is_media(stream):
            return SoundFormat(*media_format(stream, place.name))
        return _announced(stream, place)


def _announced(stream: BinaryIO, place: SoundPlace) -> SoundFormat:
    with _decoder(stream, place) as file:
        check_shape(place.name, int(file.samplerate), int(file.channels), 0, 1.0)
        length = int(file.frames) if file.frames < _UNKNOWN_LENGTH else sum(len(part) for part in file.blocks(65_536))
        if length == 0:
            raise InputFileError(f"{place.name} holds no samples.")
        return SoundFormat(int(file.samplerate), int(file.channels), length)


def read_stretch(place: SoundPlace, start: int, count: int) -> Waveform:
    """Read `count` samples from `start` on (at the file's own rate).

    Mono is doubled; more than two channels are mixed to the middle, because their places are not known. The level is
    left alone.

    Args:
        place: Where the sound is stored.
        start: First sample.
        count: Number of samples.

    Returns:
        Stereo at 44.1 kHz.

    Raises:
        InputFileError: in one sentence if the file is unreadable, cut off, or holds NaN or infinite samples.
    """
    samples, rate = _stretch(place, start, count)
    if samples.shape[1] < count:
        raise InputFileError(f"{place.name} is cut off: it ends before the length that it announces.")
    try:
        waveform = Waveform(np.ascontiguousarray(samples), rate)
        return conform(to_mono(waveform) if waveform.num_channels > 2 else waveform, SAMPLE_RATE, NUM_CHANNELS)
    except ArctoneError as problem:
        raise InputFileError(f"{place.name} cannot be used: {problem}") from None


def _stretch(place: SoundPlace, start: int, count: int) -> tuple[npt.NDArray[np.float32], int]:
    """Samples [channels, count] and their rate."""
    with _open(place) as stream:
        if _is_media(stream):
            samples, rate = _whole_media(place)
            return samples[:, start : start + count], rate
        with _decoder(stream, place) as file:
            try:
                file.seek(start)
                return file.read(count, dtype="float32", always_2d=True).T, int(file.samplerate)
            except (soundfile.LibsndfileError, RuntimeError) as problem:
                raise InputFileError(f"{place.name} cannot be read to its end: {reason(problem)}.") from None


@functools.lru_cache(maxsize=1)
def _whole_media(place: SoundPlace) -> tuple[npt.NDArray[np.float32], int]:
    """All of a file that cannot be entered in the middle; the windows of one file follow each other."""
    with _open(place) as stream:
        return decode_media(stream, place.name, float("inf"))


def _is_media(stream: BinaryIO) -> bool:
    head = stream.read(16)
    stream.seek(0)
    return is_media(head)


def num_samples_at_44100(count: int, sample_rate: int) -> int:
    """Length after resampling, as arctone.audio.waveform rounds it."""
    return count if sample_rate == SAMPLE_RATE else round(count * SAMPLE_RATE / sample_rate)


def windows(sound: SoundFormat) -> list[tuple[int, int]]:
    """(start, count) of the equal stretches, each at most MAX_SAMPLES at 44.1 kHz, that cover a file."""
    longest = MAX_SAMPLES * sound.sample_rate // SAMPLE_RATE
    num_windows = -(-sound.num_samples // longest)
    edges = [sound.num_samples * number // num_windows for number in range(num_windows + 1)]
    return [(start, end - start) for start, end in pairwise(edges)]


def _open(place: SoundPlace) -> BinaryIO:
    if place.size is None:
        refuse_unreadable(place.path, place.name)
    try:
        if place.size is None:
            return open(place.path, "rb")
        with open(place.path, "rb") as archive:
            archive.seek(place.offset)
            return io.BytesIO(archive.read(min(place.size, _MAX_BYTES)))
    except FileNotFoundError:
        raise InputFileError(f"{place.name} does not exist.") from None
    except (OSError, ValueError) as problem:
        why = (getattr(problem, "strerror", None) or str(problem)).lower()
        raise InputFileError(f"{place.name} cannot be read: {why}.") from None


def _decoder(stream: BinaryIO, place: SoundPlace) -> soundfile.SoundFile:
    if not stream.read(1):
        raise InputFileError(f"{place.name} is empty.")
    stream.seek(0)
    try:
        return soundfile.SoundFile(stream)
    except (soundfile.LibsndfileError, TypeError, RuntimeError) as problem:
        raise InputFileError(f"{place.name} is not a sound file that can be read: {reason(problem)}.") from None
