"""What the programs that fuzz readers share: good inputs, and the description of a reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from arctone.audio.tags import MARK

TINY = Path(__file__).parent / "exports" / "tiny"
REQUEST = {"prompt": "rain", "seed": 7, "steps": 4, "duration_seconds": 1.0, "inpaint": ["0.1:0.2"], "variations": 2}
RECORD = {"mark": MARK, "schema": 1, "request": REQUEST, "model": "spark", "version": "0.1.0", "source": None}


@dataclass(frozen=True)
class Reader:
    """What is fuzzed. name: of the file that the input becomes. seeds: good inputs. read: the file's path is given."""

    name: str
    seeds: tuple[bytes, ...]
    read: Callable[[Path], object]
