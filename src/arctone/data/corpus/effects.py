"""Synthetic effects: game sounds, alarms, impacts, transitions, from oscillators and shaped noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arctone.data.corpus.noises import (
    SAMPLE_RATE,
    Audio,
    NoiseSound,
    _band,
    _grain,
    _slope,
    _unit,
    shape_noise,
)


def _glide(seconds: float, start: float, end: float, kind: str, vibrato: float = 0.0, curve: float = 1.0) -> Audio:
    """Mono tone gliding from start to end Hz. kind: "sine", "square", "saw" or "noise-free triangle"."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    frequency = start * (end / start) ** ((t / seconds) ** curve) * (1 + vibrato * np.sin(2 * np.pi * 14 * t))
    phase = np.cumsum(frequency) / SAMPLE_RATE
    return np.asarray(_limited(phase, frequency, kind), np.float32)


def _limited(phase: npt.NDArray[np.float64], frequency: npt.NDArray[np.float64], kind: str) -> npt.NDArray[np.float64]:
    if kind == "sine":
        return np.asarray(np.sin(2 * np.pi * phase))
    wave = np.zeros_like(phase)
    for k in range(1, 24, 2 if kind == "square" else 1):
        wave += np.where(frequency * k < 19_000, np.sin(2 * np.pi * k * phase) / k, 0)
    return wave


