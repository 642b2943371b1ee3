"""Keys, scales, chords and tempi."""

from __future__ import annotations

import numpy as np

from arctone.data.corpus.splits import SKIPPED_TEMPOS

TONICS = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")
SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "pentatonic major": (0, 2, 4, 7, 9),
    "pentatonic minor": (0, 3, 5, 7, 10),
}
# Scale degrees of chord roots, one chord a bar or half a bar.
PROGRESSIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "major": ((0, 4, 5, 3), (0, 3, 4, 3), (0, 5, 3, 4), (1, 4, 0, 0), (0, 0, 3, 4), (3, 4, 0, 5), (0, 3, 0, 4)),
    "minor": ((0, 5, 2, 6), (0, 3, 4, 0), (0, 6, 5, 6), (0, 5, 6, 0), (0, 3, 6, 2), (0, 0, 5, 4)),
}
LOWEST_TEMPO, HIGHEST_TEMPO = 60, 180
TEMPOS = tuple(bpm for bpm in range(LOWEST_TEMPO, HIGHEST_TEMPO + 1) if bpm not in SKIPPED_TEMPOS)


def base_mode(mode: str) -> str:
    """ "major" or "minor", whichever third the mode has."""
    return "minor" if SCALES[mode][1] == 3 or SCALES[mode][2] == 3 else "major"


def scale_pitches(tonic: int, mode: str, low: int, high: int) -> list[int]:
    """MIDI numbers of the scale inside low to high, rising. tonic: 0 (C) to 11."""
    steps = {(tonic + step) % 12 for step in SCALES[mode]}
    return [pitch for pitch in range(low, high + 1) if pitch % 12 in steps]


def degree_pitch(tonic: int, mode: str, degree: int, near: int) -> int:
    """Pitch of a scale degree (0 = tonic) in the octave that starts at most six semitones below `near`."""
    scale = SCALES[base_mode(mode)]
    pitch_class = (tonic + scale[degree % 7]) % 12
    return near - 6 + (pitch_class - (near - 6)) % 12


def triad(tonic: int, mode: str, degree: int, near: int, seventh: bool = False) -> list[int]:
    """Close chord on a scale degree, voiced around `near`, rising."""
    degrees = (degree, degree + 2, degree + 4, degree + 6)[: 4 if seventh else 3]
    return sorted(degree_pitch(tonic, mode, d, near) for d in degrees)


def tempo_word(bpm: float) -> str:
    """Plain word for a tempo: "slow", "medium tempo", "fast"."""
    if bpm < 80:
        return "slow"
    return "fast" if bpm > 138 else "medium tempo"


def choose(rng: np.random.Generator, options: tuple[str, ...] | list[str]) -> str:
    """One of the options, all alike."""
    return options[int(rng.integers(len(options)))]
