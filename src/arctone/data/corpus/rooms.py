"""Rooms: convolution with synthetic stereo impulse responses.

An impulse response is a few early reflections and a diffuse tail of noise that decays faster at high frequencies
(Moorer, "About this reverberation business", 1979). The two channels are drawn apart, which makes the tail wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 44_100
NUM_VARIANTS = 8

Audio = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Room:
    """A kind of room.

    Args:
        decay_seconds: Time to -60 dB at low frequencies.
        damping_hz: Where it has halved.
        wet: Level to direct.
    """

    name: str
    decay_seconds: float
    predelay_ms: float
    damping_hz: float
    wet: float


ROOMS: dict[str, Room] = {
    room.name: room
    for room in (
        Room("dry", 0.0, 0.0, 0.0, 0.0),
        Room("small room", 0.35, 2.0, 6_000.0, 0.5),
        Room("plate", 1.1, 1.0, 9_000.0, 0.45),
        Room("concert hall", 1.9, 18.0, 4_500.0, 0.55),
        Room("cathedral", 3.6, 32.0, 3_200.0, 0.8),
    )
}


def add_room(dry: Audio, name: str, variant: int) -> Audio:
    """Place `dry` [2, N] in a room.

    Args:
        dry: Sound without a room, [2, N].
        name: A key of ROOMS.
        variant: 0 to NUM_VARIANTS - 1, another response of the same kind.

    Returns:
        Float32, the same length.
    """
    room = ROOMS[name]
    if room.wet == 0.0:
        return dry
    response = impulse_response(name, variant)
    size = fast_size(dry.shape[1] + response.shape[1])
    wet = np.fft.irfft(np.fft.rfft(dry, size) * np.fft.rfft(response, size), size)[:, : dry.shape[1]]
    scale = room.wet * _rms(dry) / max(_rms(wet), 1e-9)
    return (dry + np.float32(scale) * wet.astype(np.float32)).astype(np.float32)


@lru_cache(maxsize=64)
def impulse_response(name: str, variant: int) -> Audio:
    """Response of a room, float32 [2, samples]."""
    room = ROOMS[name]
    rng = np.random.Generator(np.random.Philox(key=[7_001, variant]))
    decay = room.decay_seconds * float(rng.uniform(0.85, 1.15))
    size = round(min(decay, 2.6) * SAMPLE_RATE)
    tail = _diffuse_tail(rng, size, decay, room.damping_hz)
    tail += _early_reflections(rng, size, room)
    silent = round(room.predelay_ms * SAMPLE_RATE / 1000)
    return np.pad(tail, ((0, 0), (silent, 0))).astype(np.float32)


def fast_size(minimum: int) -> int:
    """Smallest size >= minimum of the form 2^a times 1, 3, 5 or 9, where FFTs are quick."""
    return min(factor << max(0, (-(-minimum // factor) - 1).bit_length()) for factor in (1, 3, 5, 9))


def _diffuse_tail(rng: np.random.Generator, size: int, decay: float, damping_hz: float) -> npt.NDArray[np.float64]:
    edges = (0.0, 400.0, 1_600.0, 4_000.0, 9_000.0, 22_050.0)
    frequencies = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.standard_normal((2, size)))
    seconds = np.arange(size) / SAMPLE_RATE
    tail = np.zeros((2, size))
    for low, high in pairwise(edges):
        centre = np.sqrt(max(low, 100.0) * high)
        band_decay = decay / (1.0 + centre / damping_hz)
        band = np.fft.irfft(spectrum * ((frequencies >= low) & (frequencies < high)), size)
        tail += band * np.exp(-6.91 * seconds / band_decay)
    return np.asarray(tail * np.minimum(1.0, seconds / 0.008))


def _early_reflections(rng: np.random.Generator, size: int, room: Room) -> npt.NDArray[np.float64]:
    taps = np.zeros((2, size))
    reach = min(size, round((0.012 + 0.02 * room.decay_seconds) * SAMPLE_RATE))
    for channel in range(2):
        places = rng.integers(60, reach, 9)
        taps[channel, places] += rng.uniform(-6.0, 6.0, 9) * np.exp(-3.0 * places / reach)
    return taps


def _rms(audio: npt.NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(audio))))
