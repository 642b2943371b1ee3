"""The chunks of a WAV file: what libsndfile cannot tell (cut files, long comments) or writes with a clock."""

import io
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# A recorder that streams does not know the length beforehand and writes one of these.
_UNKNOWN_LENGTHS = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFF000)


def chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Chunks of a RIFF WAVE file as (name, offset of the content, announced size in bytes)."""
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return
    offset = 12
    while True:
        file.seek(offset)
        name_and_size = file.read(8)
        if len(name_and_size) < 8:
            return
        name, size = struct.unpack("<4sI", name_and_size)
        yield name, offset + 8, size
        offset += 8 + size + size % 2


def is_cut(path: Path) -> bool:
    """Whether the file ends before the samples that its header announces."""
    length = os.path.getsize(path)
    with open(path, "rb") as file:
        sizes = [(offset, size) for name, offset, size in chunks(file) if name == b"data"]
    return any(size not in _UNKNOWN_LENGTHS and offset + size > length for offset, size in sizes)


def info_strings(path: Path) -> dict[str, str]:
    """The LIST INFO strings of a WAV file, by their four-letter names; empty if it has none."""
    with open(path, "rb") as file:
        for name, offset, size in chunks(file):
            if name == b"LIST" and size >= 4:
                file.seek(offset)
                content = file.read(size)
                if content[:4] == b"INFO":
                    return dict(_strings(content[4:]))
    return {}


def without_time(data: bytes) -> bytes:
    """The same file with the clock time in its PEAK chunk (32-bit float files) set to 0."""
    patched = bytearray(data)
    for name, offset, _ in chunks(io.BytesIO(data)):
        if name == b"PEAK":
            patched[offset + 4 : offset + 8] = bytes(4)
    return bytes(patched)


def _strings(content: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        text = content[at + 8 : at + 8 + size].split(b"\0", 1)[0]
        yield name.decode("ascii", "replace"), text.decode("utf-8", "replace")
        at += 8 + size + size % 2
