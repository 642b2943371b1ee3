"""Spectral features that the autoencoder sees, and sound made from spectral parameters.

Level is the natural logarithm of the magnitude of both channels together; stereo is parametric, per band: the level
difference and the coherence of left and right (the idea of MPEG-4 parametric stereo). The decoder also says how far
each band scatters about its level; the scatter is drawn again at synthesis, so that noise sounds like noise.
Shapes: M frames of 512 samples, K = 1025 bins, N_B = 48 bands.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arctone.audio import phase
from arctone.audio.stft import HOP, N_FFT, NUM_BINS, framed, spectrum, stft

Floats = NDArray[np.float32]

NUM_BANDS = 48
NUM_FEATURES = NUM_BINS + 2 * NUM_BANDS
NUM_PARAMETERS = NUM_BINS + 3 * NUM_BANDS
# Magnitude under which a bin counts as silent: a full-scale sine reaches 512, so this is -105 dB.
FLOOR = 3e-3
LEVEL_CENTRE, LEVEL_SCALE = -2.0, 3.0
DIFFERENCE_SCALE = 2.0


@functools.cache
def band_edges(sample_rate: int = 44_100) -> NDArray[np.int64]:
    """First bin of each band and the end of the last, [N_B + 1]; mel-spaced, at least one bin each."""
    nyquist = sample_rate / 2
    mel = np.linspace(0, 2595 * np.log10(1 + nyquist / 700), NUM_BANDS + 1)
    edges = np.round(700 * (10 ** (mel / 2595) - 1) / nyquist * NUM_BINS).astype(np.int64)
    for index in range(1, NUM_BANDS + 1):
        edges[index] = max(edges[index], edges[index - 1] + 1)
    return edges


@functools.cache
def bin_bands() -> NDArray[np.int64]:
    """The band of each bin, [K]."""
    return np.repeat(np.arange(NUM_BANDS), np.diff(band_edges()))


@functools.cache
def interpolation() -> Floats:
    """Matrix from bands to bins, [N_B, K], linear between band centres."""
    edges = band_edges()
    centres = (edges[:-1] + edges[1:] - 1) / 2
    bins = np.arange(NUM_BINS)
    return np.stack([np.interp(bins, centres, row) for row in np.eye(NUM_BANDS)]).astype(np.float32)


@functools.cache
def _neighbours() -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """For each bin the band centres below and above it, and how far it lies on the way, [K] each."""
    place = np.arange(NUM_BANDS, dtype=np.float32) @ interpolation()
    below = np.minimum(place.astype(np.int64), NUM_BANDS - 2)
    return below, below + 1, (place - below).astype(np.float32)


def to_bins(bands: Floats) -> Floats:
    """Values between the band centres, [M, N_B] -> [M, K]: a product with `interpolation`, but without BLAS, whose own
    threads get in the way of ours.
    """
    below, above, way = _neighbours()
    first = bands.take(below, axis=1)
    values = bands.take(above, axis=1)
    values -= first
    values *= way
    values += first
    return values


def features(samples: Floats) -> Floats:
    """Features of stereo audio.

    Args: samples: [2, N], N a multiple of 512. Returns: [1121, N / 512]: scaled level, difference, coherence.
    """
    left, right = stft(samples)
    power_left, power_right = np.abs(left) ** 2, np.abs(right) ** 2
    level = 0.5 * np.log(0.5 * (power_left + power_right) + FLOOR**2)
    starts = band_edges()[:-1]
    band_left = np.add.reduceat(power_left, starts, axis=1) + FLOOR**2
    band_right = np.add.reduceat(power_right, starts, axis=1) + FLOOR**2
    cross = np.add.reduceat((left * right.conj()).real, starts, axis=1) + FLOOR**2
    difference = 0.5 * np.log(band_left / band_right)
    coherence = cross / np.sqrt(band_left * band_right)
    scaled = (level - LEVEL_CENTRE) / LEVEL_SCALE
    return np.concatenate([scaled, difference / DIFFERENCE_SCALE, coherence], axis=1).T.astype(np.float32)


# Frames that are worked on together: few enough to stay near a core's cache, and enough that threads do not wait for
# each other's turns at the interpreter more than they compute. The result does not depend on it.
CHUNK_FRAMES = 128


def synthesise(parameters: Floats, generator: np.random.Generator, iterations: int = 1, threads: int = 1) -> Floats:
    """Stereo audio from spectral parameters.

    Args: parameters: [1169, M]: scaled level, difference, coherence (-1 to 1), logarithm of the scaled scatter.
        generator: source of the scatter and of the first phases. iterations: Griffin-Lim refinements.
        threads: CPU threads; the result does not depend on them.
    Returns: [2, 512 M] float32.
    """
    num_frames = parameters.shape[1]
    noise = _noise(generator, num_frames)
    start = generator.uniform(-np.pi, np.pi, NUM_BINS).astype(np.float32)
    signs = _signs(generator)
    stereo = slice(NUM_BINS + NUM_BANDS, NUM_BINS + 2 * NUM_BANDS)
    coherence = _smoothed(np.clip(parameters[stereo].T, -1, 1))

    frames = _Frames.empty(num_frames)

    def shape(first: int) -> None:
        part = slice(first, min(first + CHUNK_FRAMES, num_frames))
        # Copied before it is turned: the rows of the whole lie a power of two apart, where caches hold few of them.
        rows = np.ascontiguousarray(parameters[:, part].copy().T, dtype=np.float32)
        level, difference, _, scatter = np.split(rows, np.cumsum([NUM_BINS, NUM_BANDS, NUM_BANDS]), axis=1)
        shaped = _shape(level, difference, coherence[part], scatter, _deviation(noise[part]))
        for whole, piece in zip(frames, shaped, strict=True):
            whole[part] = piece

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(shape, range(0, num_frames, CHUNK_FRAMES)))
        left, right, half_spread, peaks, advance = frames
        common = phase.integrate(peaks, advance, start)
        half_spread *= signs
        angles = (lambda part: common[part] + half_spread[part], lambda part: common[part] - half_spread[part])
        channel = functools.partial(phase.refine, iterations=iterations, chunk_frames=CHUNK_FRAMES)
        return np.stack([*pool.map(channel, (left, right), angles)])


class _Frames(NamedTuple):
    """Of each frame and bin, [M, K]: magnitudes left and right, half the angle between them, followed peaks and their
    advance.
    """

    left: Floats
    right: Floats
    half_spread: Floats
    peaks: NDArray[np.int32]
    advance: Floats

    @classmethod
    def empty(cls, num_frames: int) -> _Frames:
        shape = (num_frames, NUM_BINS)
        left, right, half_spread, advance = (np.empty(shape, np.float32) for _ in range(4))
        return cls(left, right, half_spread, np.empty(shape, np.int32), advance)


def _shape(level: Floats, difference: Floats, coherence: Floats, scatter: Floats, deviation: Floats) -> _Frames:
    scale = to_bins(np.exp(scatter))
    scale *= LEVEL_SCALE / NOISE_SCATTER
    amount = np.square(np.minimum(scale, 1, out=scale), out=scale)
    drawn = level * LEVEL_SCALE
    drawn += LEVEL_CENTRE
    drawn += amount * deviation
    magnitude = np.exp(np.clip(drawn, -20, 9))
    magnitude -= FLOOR
    np.maximum(magnitude, 0, out=magnitude)
    left, right = (to_bins(gain) for gain in _gains(difference))
    half_spread = to_bins(np.float32(0.5) * np.arccos(np.clip(coherence, -1, 1)))
    return _Frames(magnitude * left, magnitude * right, half_spread, *phase.follow(drawn))


def _gains(difference: Floats) -> tuple[Floats, Floats]:
    """Factors of left and right in each band, [M, N_B], whose mean power is 1."""
    ratio = np.exp(np.clip(difference * DIFFERENCE_SCALE, -8, 8))
    norm = 1 / np.sqrt(0.5 * (ratio + 1 / ratio))
    return np.sqrt(ratio) * norm, norm / np.sqrt(ratio)


# The phase between the channels must hold still over frames, and over the few bins of a partial's lobe: where it jumps,
# overlapping frames cancel the difference and the image narrows.
COHERENCE_FRAMES = 15
SIGN_BINS = 16


def _smoothed(rows: Floats) -> Floats:
    """Moving average over time of [M, N_B]."""
    half = COHERENCE_FRAMES // 2
    padded = np.pad(rows, ((half + 1, half), (0, 0)), mode="edge")
    total = np.cumsum(padded, axis=0, dtype=np.float64)
    return ((total[COHERENCE_FRAMES:] - total[:-COHERENCE_FRAMES]) / COHERENCE_FRAMES).astype(np.float32)


# Laplace scale of the logarithm of Rayleigh noise: the level of pure noise scatters this far, and no sound should more.
NOISE_SCATTER = 0.45


def noise_deviation(generator: np.random.Generator, num_frames: int) -> Floats:
    """How the level of stationary noise deviates from its median, [num_frames, K], in nepers.

    Taken from a transform of white noise, so that neighbouring frames and bins, which share samples, deviate together.
    """
    return _deviation(_noise(generator, num_frames))


def _noise(generator: np.random.Generator, num_frames: int) -> Floats:
    """Overlapping frames of white noise, [num_frames, N_FFT], without a copy."""
    frames: Floats = framed(generator.standard_normal((1, num_frames * HOP), dtype=np.float32))[0]
    return frames


def _deviation(frames: Floats) -> Floats:
    """See `noise_deviation`; of frames [M, N_FFT]."""
    power: Floats = np.square(np.abs(spectrum(frames)))
    # Power is exponentially distributed, so its median is ln 2 times its mean, the sum of the squared window.
    deviation: Floats = np.float32(0.5) * np.log(power / np.float32(np.log(2.0) * 0.375 * N_FFT) + np.float32(1e-4))
    return deviation


def _signs(generator: np.random.Generator) -> Floats:
    signs = 2 * generator.integers(0, 2, NUM_BINS // SIGN_BINS + 1) - 1
    return np.repeat(signs, SIGN_BINS)[:NUM_BINS].astype(np.float32)


__all__ = [
    "HOP",
    "NUM_BANDS",
    "NUM_FEATURES",
    "NUM_PARAMETERS",
    "N_FFT",
    "features",
    "noise_deviation",
    "synthesise",
]
