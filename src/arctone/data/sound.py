"""Sound files of any rate and channel count as 44.1 kHz stereo, a stretch at a time."""

import io
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from arctone.audio.resample import conform, to_mono
from arctone.audio.sndfile import reason
from arctone.audio.waveform import Waveform
from arctone.errors import ArctoneError, InputFileError

SAMPLE_RATE = 44_100
NUM_CHANNELS = 2
# The longest clip: 256 latent frames of 2,048 samples, 11.89 s.
MAX_SAMPLES = 524_288
SOUND_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff"})
# What libsndfile gives for a stream of unknown length.
_UNKNOWN_LENGTH = 2**62


@dataclass(frozen=True)
class SoundPlace:
    """Where a sound lies: a file, or `size` bytes from `offset` on inside an archive. name: for messages."""

    path: Path
    name: str
    offset: int = 0
    size: int | None = None


@dataclass(frozen=True)
class SoundFormat:
    """What a file announces. num_samples: at sample_rate, per channel."""

    sample_rate: int
    num_channels: int
    num_samples: int


def read_format(place: SoundPlace) -> SoundFormat:
    """Rate, channels and length, without decoding. Raises: InputFileError in one sentence if it is no sound file."""
    with _open(place) as stream, _decoder(stream, place) as file:
        length = int(file.frames) if file.frames < _UNKNOWN_LENGTH else sum(len(part) for part in file.blocks(65_536))
        if length == 0:
            raise InputFileError(f"{place.name} holds no samples.")
        return SoundFormat(int(file.samplerate), int(file.channels), length)


def read_stretch(place: SoundPlace, start: int, count: int) -> Waveform:
    """`count` samples from `start` on (at the file's own rate), as stereo at 44.1 kHz.

    Mono is doubled; more than two channels are mixed to the middle, because their places are not known. The level is
    left alone.
    Raises: InputFileError in one sentence if the file is unreadable, cut off, or holds NaN or infinite samples.
    """
    with _open(place) as stream, _decoder(stream, place) as file:
        try:
            file.seek(start)
            frames = file.read(count, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as problem:
            raise InputFileError(f"{place.name} cannot be read to its end: {reason(problem)}.") from None
        rate = int(file.samplerate)
    if len(frames) < count:
        raise InputFileError(f"{place.name} is cut off: it ends before the length that it announces.")
    try:
        waveform = Waveform(np.ascontiguousarray(frames.T), rate)
        return conform(to_mono(waveform) if waveform.num_channels > 2 else waveform, SAMPLE_RATE, NUM_CHANNELS)
    except ArctoneError as problem:
        raise InputFileError(f"{place.name} cannot be used: {problem}") from None


def num_samples_at_44100(count: int, sample_rate: int) -> int:
    """Length after resampling, as arctone.audio.resample rounds it."""
    return count if sample_rate == SAMPLE_RATE else round(count * SAMPLE_RATE / sample_rate)


def windows(sound: SoundFormat) -> list[tuple[int, int]]:
    """(start, count) of the equal stretches, each at most MAX_SAMPLES at 44.1 kHz, that cover a file."""
    longest = MAX_SAMPLES * sound.sample_rate // SAMPLE_RATE
    num_windows = -(-sound.num_samples // longest)
    edges = [sound.num_samples * number // num_windows for number in range(num_windows + 1)]
    return [(start, end - start) for start, end in pairwise(edges)]


def _open(place: SoundPlace) -> BinaryIO:
    try:
        if place.size is None:
            return open(place.path, "rb")
        with open(place.path, "rb") as archive:
            archive.seek(place.offset)
            return io.BytesIO(archive.read(place.size))
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
    except (soundfile.LibsndfileError, TypeError) as problem:
        raise InputFileError(f"{place.name} is not a sound file that can be read: {reason(problem)}.") from None
