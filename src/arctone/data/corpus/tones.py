"""Synthetic voices, and the choice of a sound for a plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from arctone.data.corpus import noises
from arctone.data.corpus.draws import MAX_SECONDS, Draw
from arctone.data.corpus.effects import EFFECTS
from arctone.data.corpus.library import Library
from arctone.data.corpus.plans import Sound, SoundLayer
from arctone.data.corpus.recordings import Recording

SAMPLE_RATE = 44_100
TABLE_SIZE = 4_096

Audio = npt.NDArray[np.float32]
Voice = Callable[[float, int, float, np.random.Generator], Audio]


def render_voice(program: int, pitch: int, seconds: float, velocity: float, rng: np.random.Generator) -> Audio:
    """Render one note of a synthesised instrument.

    Args:
        program: Number in the instrument table.
        pitch: MIDI.
        seconds: Length of the sound.
        velocity: 0 to 1, changes level and brightness.
        rng: Source of the random draws.

    Returns:
        [samples], longer than `seconds` by its release.
    """
    frequency = 440.0 * 2.0 ** ((pitch - 69) / 12)
    voice, attack, release = VOICES[program]
    num_held = max(64, round(seconds * SAMPLE_RATE))
    num_samples = num_held + round(release * SAMPLE_RATE)
    sound = voice(frequency, num_samples, velocity, rng)
    return (sound * _envelope(num_samples, num_held, attack, release) * (0.3 + 0.7 * velocity)).astype(np.float32)


def _envelope(num_samples: int, num_held: int, attack: float, release: float) -> Audio:
    envelope = np.ones(num_samples, np.float32)
    rise = min(num_held, max(32, round(attack * SAMPLE_RATE)))
    envelope[:rise] = np.sin(np.linspace(0, np.pi / 2, rise)) ** 2
    envelope[num_held:] = np.cos(np.linspace(0, np.pi / 2, num_samples - num_held)) ** 2
    return envelope


@lru_cache(maxsize=256)
def _table(kind: str, num_harmonics: int) -> Audio:
    """One period, TABLE_SIZE + 1 samples, with harmonics 1 to num_harmonics."""
    n = np.arange(1, num_harmonics + 1)
    phase = 2 * np.pi * np.arange(TABLE_SIZE + 1) / TABLE_SIZE
    weights = {"saw": 1 / n, "square": (n % 2) / n, "organ": np.isin(n, (1, 2, 3, 4, 6, 8)) / np.sqrt(n)}[kind]
    return np.asarray(weights @ np.sin(np.outer(n, phase)), np.float32)


def _wave(kind: str, frequency: float, num_samples: int, brightness_hz: float, start: float = 0.0) -> Audio:
    num_harmonics = max(1, min(200, int(min(brightness_hz, 19_000.0) / frequency)))
    position = (start + frequency / SAMPLE_RATE * np.arange(num_samples)) % 1.0 * TABLE_SIZE
    wave: Audio = np.take(_table(kind, num_harmonics), position.astype(np.int32))
    return wave


def _seconds(num_samples: int) -> Audio:
    return np.arange(num_samples, dtype=np.float32) / np.float32(SAMPLE_RATE)


def _decay(num_samples: int, half_life: float) -> Audio:
    return np.asarray(np.exp2(-_seconds(num_samples) / np.float32(half_life)), np.float32)


def _detuned(
    kind: str, f: float, n: int, brightness: float, cents: tuple[float, ...], rng: np.random.Generator
) -> Audio:
    starts = rng.uniform(0, 1, len(cents))
    waves = [_wave(kind, f * 2 ** (c / 1200), n, brightness, s) for c, s in zip(cents, starts, strict=True)]
    return np.asarray(np.sum(waves, axis=0) / np.sqrt(len(cents)), np.float32)


def _saw_pad(f: float, n: int, v: float, rng: np.random.Generator) -> Audio:
    soft = _detuned("saw", f, n, 900 + 500 * v, (-7, 0, 6), rng)
    open_ = _detuned("saw", f, n, 2_500 + 2_500 * v, (-6, 7), rng)
    sweep = 0.5 - 0.5 * np.cos(2 * np.pi * (0.11 + 0.1 * rng.random()) * _seconds(n))
    return np.asarray(soft + open_ * sweep * np.float32(0.6), np.float32)


def _bell(f: float, n: int, v: float, rng: np.random.Generator) -> Audio:
    t = _seconds(n)
    index = np.float32(1.5 + 3 * v) * _decay(n, 0.35)
    modulator = np.sin(np.float32(2 * np.pi * f * 3.5) * t)
    return np.asarray(np.sin(np.float32(2 * np.pi * f) * t + index * modulator) * _decay(n, 0.55), np.float32)


def _pluck(f: float, n: int, v: float, rng: np.random.Generator) -> Audio:
    num_partials = max(1, min(24, int(16_000 / f)))
    place = 0.11 + 0.25 * rng.random()
    t = _seconds(n)
    sound = np.zeros(n, np.float32)
    for k in range(1, num_partials + 1):
        live = min(n, round(SAMPLE_RATE * 9.0 * 0.45 / (1 + 0.16 * k)) + 64)
        tone = np.sin(np.float32(2 * np.pi * f * k * np.sqrt(1 + 2e-4 * k * k)) * t[:live])
        sound[:live] += (
            np.float32(np.sin(np.pi * k * place) / k ** (1.6 - 0.6 * v)) * tone * _decay(live, 0.45 / (1 + 0.16 * k))
        )
    return sound


def _supersaw(f: float, n: int, v: float, rng: np.random.Generator) -> Audio:
    return _detuned("saw", f, n, 6_000 + 9_000 * v, (-18, -11, -4, 0, 5, 12, 19), rng)


def _chip(f: float, n: int, v: float, rng: np.random.Generator) -> Audio:
    duty = float(rng.choice([0.125, 0.25, 0.5]))
    return np.asarray(0.7 * (_wave("saw", f, n, 18_000) - _wave("saw", f, n, 18_000, duty)), np.float32)


def _acid(f: float, n: int, v: float, rng: np.random.Generator) -> Audio:
    levels = [_wave("saw", f, n, cutoff, 0.0) for cutoff in (250, 700, 2_000, 6_000)]
    position = np.float32(0.6 + 2.4 * v) * _decay(n, 0.09 + 0.12 * float(rng.random()))
    peak = np.sin(np.float32(2 * np.pi) * np.cumsum(_cutoff_hz(position), dtype=np.float64) / SAMPLE_RATE)
    return _crossfade(levels, position) * _decay(n, 0.5) + (0.16 * peak * _decay(n, 0.12)).astype(np.float32)


def _cutoff_hz(position: Audio) -> Audio:
    return np.asarray(250 * np.exp2(1.5 * position), np.float32)


def _crossfade(levels: list[Audio], position: Audio) -> Audio:
    sound = np.zeros_like(levels[0])
    for index, level in enumerate(levels):
        sound += level * np.maximum(0, 1 - np.abs(position - index))
    return sound


def _sub(f: float, n: int, v: float, rng: np.random.Generator) -> Audio:
    fundamental = np.sin(np.float32(2 * np.pi * f) * _seconds(n))
    return np.asarray(np.tanh((1 + 1.5 * v) * fundamental), np.float32)


def _reese(f: float, n: int, v: float, rng: np.random.Generator) -> Audio:
    return _detuned("saw", f, n, 700 + 1_800 * v, (-22, 0, 21), rng) + np.float32(0.7) * _sub(f, n, 0.0, rng)


def _fm_keys(f: float, n: int, v: float, rng: np.random.Generator) -> Audio:
    t = _seconds(n)
    tine = (
        np.sin(np.float32(2 * np.pi * 14 * f if f < 700 else 2 * np.pi * 7 * f) * t)
        * np.float32(0.25 * v)
        * _decay(n, 0.05)
    )
    body = np.sin(
        np.float32(2 * np.pi * f) * t
        + np.float32(0.4 + 1.6 * v) * _decay(n, 0.4) * np.sin(np.float32(2 * np.pi * f) * t)
    )
    return np.asarray((body + tine) * _decay(n, 0.8), np.float32)


def _organ(f: float, n: int, v: float, rng: np.random.Generator) -> Audio:
    tremolo = 1 + np.float32(0.12) * np.sin(np.float32(2 * np.pi * (5.5 + rng.random())) * _seconds(n))
    return np.asarray(0.6 * _wave("organ", f, n, 9_000) * tremolo, np.float32)


def _pulse_pluck(f: float, n: int, v: float, rng: np.random.Generator) -> Audio:
    levels = [_wave("square", f, n, cutoff) for cutoff in (600, 2_000, 8_000)]
    return _crossfade(levels, np.float32(0.8 + 1.2 * v) * _decay(n, 0.08)) * _decay(n, 0.22)


def _evolving(f: float, n: int, v: float, rng: np.random.Generator) -> Audio:
    t = _seconds(n)
    sound = np.zeros(n, np.float32)
    for k in range(1, 13):
        rate, phase = rng.uniform(0.05, 0.3), rng.uniform(0, 2 * np.pi)
        swell = 0.5 + 0.5 * np.sin(np.float32(2 * np.pi * rate) * t + np.float32(phase))
        sound += (
            np.float32(1 / k**0.8) * swell * np.sin(np.float32(2 * np.pi * f * k * (1 + rng.uniform(-1e-3, 1e-3))) * t)
        )
    return sound * np.float32(0.5)


def _sine(f: float, n: int, v: float, rng: np.random.Generator) -> Audio:
    return np.asarray(np.sin(np.float32(2 * np.pi * f) * _seconds(n)), np.float32)


def _vowel(f: float, n: int, v: float, rng: np.random.Generator) -> Audio:
    centres, t = ((700, 1_150, 2_700), (400, 800, 2_500), (320, 2_200, 2_900))[int(rng.integers(3))], _seconds(n)
    vibrato = np.float32(0.01 * f / (2 * np.pi * 5.2)) * np.sin(np.float32(2 * np.pi * 5.2) * t)
    sound = np.zeros(n, np.float32)
    for k in range(1, max(2, min(26, int(4_500 / f))) + 1):
        level = (
            sum(np.exp(-(((k * f - c) / (130 + 0.08 * c)) ** 2)) / (1 + i) for i, c in enumerate(centres))
            + 0.25 / k**1.5
        )
        sound += np.float32(level) * np.sin(np.float32(2 * np.pi * f * k) * t + k * np.float32(2 * np.pi) * vibrato)
    return sound * np.float32(0.5)


# program: voice, attack seconds, release seconds
VOICES: dict[int, tuple[Voice, float, float]] = {
    0: (_saw_pad, 0.25, 0.6),
    1: (_bell, 0.002, 0.5),
    2: (_pluck, 0.001, 0.12),
    3: (_supersaw, 0.01, 0.12),
    4: (_chip, 0.001, 0.01),
    5: (_acid, 0.002, 0.02),
    6: (_sub, 0.008, 0.06),
    7: (_reese, 0.02, 0.08),
    8: (_fm_keys, 0.002, 0.15),
    9: (_organ, 0.006, 0.04),
    10: (_pulse_pluck, 0.001, 0.08),
    11: (_evolving, 0.6, 0.9),
    12: (_sine, 0.01, 0.03),
    13: (_vowel, 0.18, 0.35),
}


@dataclass(frozen=True)
class DrawnSound:
    """An effect with its wordings and the length to plan for."""

    sound: Sound
    wordings: tuple[str, ...]
    seconds: float


class Sounds:
    """Draws ambiences and effects."""

    def __init__(self, library: Library) -> None:
        self._recorded = {kind: library.recordings.get(kind, ()) for kind in ("ambience", "effect")}
        self._fonts = {k: tuple(s for s in library.font_sounds if s.kind == k) for k in ("ambience", "effect")}
        self._folded = tuple(recording for recording in self._recorded["effect"] if recording.fold)
        self._types: dict[str, list[Recording]] = {}
        for recording in self._recorded["ambience"]:
            self._types.setdefault(recording.wordings[0], []).append(recording)

    def ambience(self, rng: Draw, gain_db: float) -> tuple[SoundLayer, tuple[str, ...]]:
        """A layer that fills the clip, and its wordings."""
        fonts, draw = self._fonts["ambience"], rng.random()
        if self._types and draw < 0.62:
            recording = self._recorded_ambience(rng)
            spare = recording.seconds - MAX_SECONDS
            crop = rng.uniform(0, spare) if spare > 0 else 0.0
            return SoundLayer(recording, filling=True, crop_seconds=crop, gain_db=gain_db), recording.wordings
        if fonts and draw < 0.70:
            sound = fonts[int(rng.integers(len(fonts)))]
            return SoundLayer(sound, filling=True, gain_db=gain_db), sound.wordings
        index = int(rng.integers(len(noises.AMBIENCES)))
        return SoundLayer(f"AMBIENCES/{index}", gain_db=gain_db), noises.AMBIENCES[index].wordings

    def _recorded_ambience(self, rng: Draw) -> Recording:
        """By the root of their number, so that forty recordings of one type do not drown a single one of another."""
        names = list(self._types)
        weights = np.sqrt([len(self._types[name]) for name in names])
        options = self._types[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
        return options[int(rng.integers(len(options)))]

    def effect(self, rng: Draw) -> DrawnSound:
        """An effect: recorded three times in five; every third recording is one of ESC-10."""
        recorded, fonts, draw = self._recorded["effect"], self._fonts["effect"], rng.random()
        if recorded and draw < 0.6:
            pool = self._folded if self._folded and rng.random() < 0.3 else recorded
            recording = pool[int(rng.integers(len(pool)))]
            return DrawnSound(recording, recording.wordings, min(recording.seconds, 8.0))
        if fonts and draw < 0.75:
            sound = fonts[int(rng.integers(len(fonts)))]
            return DrawnSound(sound, sound.wordings, sound.seconds)
        index = int(rng.integers(len(EFFECTS)))
        return DrawnSound(f"EFFECTS/{index}", EFFECTS[index].wordings, float(rng.uniform(1.5, 4.0)))
