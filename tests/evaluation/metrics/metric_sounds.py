"""Test sounds with known answers: tones, scales, clicks and drum patterns, all stereo at 44,100 Hz."""

import numpy as np

from arctone.audio.waveform import Waveform

RATE = 44_100


def stereo(left: np.ndarray, right: np.ndarray | None = None) -> Waveform:
    return Waveform(np.stack([left, left if right is None else right]).astype(np.float32), RATE)


def silence(seconds: float = 1.0) -> Waveform:
    return stereo(np.zeros(round(seconds * RATE)))


def noise(seconds: float = 2.0, level: float = 0.1, seed: int = 0) -> Waveform:
    return stereo(*np.random.default_rng(seed).standard_normal((2, round(seconds * RATE))) * level)


def tone(hertz: float = 440.0, seconds: float = 2.0) -> Waveform:
    return stereo(0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE))


def notes(midi: list[list[int]], seconds_each: float = 0.4) -> Waveform:
    """Chords one after the other; each note is five harmonics that die away."""
    t = np.arange(round(seconds_each * RATE)) / RATE
    fade = np.exp(-2 * t) * np.minimum(1.0, t / 0.005)
    return stereo(np.concatenate([sum((_note(m, t) for m in chord), np.zeros_like(t)) * fade for chord in midi]))


def _note(midi: int, t: np.ndarray) -> np.ndarray:
    hertz = 440 * 2 ** ((midi - 69) / 12)
    return sum(np.sin(2 * np.pi * hertz * h * t) / h for h in range(1, 6)) * 0.1


def clicks(bpm: float, seconds: float = 8.0) -> Waveform:
    samples = np.zeros(round(seconds * RATE))
    click = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(800) / RATE) * np.hanning(800)
    return stereo(_placed(samples, [(beat * 60 / bpm, click) for beat in range(int(seconds * bpm / 60) + 1)]))


def drums(bpm: float, swing: float = 0.5, seconds: float = 8.0) -> Waveform:
    """Kick on one and three, snare on two and four, hats on every half beat, the second half delayed to `swing`."""
    t = np.arange(round(0.15 * RATE)) / RATE
    rng = np.random.default_rng(0)
    kick = 0.5 * np.sin(2 * np.pi * 55 * t) * np.exp(-t * 25)
    snare = 0.3 * rng.standard_normal(len(t)) * np.exp(-t * 30)
    hat = 0.1 * np.diff(rng.standard_normal(len(t) + 1)) * np.exp(-t * 90)
    beats = range(int(seconds * bpm / 60) + 1)
    hits = [(beat, kick if beat % 2 == 0 else snare) for beat in beats]
    hits += [(beat + offset, hat) for beat in beats for offset in (0.0, swing)]
    return stereo(_placed(np.zeros(round(seconds * RATE)), [(beat * 60 / bpm, sound) for beat, sound in hits]))


def _placed(samples: np.ndarray, hits: list[tuple[float, np.ndarray]]) -> np.ndarray:
    for at_seconds, sound in hits:
        start = round(at_seconds * RATE)
        length = min(len(sound), len(samples) - start)
        if length > 0:
            samples[start : start + length] += sound[:length]
    return samples
