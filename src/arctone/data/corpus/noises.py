"""Ambiences and retro effects made with numpy. Each returns float32 [2, samples] of any level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 44_100
FRAME, HOP = 4_096, 1_024

Audio = npt.NDArray[np.float32]
Shape = Callable[[npt.NDArray[np.float32], npt.NDArray[np.float32]], npt.NDArray[np.float32]]
NoiseFunction = Callable[[float, np.random.Generator], Audio]


@dataclass(frozen=True)
class NoiseSound:
    """wordings: phrases for captions, the first is the name. make(seconds, rng)."""

    wordings: tuple[str, ...]
    make: NoiseFunction

    @property
    def name(self) -> str:
        """The first wording."""
        return self.wordings[0]


def shape_noise(seconds: float, rng: np.random.Generator, shape: Shape, width: float = 0.8) -> Audio:
    """Make noise whose spectrum changes with time.

    Args:
        seconds: Length.
        rng: Source of the random draws.
        shape: Of (frame_seconds [F, 1], hertz [1, K]) the magnitudes [F, K].
        width: 0 mono to 1 independent channels.

    Returns:
        Float32 [2, samples].
    """
    num_samples = round(seconds * SAMPLE_RATE)
    num_frames = num_samples // HOP + 5
    times = (np.arange(num_frames, dtype=np.float32)[:, None] - 2) * np.float32(HOP / SAMPLE_RATE)
    hertz = np.fft.rfftfreq(FRAME, 1 / SAMPLE_RATE).astype(np.float32)[None]
    magnitudes = np.asarray(shape(times, hertz), np.float32)
    common = rng.standard_normal((num_frames, FRAME), dtype=np.float32)
    sides = [
        _overlapped(_mixed(common, rng, width), magnitudes)[:, FRAME // 2 : FRAME // 2 + num_samples] for _ in range(2)
    ]
    return np.concatenate(sides)


def _mixed(common: Audio, rng: np.random.Generator, width: float) -> Audio:
    own = rng.standard_normal(common.shape, dtype=np.float32)
    return np.asarray(np.sqrt(1 - width) * common + np.sqrt(width) * own, np.float32)


def _overlapped(noise: Audio, magnitudes: Audio) -> Audio:
    window = np.hanning(FRAME).astype(np.float32)
    frames = np.fft.irfft(np.fft.rfft(noise) * magnitudes, FRAME).astype(np.float32) * window
    out = np.zeros((len(frames) + FRAME // HOP, HOP), np.float32)
    for part in range(FRAME // HOP):
        out[part : part + len(frames)] += frames[:, part * HOP : (part + 1) * HOP]
    return out.reshape(1, -1)


def _slow(times: npt.NDArray[np.float32], rng: np.random.Generator, period: float) -> npt.NDArray[np.float32]:
    """Smooth random curve in 0 to 1 with the shape of `times`."""
    curve = sum(
        np.sin(2 * np.pi * times / (period * r) + p)
        for r, p in zip((1, 0.57, 1.7), rng.uniform(0, 6.28, 3), strict=True)
    )
    return np.asarray(0.5 + curve / 6, np.float32)


def _slope(hertz: npt.NDArray[np.float32], power: float) -> npt.NDArray[np.float32]:
    return np.asarray((np.maximum(hertz, 30) / 1_000) ** -power, np.float32)


def _band(
    hertz: npt.NDArray[np.float32], centre: npt.NDArray[np.float32] | float, octaves: float
) -> npt.NDArray[np.float32]:
    return np.asarray(np.exp(-((np.log2(np.maximum(hertz, 20) / centre) / octaves) ** 2)), np.float32)


def _grains(
    seconds: float,
    rng: np.random.Generator,
    per_second: float,
    hertz: tuple[float, float],
    half_life: tuple[float, float],
    tonal: float,
) -> Audio:
    """Many short decaying pings or clicks at random places. tonal: 0 noise to 1 pure tones."""
    num_samples = round(seconds * SAMPLE_RATE)
    out = np.zeros((2, num_samples + 8_192), np.float32)
    bank = [_grain(rng, hertz, half_life, tonal) for _ in range(24)]
    for start in rng.integers(0, num_samples, rng.poisson(per_second * seconds)):
        grain, pan, level = bank[int(rng.integers(24))], rng.random(), rng.random() ** 2
        out[0, start : start + len(grain)] += grain * np.float32(level * np.sqrt(1 - pan))
        out[1, start : start + len(grain)] += grain * np.float32(level * np.sqrt(pan))
    return out[:, :num_samples]


def _grain(rng: np.random.Generator, hertz: tuple[float, float], half_life: tuple[float, float], tonal: float) -> Audio:
    life, frequency = rng.uniform(*half_life), hertz[0] * (hertz[1] / hertz[0]) ** rng.random()
    t = np.arange(min(8_192, round(8 * life * SAMPLE_RATE)), dtype=np.float32) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * frequency * t * (1 + (0.8 * t / life / 8 if tonal > 0.9 else 0)))
    noise = rng.standard_normal(len(t))
    return np.asarray((tonal * tone + (1 - tonal) * noise) * np.exp2(-t / life) * np.minimum(1, t * 2_000), np.float32)


def _unit(audio: Audio) -> Audio:
    return np.asarray(audio / max(float(np.sqrt(np.mean(audio**2))), 1e-9), np.float32)


def _wind(seconds: float, rng: np.random.Generator) -> Audio:
    centre, howl = rng.uniform(250, 600), rng.uniform(0.2, 1.2)

    def shape(t: npt.NDArray[np.float32], f: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        gust = _slow(t, np.random.Generator(np.random.Philox(key=[1, int(centre * 1000)])), 3.5)
        whistle = howl * _band(f, (centre * 2 * (1 + gust)).astype(np.float32), 0.25)
        return np.asarray((0.15 + gust**2) * (_band(f, (centre * (0.6 + gust)).astype(np.float32), 1.0) + whistle))

    return shape_noise(seconds, rng, shape)


def _steady(power: float, low: float = 0, high: float = 22_050) -> NoiseFunction:
    def make(seconds: float, rng: np.random.Generator) -> Audio:
        return shape_noise(seconds, rng, lambda t, f: _slope(f, power) * ((f >= low) & (f <= high)) * np.ones_like(t))

    return make


def _rain(heavy: float) -> NoiseFunction:
    def make(seconds: float, rng: np.random.Generator) -> Audio:
        bed = shape_noise(seconds, rng, lambda t, f: _band(f, 4_500.0, 2.2) * np.ones_like(t))
        drops = _grains(seconds, rng, 60 + 260 * heavy, (1_500, 9_000), (0.001, 0.004), 0.5)
        return _unit(bed) * np.float32(0.3 + 0.7 * heavy) + _unit(drops) * np.float32(0.7)

    return make


def _tin_roof(seconds: float, rng: np.random.Generator) -> Audio:
    drops = _grains(seconds, rng, 170, (700, 3_800), (0.004, 0.015), 0.7)
    bed = shape_noise(
        seconds, rng, lambda t, f: (_band(f, 1_600.0, 0.8) + 0.5 * _band(f, 4_000.0, 1.0)) * np.ones_like(t)
    )
    return _unit(drops) + np.float32(0.4) * _unit(bed)


def _sea(seconds: float, rng: np.random.Generator) -> Audio:
    period, phase = rng.uniform(4.5, 8), rng.uniform(0, 6.28)

    def shape(t: npt.NDArray[np.float32], f: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        swell = (0.5 + 0.5 * np.sin(2 * np.pi * t / period + phase)) ** 3
        return np.asarray(_slope(f, 0.7) * (0.12 + swell) * np.exp(-f / (2_500 + 7_000 * swell)))

    return shape_noise(seconds, rng, shape)


def _stream(seconds: float, rng: np.random.Generator) -> Audio:
    bubbles = _grains(seconds, rng, 140, (400, 2_200), (0.006, 0.03), 1.0)
    bed = shape_noise(
        seconds,
        rng,
        lambda t, f: _band(f, 1_800.0, 1.6) * (0.7 + 0.3 * _slow(t, np.random.Generator(np.random.Philox(5)), 1.3)),
    )
    return _unit(bubbles) + np.float32(0.7) * _unit(bed)


def _underwater(seconds: float, rng: np.random.Generator) -> Audio:
    bed = shape_noise(seconds, rng, lambda t, f: _slope(f, 1.0) * np.exp(-f / 250) * np.ones_like(t))
    return _unit(bed) + np.float32(0.35) * _unit(_grains(seconds, rng, 9, (180, 700), (0.02, 0.06), 1.0))


def _fire(seconds: float, rng: np.random.Generator) -> Audio:
    crackle = _grains(seconds, rng, 22, (1_000, 7_000), (0.001, 0.006), 0.25)
    bed = shape_noise(seconds, rng, lambda t, f: _slope(f, 1.1) * np.exp(-f / 900) * np.ones_like(t))
    return _unit(crackle) + np.float32(0.35) * _unit(bed)


def _thunder(seconds: float, rng: np.random.Generator) -> Audio:
    start, life = rng.uniform(0.1, 0.3) * seconds, rng.uniform(0.8, 1.8)

    def shape(t: npt.NDArray[np.float32], f: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        after = np.maximum(t - start, 0)
        roll = (t >= start) * np.exp2(-after / life) * (0.6 + 0.4 * np.sin(9 * after + 3 * np.sin(5 * after)))
        return np.asarray(
            _slope(f, 1.0) * roll * np.exp(-f / (150 + 3_500 * np.exp2(-after / 0.15))) + 0.012 * _band(f, 4_000.0, 2.0)
        )

    return shape_noise(seconds, rng, shape)


def _crickets(seconds: float, rng: np.random.Generator) -> Audio:
    t = np.arange(round(seconds * SAMPLE_RATE), dtype=np.float32) / np.float32(SAMPLE_RATE)
    out = 0.02 * _unit(_steady(0.5, 200, 6_000)(seconds, rng))
    for _ in range(4):
        hertz, rate, pan, phase = rng.uniform(3_800, 5_200), rng.uniform(0.9, 1.6), rng.random(), rng.random()
        chirps = ((t * rate + phase) % 1 < 0.35) * np.maximum(0, np.sin(2 * np.pi * 28 * t)) ** 2
        voice = 0.3 * np.sin(2 * np.pi * hertz * t.astype(np.float64)) * chirps
        out = out + np.stack([voice * np.sqrt(1 - pan), voice * np.sqrt(pan)])
    return np.asarray(out, np.float32)


def _hum(seconds: float, rng: np.random.Generator) -> Audio:
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    base = float(rng.choice([50.0, 60.0]))
    tone = sum(np.sin(2 * np.pi * base * k * t + rng.uniform(0, 6)) * rng.uniform(0.2, 1) / k for k in range(1, 13))
    return np.asarray(np.stack([tone, tone]) + 0.1 * _unit(_steady(0.8)(seconds, rng)), np.float32)


def _engine(seconds: float, rng: np.random.Generator) -> Audio:
    base = rng.uniform(28, 75)
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * base * t + 0.9 * np.sin(2 * np.pi * 0.23 * t)
    tone = sum(np.sin(k * phase + rng.uniform(0, 6)) / k**0.8 for k in range(1, 20))
    rumble = _unit(_steady(0.9, 40, 2_500)(seconds, rng)) * (1 + 0.6 * np.sin(phase))
    return np.asarray(0.6 * np.stack([tone, tone]) + 0.7 * rumble, np.float32)


def _dark_drone(seconds: float, rng: np.random.Generator) -> Audio:
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    base = rng.uniform(36, 62)
    sides = []
    for _ in range(2):
        parts = (
            np.sin(2 * np.pi * base * r * t * (1 + rng.uniform(-2e-3, 2e-3)))
            * (0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.05, 0.2) * t))
            / r
            for r in (1, 1.5, 2, 3.01, 4.03)
        )
        sides.append(sum(parts))
    return np.asarray(np.stack(sides) + 0.25 * _unit(_steady(1.2, 30, 900)(seconds, rng)), np.float32)


def _spaceship(seconds: float, rng: np.random.Generator) -> Audio:
    hum = _unit(_dark_drone(seconds, rng))
    air = shape_noise(seconds, rng, lambda t, f: _band(f, (500 + 200 * np.sin(0.8 * t)).astype(np.float32), 0.6))
    return hum + np.float32(0.5) * _unit(air)


def _crackle(seconds: float, rng: np.random.Generator) -> Audio:
    clicks = _grains(seconds, rng, 14, (1_500, 8_000), (0.0004, 0.002), 0.2)
    return _unit(clicks) + np.float32(0.3) * _unit(_steady(0.6)(seconds, rng))


AMBIENCES: tuple[NoiseSound, ...] = (
    NoiseSound(("wind", "blowing wind", "howling wind", "a windy day"), _wind),
    NoiseSound(("light rain", "gentle rain", "soft rainfall", "drizzle"), _rain(0.1)),
    NoiseSound(("heavy rain", "pouring rain", "a downpour", "a rain shower"), _rain(0.9)),
    NoiseSound(("rain on a tin roof", "rain drumming on a metal roof", "raindrops on a tin roof"), _tin_roof),
    NoiseSound(("sea waves", "ocean waves", "waves on a beach", "the surf"), _sea),
    NoiseSound(("a stream", "a babbling brook", "running water", "a small creek"), _stream),
    NoiseSound(("underwater ambience", "underwater bubbles", "the sound of being under water"), _underwater),
    NoiseSound(("a crackling fire", "a campfire", "a fireplace", "burning wood"), _fire),
    NoiseSound(("distant thunder", "rolling thunder", "a thunder rumble", "a thunderclap"), _thunder),
    NoiseSound(("crickets", "chirping crickets", "crickets at night", "night insects"), _crickets),
    NoiseSound(("electrical hum", "mains hum", "a buzzing transformer", "electric buzz"), _hum),
    NoiseSound(("an idling engine", "an engine hum", "a running motor", "machine drone"), _engine),
    NoiseSound(("a dark drone", "an ominous drone", "a low drone", "a scary dark ambience"), _dark_drone),
    NoiseSound(("spaceship ambience", "a spaceship interior", "starship hum", "sci-fi room tone"), _spaceship),
    NoiseSound(("vinyl crackle", "record crackle", "old record noise"), _crackle),
    NoiseSound(("white noise", "steady white noise", "bright static noise"), _steady(0.0)),
    NoiseSound(("pink noise", "steady pink noise"), _steady(0.5)),
    NoiseSound(("brown noise", "deep brown noise", "steady low rumble noise"), _steady(1.0)),
    NoiseSound(("room tone", "quiet room ambience", "air conditioning hum"), _steady(1.1, 40, 5_000)),
    NoiseSound(("a waterfall", "rushing water", "a roaring waterfall"), _steady(0.35, 60, 12_000)),
    NoiseSound(("radio static", "static hiss", "television static"), _steady(-0.1, 300, 7_000)),
)
