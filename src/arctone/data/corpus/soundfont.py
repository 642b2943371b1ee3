"""Soundfont playing with tinysoundfont: one loaded font per process and path, bit-equal notes every time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from arctone.errors import InputFileError, UsageError

SAMPLE_RATE = 44_100
MAX_VOICES = 192
# A reset fades voices out over some milliseconds; this much is rendered and dropped before each stem.
_DRAIN_SAMPLES = 4_410

Audio = npt.NDArray[np.float32]


@dataclass(frozen=True, order=True)
class Note:
    """One note. start_seconds from the stem's beginning; pitch: MIDI number; velocity: 0 to 1."""

    start_seconds: float
    duration_seconds: float
    pitch: int
    velocity: float


class SoundFont:
    """A loaded sf2 or sf3 file that renders one stem at a time.

    Args: path: the file. Raises: InputFileError if it cannot be loaded, UsageError if tinysoundfont is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self._font = _load(Path(path))

    def has(self, bank: int, program: int) -> bool:
        """Whether the font has this preset; bank 128 holds the drum kits."""
        return bool(self._font.get_preset_index(bank, program) >= 0)

    def render(self, bank: int, program: int, notes: list[Note], num_samples: int) -> Audio:
        """Sound of `notes` on one preset, float32 [2, num_samples], dry."""
        self._prepare(bank, program)
        stereo = np.zeros((num_samples, 2), np.float32)
        position = 0
        for sample, is_on, note in _events(notes, num_samples):
            self._fill(stereo, position, sample)
            position = sample
            self._switch(is_on, note)
        self._fill(stereo, position, num_samples)
        return np.ascontiguousarray(stereo.T)

    def _prepare(self, bank: int, program: int) -> None:
        self._font.reset()
        self._fill(np.zeros((_DRAIN_SAMPLES, 2), np.float32), 0, _DRAIN_SAMPLES)
        self._font.channel_set_bank(0, bank)
        self._font.channel_set_preset_number(0, program, bank == 128)

    def _fill(self, stereo: Audio, start: int, end: int) -> None:
        if end > start:
            self._font.render(stereo[start:end].data.cast("B"))

    def _switch(self, is_on: bool, note: Note) -> None:
        if is_on:
            self._font.channel_note_on(0, note.pitch, note.velocity)
        else:
            self._font.channel_note_off(0, note.pitch)


def shared_font(path: str | Path) -> SoundFont:
    """The font at `path`, loaded once in each process."""
    return _loaded(str(path), os.getpid())


@lru_cache(maxsize=8)
def _loaded(path: str, process: int) -> SoundFont:
    return SoundFont(path)


def _events(notes: list[Note], num_samples: int) -> list[tuple[int, bool, Note]]:
    events = []
    for note in notes:
        start = round(note.start_seconds * SAMPLE_RATE)
        end = max(start + 1, round((note.start_seconds + note.duration_seconds) * SAMPLE_RATE))
        if start < num_samples:
            events += [(start, True, note), (min(end, num_samples), False, note)]
    return sorted(events, key=lambda event: (event[0], event[1], event[2].pitch, event[2].velocity))


def _load(path: Path) -> Any:
    try:
        from tinysoundfont import _tinysoundfont as tiny
    except ImportError:
        raise UsageError(
            f"soundfonts: playing {path} needs the package tinysoundfont (pip install --no-deps tinysoundfont).",
            field="soundfonts",
        ) from None
    try:
        font = tiny.SoundFont(str(path))
    except Exception as problem:
        raise InputFileError(
            f"soundfonts: {path} cannot be loaded as a soundfont: {problem}.", field="soundfonts"
        ) from None
    font.set_output(tiny.OutputMode.StereoInterleaved, SAMPLE_RATE, 0.0)
    font.set_max_voices(MAX_VOICES)
    return font
