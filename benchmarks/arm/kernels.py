"""Which functions of a library an emulated process executed: QEMU's list of translated blocks, named by the symbols."""

from __future__ import annotations

import bisect
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_ADDRESS = re.compile(r"^(0x[0-9a-f]+):")
_MAP = re.compile(r"^(?:map )?([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \d+\s+(\S+)$")


class Mapping(NamedTuple):
    """A piece of a file in memory: addresses [start, end), from `offset` in the file on."""

    start: int
    end: int
    offset: int
    path: str


def mappings(lines: Iterable[str]) -> list[Mapping]:
    """Those among lines of /proc/self/maps, with or without "map " in front."""
    found = (_MAP.match(line.strip()) for line in lines)
    return [Mapping(int(m[1], 16), int(m[2], 16), int(m[3], 16), m[4]) for m in found if m]


def translated(log: Path) -> set[int]:
    """First addresses of the blocks in a log of `qemu -d in_asm`."""
    found = set()
    is_first = False
    with log.open(errors="replace") as lines:
        for line in lines:
            if line.startswith("IN:"):
                is_first = True
            elif is_first and (match := _ADDRESS.match(line)):
                found.add(int(match[1], 16))
                is_first = False
    return found


def executed(library: Path, where: list[Mapping], blocks: set[int]) -> set[str]:
    """Names of a library's functions among the blocks."""
    symbols = _symbols(library)
    addresses = [address for address, _ in symbols]
    segments = _segments(library)
    names = set()
    for block in blocks:
        for piece in where:
            if piece.start <= block < piece.end:
                address = _virtual(block - piece.start + piece.offset, segments)
                place = bisect.bisect_right(addresses, address) - 1
                if place >= 0:
                    names.add(symbols[place][1])
    return names


def _symbols(library: Path) -> list[tuple[int, str]]:
    """Functions by their virtual address, in order."""
    listed = subprocess.run(["nm", "--defined-only", str(library)], check=True, capture_output=True, text=True).stdout
    found = []
    for line in listed.splitlines():
        address, kind, name = line.split(maxsplit=2)
        if kind in "tTwW":
            found.append((int(address, 16), name))
    return sorted(found)


def _segments(library: Path) -> list[tuple[int, int, int]]:
    """Loaded segments: offset in the file, virtual address, length in the file."""
    listed = subprocess.run(["readelf", "-lW", str(library)], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in listed.splitlines() if line.split()[:1] == ["LOAD"]]
    return [(int(row[1], 16), int(row[2], 16), int(row[4], 16)) for row in rows]


def _virtual(offset: int, segments: list[tuple[int, int, int]]) -> int:
    for start, address, length in segments:
        if start <= offset < start + length:
            return offset - start + address
    return -1