def _faded(mono: npt.NDArray[np.floating], half_life: float | None = None) -> Audio:
    out = np.asarray(mono, np.float32).copy()
    if half_life:
        out *= np.exp2(-np.arange(len(out), dtype=np.float32) / np.float32(SAMPLE_RATE * half_life))
    fade = min(len(out) // 2, 220)
    out[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    out[:20] *= np.linspace(0, 1, 20, dtype=np.float32)
    return np.stack([out, out])


def _joined(*parts: Audio) -> Audio:
    return np.concatenate(parts, axis=1)


def _coin(seconds: float, rng: np.random.Generator) -> Audio:
    f = rng.uniform(700, 1_150)
    return _joined(_faded(_glide(0.07, f, f, "square")), _faded(_glide(0.45, f * 1.335, f * 1.335, "square"), 0.11))


def _laser(seconds: float, rng: np.random.Generator) -> Audio:
    kind = str(rng.choice(["square", "saw", "sine"]))
    return _faded(
        _glide(rng.uniform(0.15, 0.4), rng.uniform(1_500, 4_000), rng.uniform(90, 400), kind, curve=0.6), 0.12
    )


def _jump(seconds: float, rng: np.random.Generator) -> Audio:
    f = rng.uniform(180, 420)
    return _faded(_glide(rng.uniform(0.15, 0.32), f, f * rng.uniform(2, 3.4), "square"), 0.12)


def _power_up(seconds: float, rng: np.random.Generator) -> Audio:
    f, steps = rng.uniform(260, 520), (0, 4, 7, 12, 16, 19)
    return _joined(*(_faded(_glide(0.075, f * 2 ** (s / 12), f * 2 ** (s / 12) * 1.01, "square")) for s in steps))


def _game_over(seconds: float, rng: np.random.Generator) -> Audio:
    f, steps = rng.uniform(400, 650), (0, -2, -5, -9, -12)
    return _joined(*(_faded(_glide(0.17, f * 2 ** (s / 12), f * 2 ** (s / 12), "square"), 0.12) for s in steps))


def _blip(seconds: float, rng: np.random.Generator) -> Audio:
    f = rng.uniform(500, 1_800)
    return _faded(_glide(rng.uniform(0.05, 0.12), f, f, str(rng.choice(["square", "sine"]))), 0.05)


def _crushed_boom(seconds: float, rng: np.random.Generator) -> Audio:
    num, hold = round(rng.uniform(0.7, 1.5) * SAMPLE_RATE), int(rng.integers(8, 30))
    noise = np.repeat(rng.uniform(-1, 1, num // hold + 1), hold)[:num]
    return _faded(noise, 0.18)


def _boom(seconds: float, rng: np.random.Generator) -> Audio:
    length = rng.uniform(1.5, 2.6)
    body = shape_noise(
        length,
        rng,
        lambda t, f: (
            _slope(f, 0.8)
            * np.exp2(-np.maximum(t, 0) / 0.28)
            * np.exp(-f / (200 + 6_000 * np.exp2(-np.maximum(t, 0) / 0.08)))
        ),
    )
    thump = _faded(_glide(length, 90, 28, "sine", curve=0.4), 0.2)
    return _unit(body) + np.float32(2.0) * thump[:, : body.shape[1]]


def _hit(seconds: float, rng: np.random.Generator) -> Audio:
    num = round(0.22 * SAMPLE_RATE)
    return _faded(0.6 * rng.uniform(-1, 1, num) + _glide(num / SAMPLE_RATE, 300, 60, "square")[:num], 0.04)


def _alarm(seconds: float, rng: np.random.Generator) -> Audio:
    low = rng.uniform(500, 900)
    pair = _joined(_faded(_glide(0.25, low, low, "square")), _faded(_glide(0.25, low * 1.26, low * 1.26, "square")))
    return np.tile(pair, (1, max(1, int(seconds / 0.5))))


def _beep(seconds: float, rng: np.random.Generator) -> Audio:
    f = rng.uniform(600, 2_000)
    return _faded(_glide(rng.uniform(0.12, 0.5), f, f, "sine"))


def _siren(seconds: float, rng: np.random.Generator) -> Audio:
    low, period = rng.uniform(450, 650), rng.uniform(0.5, 2.5)
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    frequency = low * 2 ** (0.5 - 0.5 * np.cos(2 * np.pi * t / period))
    return _faded(_limited(np.cumsum(frequency) / SAMPLE_RATE, frequency, "saw"))


def _riser(seconds: float, rng: np.random.Generator) -> Audio:
    def shape(t: npt.NDArray[np.float32], f: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        rise = np.clip(t / seconds, 0, 1)
        return np.asarray(_band(f, (200 * 50**rise).astype(np.float32), 0.9) * (0.03 + rise**2))

    tone = _faded(_glide(seconds, 110, rng.uniform(600, 1_400), "saw", curve=1.5)) * np.linspace(
        0.05, 0.5, round(seconds * SAMPLE_RATE), dtype=np.float32
    )
    return np.float32(0.35) * _unit(shape_noise(seconds, rng, shape)) + tone * np.float32(rng.choice([0.0, 0.6]))


def _downlifter(seconds: float, rng: np.random.Generator) -> Audio:
    return np.ascontiguousarray(_riser(seconds, rng)[:, ::-1])


def _whoosh(seconds: float, rng: np.random.Generator) -> Audio:
    length = rng.uniform(0.5, 1.4)

    def shape(t: npt.NDArray[np.float32], f: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        arc = np.exp(-(((t / length - 0.5) / 0.2) ** 2))
        return np.asarray(arc * _band(f, (500 + 3_000 * arc).astype(np.float32), 1.0))

    sound = shape_noise(length, rng, shape)
    pan = np.linspace(0.15, 0.85, sound.shape[1], dtype=np.float32)[:: int(rng.choice([-1, 1]))]
    return np.asarray(sound * np.stack([np.sqrt(1 - pan), np.sqrt(pan)]), np.float32)


def _sub_drop(seconds: float, rng: np.random.Generator) -> Audio:
    return _faded(_glide(rng.uniform(1.5, 2.8), rng.uniform(110, 180), rng.uniform(26, 36), "sine", curve=0.7), 1.2)


def _impact(seconds: float, rng: np.random.Generator) -> Audio:
    tail = shape_noise(2.6, rng, lambda t, f: _slope(f, 0.7) * np.exp2(-np.maximum(t, 0) / (0.45 / (1 + f / 1_500))))
    return _unit(tail) + np.float32(2.5) * _faded(_glide(2.6, 75, 34, "sine", curve=0.3), 0.35)[:, : tail.shape[1]]


def _zap(seconds: float, rng: np.random.Generator) -> Audio:
    length = rng.uniform(0.2, 0.5)
    tone = _glide(length, rng.uniform(200, 900), rng.uniform(1_500, 5_000), "saw", vibrato=0.5)
    return _faded(tone * (0.5 + 0.5 * rng.uniform(-1, 1, len(tone))), 0.12)


def _teleport(seconds: float, rng: np.random.Generator) -> Audio:
    length = rng.uniform(0.7, 1.3)
    t = np.arange(round(length * SAMPLE_RATE)) / SAMPLE_RATE
    tone = _glide(length, 220, 2_400, "sine", vibrato=0.12, curve=1.6) * (0.5 + 0.5 * np.sin(2 * np.pi * 22 * t))
    return _faded(tone)


def _dial_tone(seconds: float, rng: np.random.Generator) -> Audio:
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return _faded(np.sin(2 * np.pi * 350 * t) + np.sin(2 * np.pi * 440 * t))


def _touch_tones(seconds: float, rng: np.random.Generator) -> Audio:
    t = np.arange(round(0.13 * SAMPLE_RATE)) / SAMPLE_RATE
    silence = np.zeros((2, round(0.07 * SAMPLE_RATE)), np.float32)
    parts = []
    for _ in range(max(3, int(seconds / 0.2) - 1)):
        low, high = float(rng.choice([697, 770, 852, 941])), float(rng.choice([1_209, 1_336, 1_477]))
        parts += [_faded(np.sin(2 * np.pi * low * t) + np.sin(2 * np.pi * high * t)), silence]
    return _joined(*parts)


def _bubble(seconds: float, rng: np.random.Generator) -> Audio:
    return _joined(
        *(
            _faded(_glide(rng.uniform(0.05, 0.13), f, f * rng.uniform(1.6, 2.6), "sine"), 0.05)
            for f in rng.uniform(280, 800, int(rng.integers(1, 7)))
        )
    )


def _error(seconds: float, rng: np.random.Generator) -> Audio:
    f = rng.uniform(130, 210)
    return _joined(
        _faded(_glide(0.14, f, f, "square")),
        np.zeros((2, 2_000), np.float32),
        _faded(_glide(0.3, f * 0.94, f * 0.94, "square")),
    )


def _notify(seconds: float, rng: np.random.Generator) -> Audio:
    f = rng.uniform(700, 1_100)
    return _joined(_faded(_glide(0.12, f, f, "sine"), 0.08), _faded(_glide(0.6, f * 1.5, f * 1.5, "sine"), 0.14))


def _robot(seconds: float, rng: np.random.Generator) -> Audio:
    tones = rng.uniform(350, 2_400, int(rng.integers(4, 10)))
    return _joined(*(_faded(_glide(rng.uniform(0.05, 0.16), f, f * rng.uniform(0.6, 1.6), "square")) for f in tones))


def _heartbeat(seconds: float, rng: np.random.Generator) -> Audio:
    period, out = rng.uniform(0.75, 1.05), np.zeros((2, round(seconds * SAMPLE_RATE) + SAMPLE_RATE), np.float32)
    beat = _faded(_glide(0.22, 72, 38, "sine"), 0.05)
    for index in range(int(seconds / period)):
        for offset, level in ((0.0, 1.0), (0.28 * period, 0.7)):
            start = round((index * period + offset) * SAMPLE_RATE)
            out[:, start : start + beat.shape[1]] += beat * np.float32(level)
    return out[:, : round(seconds * SAMPLE_RATE)]


def _clock(seconds: float, rng: np.random.Generator) -> Audio:
    out = np.zeros((2, round(seconds * SAMPLE_RATE) + SAMPLE_RATE), np.float32)
    ticks = [_grain(rng, (f, f * 1.2), (0.003, 0.006), 0.75) for f in (2_600.0, 2_100.0)]
    for index in range(int(seconds * 2)):
        tick, start = ticks[index % 2], round(index * 0.5 * SAMPLE_RATE)
        out[:, start : start + len(tick)] += tick
    return out[:, : round(seconds * SAMPLE_RATE)]


EFFECTS: tuple[NoiseSound, ...] = (
    NoiseSound(
        ("an 8-bit coin pickup", "a retro coin sound", "a video game coin", "a chiptune coin collect sound"), _coin
    ),
    NoiseSound(("a laser shot", "a sci-fi laser", "a retro laser blast", "a laser gun"), _laser),
    NoiseSound(("an 8-bit jump", "a retro jump sound", "a video game jump"), _jump),
    NoiseSound(("an 8-bit power-up", "a retro power-up", "a rising video game arpeggio"), _power_up),
    NoiseSound(("an 8-bit game over jingle", "a falling retro jingle", "a retro losing sound"), _game_over),
    NoiseSound(("a short blip", "a menu blip", "a user interface blip", "a select sound"), _blip),
    NoiseSound(("an 8-bit explosion", "a retro explosion", "a crunchy arcade explosion"), _crushed_boom),
    NoiseSound(("a deep explosion", "a big explosion", "a distant blast"), _boom),
    NoiseSound(("an 8-bit hit", "a retro damage sound", "an arcade hit"), _hit),
    NoiseSound(("a two-tone alarm", "a warning alarm", "an alarm"), _alarm),
    NoiseSound(("a beep", "an electronic beep", "a short sine beep"), _beep),
    NoiseSound(("a siren", "a wailing siren", "an emergency siren"), _siren),
    NoiseSound(("a noise riser", "a build-up riser", "a rising sweep", "an uplifter"), _riser),
    NoiseSound(("a downlifter", "a falling sweep", "a noise fall"), _downlifter),
    NoiseSound(("a whoosh", "a fast whoosh", "a swoosh", "an air swish"), _whoosh),
    NoiseSound(("a sub drop", "a deep bass drop", "a falling sub bass"), _sub_drop),
    NoiseSound(("a cinematic impact", "a trailer hit", "a deep cinematic boom"), _impact),
    NoiseSound(("an electric zap", "an electric spark", "a zapping sound"), _zap),
    NoiseSound(("a teleport sound", "a sci-fi teleporter", "a magical shimmer rise"), _teleport),
    NoiseSound(("a telephone dial tone", "a dial tone"), _dial_tone),
    NoiseSound(("touch-tone dialling", "phone keypad tones", "dialling a phone number"), _touch_tones),
    NoiseSound(("bubbles", "bubbling pops", "cartoon bubbles"), _bubble),
    NoiseSound(("an error buzzer", "a wrong answer buzzer", "an error sound"), _error),
    NoiseSound(("a notification chime", "a two-note notification", "a message alert"), _notify),
    NoiseSound(("robot chatter", "computer beeps", "a beeping robot"), _robot),
    NoiseSound(("a heartbeat", "a beating heart", "a slow heart beat"), _heartbeat),
    NoiseSound(("a ticking clock", "clock ticks", "a clock ticking"), _clock),
)
