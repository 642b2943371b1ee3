"""Formats of audio files: names, containers, sample types, what libsndfile writes, pages of Ogg."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from arctone.errors import InputFileError, TooLongError

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 384_000
MAX_CHANNELS = 8
MAX_SECONDS = 600.0
# All channels together: 480 MB as float32, which is 600 seconds of stereo at 96 kHz.
MAX_VALUES = 120_000_000


@dataclass(frozen=True)
class ReadFormat:
    """A format that is read. name: for people. suffixes: of its files. is_media: read through PyAV, the extra media."""

    name: str
    suffixes: tuple[str, ...]
    is_media: bool = False


READ_FORMATS = (
    ReadFormat("WAV", (".wav", ".wave")),
    ReadFormat("FLAC", (".flac",)),
    ReadFormat("OGG", (".ogg", ".oga")),
    ReadFormat("Opus", (".opus",)),
    ReadFormat("MP3", (".mp3",)),
    ReadFormat("AIFF", (".aif", ".aiff", ".aifc")),
    ReadFormat("M4A", (".m4a", ".m4b", ".mp4", ".mov", ".3gp"), is_media=True),
    ReadFormat("AAC", (".aac",), is_media=True),
    ReadFormat("WebM", (".webm", ".mkv", ".mka"), is_media=True),
    ReadFormat("CAF", (".caf",), is_media=True),
    ReadFormat("WMA", (".wma",), is_media=True),
)
# The same formats by the names that libsndfile has for them.
_CONTAINERS = frozenset({"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "MPEG", "AIFF"})
SOUND_SUFFIXES = frozenset(suffix for each in READ_FORMATS if not each.is_media for suffix in each.suffixes)
MEDIA_SUFFIXES = frozenset(suffix for each in READ_FORMATS if each.is_media for suffix in each.suffixes)


def format_names() -> str:
    """The formats as a sentence lists them.

    >>> format_names()
    'WAV, FLAC, OGG, Opus, MP3, AIFF, M4A, AAC, WebM, CAF and WMA'
    """
    *most, last = (each.name for each in READ_FORMATS)
    return f"{', '.join(most)} and {last}"


def check_shape(name: str, sample_rate: int, num_channels: int, num_samples: int, max_seconds: float) -> int:
    """How many samples per channel may be read; ask before anything is decoded.

    Args:
        name: What the sound is called in errors.
        sample_rate: As the file announces it, in Hz.
        num_channels: As the file announces it.
        num_samples: Announced length per channel; 0 if it is unknown.
        max_seconds: Longest sound.

    Returns:
        Samples per channel, those of `max_seconds` at most.

    Raises:
        InputFileError: If the announced rate, channels or length are beyond what is read.
    """
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise InputFileError(
            f"{name} has a sample rate of {sample_rate} Hz, but {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz are read."
        )
    if not 1 <= num_channels <= MAX_CHANNELS:
        raise InputFileError(f"{name} has {num_channels} channels, but 1 to {MAX_CHANNELS} are read.")
    if num_samples > max_seconds * sample_rate:
        seconds = num_samples / sample_rate
        raise TooLongError(f"{name} is {seconds:.1f} seconds long, but at most {max_seconds:g} are read.")
    if num_samples * num_channels > MAX_VALUES:
        raise TooLongError(
            f"{name} has {num_samples * num_channels / 1e6:.0f} million values in {num_channels} channels at "
            f"{sample_rate} Hz, but at most {MAX_VALUES // 1_000_000} million are read."
        )
    return int(min(max_seconds * sample_rate, MAX_VALUES // num_channels))


def too_long(name: str, seconds: float) -> TooLongError:
    """Make the error of a sound that goes on behind the last sample that is read.

    Args:
        name: What the sound is called in errors.
        seconds: That are read.

    Returns:
        The error.
    """
    return TooLongError(f"{name} is longer than the {seconds:g} seconds that are read.")


def check_container(name: str, container: str) -> None:
    """Refuse what libsndfile reads, but no other part of the program.

    Args:
        name: What the sound is called in errors.
        container: libsndfile's name of the container.

    Raises:
        InputFileError: If it is none of `READ_FORMATS`.
    """
    if container not in _CONTAINERS:
        raise InputFileError(f"{name} is a {container} file, but {format_names()} are read.")


def rounded(frames: npt.NDArray[np.float32], num_bits: int) -> npt.NDArray[np.float64]:
    """Round samples to whole steps, without dither; samples beyond full scale are clipped.

    Args:
        frames: Samples of any shape; +-1 is full scale.
        num_bits: Of the format; a step is 2^(1 - num_bits).

    Returns:
        Whole numbers from -2^(num_bits - 1) to 2^(num_bits - 1) - 1, same shape.
    """
    full_scale = 2.0 ** (num_bits - 1)
    scaled = np.rint(frames.astype(np.float64) * full_scale)
    return np.clip(scaled, -full_scale, full_scale - 1)


_MISLEADING = "does not exist or is not a regular file"


def reason(problem: Exception) -> str:
    """Why libsndfile refused, without capital and full stop."""
    text = str(getattr(problem, "error_string", problem)).strip().rstrip(".")
    # What is no MP3 although its name ends so is reported as a missing file.
    if _MISLEADING in text:
        return "its content is of no known format"
    return text[:1].lower() + text[1:]


def refuse_unreadable(path: Path, name: str = "") -> bytes:
    """Read the first bytes of a sound file, and refuse what cannot be one.

    Args:
        path: The file.
        name: What it is called in errors; its path if empty.

    Returns:
        The first bytes.

    Raises:
        InputFileError: For a path that is missing, empty, a folder, or a pipe, which could be read for ever.
    """
    name = name or str(path)
    try:
        if path.is_dir():
            raise InputFileError(f"{name} is a folder, but a sound file is needed.")
        if path.exists() and not path.is_file():
            raise InputFileError(f"{name} is no regular file.")
        with open(path, "rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        raise InputFileError(f"{name} does not exist.") from None
    except (OSError, ValueError) as problem:
        raise InputFileError(f"{name} cannot be read: {_system_reason(problem)}.") from None
    if not head:
        raise InputFileError(f"{name} is empty.")
    return head


def _system_reason(problem: Exception) -> str:
    return (getattr(problem, "strerror", None) or str(problem)).lower()


_REVERSED_BITS = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_LAST_PAGE = 4


def with_serial(data: bytes, serial: int) -> bytes:
    """Replace the stream serial number of a one-stream Ogg file, and renew its checksums.

    Args:
        data: The file.
        serial: 0 to 2^32 - 1.

    Returns:
        The changed file, of the same length.
    """
    pages = []
    for start, end in _pages(data):
        page = bytearray(data[start:end])
        struct.pack_into("<I", page, 14, serial)
        struct.pack_into("<I", page, 22, 0)
        struct.pack_into("<I", page, 22, _checksum(bytes(page)))
        pages.append(bytes(page))
    return b"".join(pages)


def header_packets(data: bytes, count: int) -> list[bytes]:
    """Read the packets of a one-stream Ogg file that follow its first page.

    Args:
        data: The file; its first page holds the very first packet.
        count: Number of packets to read.

    Returns:
        The packets, `count` of them.

    Raises:
        ValueError: If the file has fewer.
    """
    packets, open_packet = [], b""
    for start, end in list(_pages(data))[1:]:
        at = start + 27 + data[start + 26]
        for size in data[start + 27 : start + 27 + data[start + 26]]:
            open_packet, at = open_packet + data[at : at + size], at + size
            if size < 255:
                packets.append(open_packet)
                open_packet = b""
        if len(packets) >= count:
            return packets[:count]
        assert at == end
    raise ValueError("the file has fewer packets")


def with_header_packets(data: bytes, packets: list[bytes]) -> bytes:
    """Replace the header packets of a one-stream Ogg file that follow its first page.

    Args:
        data: The file.
        packets: The new ones, as many as there were.

    Returns:
        The changed file; its checksums are wrong until `with_serial` renews them.
    """
    pages = list(_pages(data))
    num_old = _num_pages_of(data, pages[1:], len(packets))
    lacing = [min(255, left) for packet in packets for left in range(len(packet), -1, -255)]
    content, head = b"".join(packets), data[pages[1][0] : pages[1][0] + 26]
    whole, number = [data[pages[0][0] : pages[0][1]]], 1
    while lacing:
        table, lacing = lacing[:255], lacing[255:]
        body, content = content[: sum(table)], content[sum(table) :]
        is_continued = number > 1 and whole[-1][26 + whole[-1][26]] == 255
        ends_packet = any(size < 255 for size in table)
        granule = bytes(8) if ends_packet else b"\xff" * 8
        page = head[:5] + bytes([int(is_continued)]) + granule + head[14:18] + struct.pack("<I", number) + bytes(4)
        whole.append(page + bytes([len(table), *table]) + body)
        number += 1
    for start, end in pages[1 + num_old :]:
        whole.append(data[start : start + 18] + struct.pack("<I", number) + data[start + 22 : end])
        number += 1
    return b"".join(whole)


def _num_pages_of(data: bytes, pages: list[tuple[int, int]], num_packets: int) -> int:
    """How many pages the first packets fill; a page that ends them holds nothing else."""
    found = 0
    for count, (start, _) in enumerate(pages, 1):
        found += sum(size < 255 for size in data[start + 27 : start + 27 + data[start + 26]])
        if found >= num_packets:
            return count
    raise ValueError("the file has fewer packets")


def is_cut(file: Path | IO[bytes]) -> bool:
    """Whether the file lacks the last page of its stream.

    Args:
        file: A path, or an open file at its start.

    Returns:
        True if it does.
    """
    data = file.read_bytes() if isinstance(file, Path) else file.read()
    last_start, last_end = max(_pages(data), default=(0, 0))
    return last_end == 0 or not data[last_start + 5] & _LAST_PAGE


def _pages(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each complete page."""
    at = 0
    while data[at : at + 4] == b"OggS" and at + 27 <= len(data):
        num_segments = data[at + 26]
        table = data[at + 27 : at + 27 + num_segments]
        end = at + 27 + num_segments + sum(table)
        if end > len(data) or len(table) < num_segments:
            return
        yield at, end
        at = end


def _checksum(page: bytes) -> int:
    """CRC-32 as Ogg wants it: polynomial 0x04C11DB7, bits from the top, no inversion; zlib's is its mirror image."""
    mirrored = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
