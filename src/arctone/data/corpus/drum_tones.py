"""Drum strokes made with numpy: four kits (808-like, 909-like, 8-bit, lo-fi). float32 mono."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 44_100
Audio = npt.NDArray[np.float32]

# kit: (kick Hz, kick drop Hz, kick half-life s, snare tone Hz, snare noise Hz low, brightness Hz, hat half-life s)
_KITS = {
    0: (48.0, 60.0, 0.16, 185.0, 900.0, 16_000.0, 0.018),
    1: (56.0, 180.0, 0.075, 210.0, 1_500.0, 19_000.0, 0.02),
    2: (70.0, 330.0, 0.05, 300.0, 2_000.0, 14_000.0, 0.012),
    3: (60.0, 90.0, 0.08, 180.0, 700.0, 6_500.0, 0.014),
}
_TOMS = {
    "low tom": 95.0,
    "mid tom": 130.0,
    "high tom": 175.0,
    "low conga": 170.0,
    "high conga": 225.0,
    "low bongo": 300.0,
    "high bongo": 390.0,
    "timbale": 330.0,
}
_PINGS = {
    "cowbell": (540.0, 800.0, 0.05),
    "claves": (2_450.0, 2_450.0, 0.018),
    "agogo": (1_050.0, 1_580.0, 0.07),
    "rim": (1_700.0, 480.0, 0.012),
    "bell": (880.0, 2_640.0, 0.16),
}
_SHAKES = {
    "closed hat": 1.0,
    "pedal hat": 1.3,
    "open hat": 9.0,
    "shaker": 1.6,
    "tambourine": 3.0,
    "ride": 12.0,
    "crash": 28.0,
}


@lru_cache(maxsize=512)
def drum_stroke(kit: int, piece: str, variant: int) -> Audio:
    """One stroke at full velocity, peak 1, [samples]. kit: 0 to 3; variant: any number, a slightly different stroke."""
    rng = np.random.Generator(np.random.Philox(key=[8_000 + kit, sum(piece.encode()) * 64 + variant]))
    sound = _stroke(kit, piece, rng)
    if kit in (2, 3):
        sound = np.round(sound / np.abs(sound).max() * (12 if kit == 2 else 60)) / np.float32(12)
    fade = min(220, len(sound))
    sound[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return np.asarray(sound / np.abs(sound).max(), np.float32)


def _stroke(kit: int, piece: str, rng: np.random.Generator) -> Audio:
    if piece == "kick":
        return _kick(kit)
    if piece in ("snare", "clap"):
        return _snare(kit, rng) if piece == "snare" else _clap(kit, rng)
    if piece in _TOMS:
        return _sweep(_TOMS[piece], _TOMS[piece] * 0.5, 0.03, 0.09, 0.5)
    if piece in _PINGS:
        low, high, half_life = _PINGS[piece]
        return _ping(low, half_life) + np.float32(0.7) * _ping(high, half_life)
    return _shake(kit, _SHAKES[piece], rng)


def _time(seconds: float) -> Audio:
    return np.arange(round(seconds * SAMPLE_RATE), dtype=np.float32) / np.float32(SAMPLE_RATE)


def _sweep(hertz: float, drop: float, drop_half_life: float, half_life: float, seconds: float) -> Audio:
    t = _time(seconds)
    frequency = hertz + drop * np.exp2(-t / np.float32(drop_half_life))
    phase = 2 * np.pi * np.cumsum(frequency, dtype=np.float64) / SAMPLE_RATE
    return np.asarray(np.sin(phase) * np.exp2(-t / half_life), np.float32)


def _kick(kit: int) -> Audio:
    hertz, drop, half_life, *_ = _KITS[kit]
    body = _sweep(hertz, drop, 0.015, half_life, 8 * half_life)
    body[:90] += np.float32(0.25) * np.linspace(1, 0, 90, dtype=np.float32)
    return np.asarray(np.tanh(1.6 * body), np.float32)


def _noise(seconds: float, low: float, high: float, rng: np.random.Generator) -> Audio:
    num = round(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.standard_normal(num).astype(np.float32))
    frequencies = np.fft.rfftfreq(num, 1 / SAMPLE_RATE)
    return np.asarray(np.fft.irfft(spectrum * ((frequencies > low) & (frequencies < high)), num), np.float32)


def _snare(kit: int, rng: np.random.Generator) -> Audio:
    _, _, _, tone, low, bright, _ = _KITS[kit]
    noise = _noise(0.35, low, bright, rng) * np.exp2(-_time(0.35) / np.float32(0.045))
    return np.asarray(noise + np.float32(0.9) * _sweep(tone, tone * 0.6, 0.012, 0.035, 0.35), np.float32)


def _clap(kit: int, rng: np.random.Generator) -> Audio:
    t = _time(0.35)
    bursts = sum(np.where(t >= at, np.exp2(-np.maximum(t - at, 0) / 0.005), 0) for at in (0.0, 0.011, 0.022))
    tail = np.where(t >= 0.03, 0.6 * np.exp2(-np.maximum(t - 0.03, 0) / 0.04), 0)
    return np.asarray(_noise(0.35, 700, _KITS[kit][5] / 2, rng) * (bursts + tail), np.float32)


def _ping(hertz: float, half_life: float) -> Audio:
    t = _time(0.8)
    wave = np.sin(np.float32(2 * np.pi * hertz) * t) + np.float32(0.3) * np.sin(np.float32(6 * np.pi * hertz) * t)
    return np.asarray(wave * np.exp2(-t / np.float32(half_life)), np.float32)


def _shake(kit: int, length: float, rng: np.random.Generator) -> Audio:
    half_life = _KITS[kit][6] * length
    seconds = min(2.5, 8 * half_life)
    noise = _noise(seconds, 5_500 if length < 20 else 2_500, max(_KITS[kit][5], 7_500.0), rng)
    t = _time(seconds)
    metal = sum(np.sign(np.sin(np.float32(2 * np.pi * f) * t)) for f in (2_053, 3_694, 5_221, 8_009))
    high = np.diff(np.asarray(metal, np.float32), prepend=np.float32(0))
    return np.asarray(
        (noise / max(np.abs(noise).max(), 1e-9) + 0.12 * high) * np.exp2(-t / np.float32(half_life)), np.float32
    )
