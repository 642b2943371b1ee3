"""The pages of an Ogg file: a fixed serial number, so that equal sound gives equal bytes, and cut files noticed.

Source: RFC 3533.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_REVERSED_BITS = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_LAST_PAGE = 4


def with_serial(data: bytes, serial: int) -> bytes:
    """The same one-stream file with another stream serial number and its checksums renewed."""
    pages = []
    for start, end in _pages(data):
        page = bytearray(data[start:end])
        struct.pack_into("<I", page, 14, serial)
        struct.pack_into("<I", page, 22, 0)
        struct.pack_into("<I", page, 22, _checksum(bytes(page)))
        pages.append(bytes(page))
    return b"".join(pages)


def is_cut(file: Path | IO[bytes]) -> bool:
    """Whether the file lacks the last page of its stream. Args: file: a path, or an open file at its start."""
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
