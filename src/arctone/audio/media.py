"""Sounds that libsndfile cannot read (m4a, AAC, WebM, films), through PyAV. Only its first sound track is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from arctone.audio.formats import MAX_CHANNELS, check_shape, too_long
from arctone.errors import InputFileError, install_hint

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# Demuxers that read what the formats of `formats.READ_FORMATS` are; others may open further files or hosts.
_DEMUXERS = frozenset({"mov", "mp4", "m4a", "3gp", "3g2", "mj2", "aac", "matroska", "webm", "caf", "asf", "ogg", "mp3"})
_SIGNS = (
    (4, b"ftyp"),
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska, WebM
    (0, b"caff"),
    (0, b"\x30\x26\xb2\x75"),  # WMA
    (0, b"\xff\xf1"),  # AAC
    (0, b"\xff\xf9"),
)


def is_media(head: bytes) -> bool:
    """Whether a file that begins with these bytes is one of those that are read here.

    Args:
        head: The first 12 bytes or more.

    Returns:
        True if it is.
    """
    return any(head[at : at + len(sign)] == sign for at, sign in _SIGNS)


def decode_media(file: str | Path | IO[bytes], name: str, max_seconds: float) -> tuple[npt.NDArray[np.float32], int]:
    """Decode the first sound track.

    Args:
        file: A path, or an open file.
        name: What it is called in errors.
        max_seconds: Longest sound; decoding ends at the first sample too many.

    Returns:
        Samples [channels, samples] and their rate in Hz.

    Raises:
        InputFileError: If PyAV is not installed, or the file holds no sound that can be read.
    """
    with open_media(file, name, max_seconds) as track:
        parts = list(track.parts)
    if not parts:
        raise InputFileError(f"{name} holds no samples.")
    return np.concatenate(parts, axis=1), track.sample_rate


def media_shape(file: str | Path | IO[bytes], name: str, max_seconds: float = float("inf")) -> tuple[int, int, int]:
    """Read rate, channels and samples per channel, which are counted by decoding.

    Args:
        file: A path, or an open file.
        name: What it is called in errors.
        max_seconds: Longest sound; decoding ends at the first sample too many.

    Returns:
        Rate in Hz, number of channels, samples per channel.

    Raises:
        InputFileError: As `decode_media`.
    """
    with open_media(file, name, max_seconds) as track:
        # The announced length counts the encoder's silence at both ends, so only decoding tells the true one.
        return track.sample_rate, track.num_channels, sum(part.shape[1] for part in track.parts)


class Track(NamedTuple):
    """A sound track. sample_rate: in Hz. parts: decoded stretches [channels, samples]; one too many is refused."""

    sample_rate: int
    num_channels: int
    parts: Iterator[npt.NDArray[np.float32]]


@contextmanager
def open_media(file: str | Path | IO[bytes], name: str, max_seconds: float) -> Iterator[Track]:
    """Open the first sound track, to be decoded part by part.

    Args:
        file: A path, or an open file.
        name: What it is called in errors.
        max_seconds: Longest sound.

    Raises:
        InputFileError: As `decode_media`, also while it is decoded.
    """
    with _opened(file, name) as (container, stream):
        rate, channels = int(stream.rate or 0), int(stream.channels or 0)
        check_shape(name, rate, channels, 0, 1.0)
        if max_seconds == float("inf"):
            yield Track(rate, channels, _parts(container, stream, rate, channels))
            return
        most = check_shape(name, rate, channels, _announced(stream, rate), max_seconds)
        yield Track(rate, channels, _limited(_parts(container, stream, rate, channels), name, rate, most))


def _limited(
    parts: Iterator[npt.NDArray[np.float32]], name: str, rate: int, most: int
) -> Iterator[npt.NDArray[np.float32]]:
    left = most
    for part in parts:
        left -= part.shape[1]
        if left < 0:
            raise too_long(name, most / rate)
        yield part


class _Guarded:
    """An open file that ends at the first place outside it which is sought.

    A file raises there, and PyAV prints that as a traceback and goes on: a damaged file leads to thousands of them.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._is_over = file, False

    def read(self, size: int = -1) -> bytes:
        return b"" if self._is_over else self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            self._is_over = True
            return -1

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


@contextmanager
def _opened(file: str | Path | IO[bytes], name: str) -> Iterator[tuple[InputContainer, AudioStream]]:
    try:
        import av
    except ImportError:
        raise InputFileError(
            f"{name} needs PyAV to be read, which is not installed: {install_hint('media')}."
        ) from None
    av.logging.set_level(None)
    try:
        with av.open(str(file) if isinstance(file, str | Path) else _Guarded(file), "r") as found:
            if not _DEMUXERS & set(found.format.name.split(",")):
                raise InputFileError(f"{name} is a {found.format.name} file, which is not read.")
            if not found.streams.audio:
                raise InputFileError(f"{name} holds no sound track.")
            stream = found.streams.audio[0]
            if stream.codec_context is None:
                raise InputFileError(f"{name} holds a sound track of an unknown codec.")
            yield found, stream
    except (av.FFmpegError, ValueError, OSError) as problem:
        why = str(getattr(problem, "strerror", None) or problem).lower()
        raise InputFileError(f"{name} is not a sound file that can be read: {why}.") from None


def _announced(stream: Any, rate: int) -> int:
    seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    # Within the encoder's padding, so that a sound of just the longest length is not refused.
    return max(0, round((seconds - 0.2) * rate))


def _parts(container: Any, stream: Any, rate: int, channels: int) -> Iterator[npt.NDArray[np.float32]]:
    """Decoded stretches [channels, samples] as float32."""
    from av import AudioResampler

    resampler = AudioResampler(format="fltp", layout=stream.layout, rate=rate)
    for frame in container.decode(stream):
        for part in resampler.resample(frame):
            yield _checked(part.to_ndarray(), channels)
    for part in resampler.resample(None):
        yield _checked(part.to_ndarray(), channels)


def _checked(part: npt.NDArray[Any], channels: int) -> npt.NDArray[np.float32]:
    if part.shape[0] != channels or channels > MAX_CHANNELS:
        raise ValueError("its number of channels changes")
    return np.ascontiguousarray(part, np.float32)
