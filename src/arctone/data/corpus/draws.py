"""Random choices of numbers: tempo, length, room, level, place."""

from __future__ import annotations

import numpy as np

from arctone.data.corpus.drums import GENRE_TEMPOS
from arctone.data.corpus.music import PROGRESSIONS, TEMPOS, base_mode, choose
from arctone.data.corpus.plans import SAMPLE_RATE
from arctone.data.corpus.rooms import NUM_VARIANTS

MIN_SECONDS, MAX_SECONDS = 2.0, 11.8
MUSIC_ROOMS = ("dry", "dry", "small room", "plate", "concert hall", "cathedral")
DRUM_ROOMS = ("dry", "dry", "small room", "plate", "concert hall")
BAND_ROOMS = ("dry", "small room", "plate", "concert hall")
EFFECT_ROOMS = ("dry", "dry", "dry", "small room", "concert hall", "cathedral")
MODES = ("major", "major", "minor", "minor", "dorian", "mixolydian", "pentatonic major", "pentatonic minor")
Draw = np.random.Generator


def draw_tempo(rng: Draw) -> int:
    """BPM, all of TEMPOS alike."""
    return TEMPOS[int(rng.integers(len(TEMPOS)))]


def draw_genre_tempo(genre: str, rng: Draw) -> int:
    """BPM, three times in four one that is usual for the genre."""
    if rng.random() < 0.25:
        return draw_tempo(rng)
    low, high = GENRE_TEMPOS[genre]
    usual = [bpm for bpm in TEMPOS if low <= bpm <= high]
    return usual[int(rng.integers(len(usual)))]


def draw_tonic(rng: Draw) -> int:
    """0 (C) to 11."""
    return int(rng.integers(12))


def draw_degrees(mode: str, rng: Draw) -> tuple[int, ...]:
    """A chord progression for a mode."""
    options = PROGRESSIONS[base_mode(mode)]
    return options[int(rng.integers(len(options)))]


def draw_peak_db(rng: Draw) -> float:
    """-6 to -0.3 dB, so about -3 dB."""
    return float(rng.uniform(-6.0, -0.3))


def draw_pan(rng: Draw, reach: float) -> float:
    """-reach to reach; centred two times in five."""
    return float(rng.uniform(-reach, reach)) if rng.random() < 0.6 else 0.0


def draw_variant(rng: Draw) -> int:
    """Which response of a room."""
    return int(rng.integers(NUM_VARIANTS))


def draw_bass_feel(genre: str, rng: Draw) -> str:
    """How the bass moves, three times in four as is usual for the genre."""
    usual = _BASS_FEELS.get(genre, "syncopated")
    return usual if rng.random() < 0.75 else choose(rng, ("eighths", "syncopated", "long"))


def fitting_bars(bpm: int, wanted_seconds: float) -> int:
    """Number of bars of four beats near `wanted_seconds` that fits the limits of a clip; even where possible."""
    bar = 240.0 / bpm
    fewest, most = int(np.ceil(MIN_SECONDS / bar - 1e-9)), int(MAX_SECONDS / bar)
    num_bars = int(np.clip(round(wanted_seconds / bar), fewest, most))
    return num_bars - num_bars % 2 if num_bars > 2 and num_bars - 1 >= fewest else num_bars


def bars_seconds(bpm: int, wanted_seconds: float) -> float:
    """Length of `fitting_bars`."""
    return fitting_bars(bpm, wanted_seconds) * 240.0 / bpm


def loop_samples(num_bars: int, bpm: int) -> int:
    """Samples of whole bars, to the nearest one."""
    return round(num_bars * 240 * SAMPLE_RATE / bpm)


def clip_samples(seconds: float) -> int:
    """Samples of a clip whose length is kept inside the limits."""
    return round(clip_seconds(seconds) * SAMPLE_RATE)


def clip_seconds(seconds: float) -> float:
    """`seconds` kept inside the limits of a clip."""
    return float(np.clip(seconds, MIN_SECONDS, MAX_SECONDS))


_BASS_FEELS = {
    "jazz swing": "walking",
    "shuffle": "walking",
    "house": "offbeat",
    "techno": "eighths",
    "disco": "offbeat",
    "metal": "eighths",
    "rock": "eighths",
    "ballad": "long",
    "trap": "long",
    "drum and bass": "long",
}
