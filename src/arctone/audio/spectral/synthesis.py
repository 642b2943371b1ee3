"""Sound made from spectral parameters: levels, the image of the stereo, and a scatter that is drawn again.

Shapes: M frames of 512 samples, K = 1025 bins, N_B = 48 bands.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arctone.audio.spectral import phase
from arctone.audio.spectral.features import DIFFERENCE_SCALE, FLOOR, LEVEL_CENTRE, LEVEL_SCALE, NUM_BANDS, to_bins
from arctone.audio.spectral.stft import HOP, N_FFT, NUM_BINS, PADDING, Scratch, framed, spectrum

Floats = NDArray[np.float32]

# Frames that are worked on together: few enough to stay near a core's cache, and enough that threads do not wait for
# each other's turns at the interpreter more than they compute. The result does not depend on it.
CHUNK_FRAMES = 256


def synthesise(parameters: Floats, generator: np.random.Generator, iterations: int = 1, threads: int = 1) -> Floats:
    """Synthesise stereo audio from spectral parameters.

    Args:
        parameters: [1169, M]: scaled level, difference, coherence (-1 to 1), logarithm of the scaled scatter.
        generator: Source of the scatter and of the first phases.
        iterations: Griffin-Lim refinements.
        threads: CPU threads; the result does not depend on them.

    Returns:
        [2, 512 M] float32.
    """
    num_frames = parameters.shape[1]
    white, start, signs = draws(generator, num_frames)
    noise = framed(white)
    stereo = slice(NUM_BINS + NUM_BANDS, NUM_BINS + 2 * NUM_BANDS)
    coherence = _smoothed(np.clip(parameters[stereo].T, -1, 1))
    # Of each frame and bin: the magnitudes left and right, half the angle between them, the angle of both.
    left, right, half_spread, common = np.empty((4, num_frames, NUM_BINS), np.float32)
    scratches = _Scratches(threads)

    def shape(first: int) -> phase.Peaks:
        part = slice(first, min(first + CHUNK_FRAMES, num_frames))
        into = _Shaped(left[part], right[part], half_spread[part])
        with scratches.one() as scratch:
            rows = _rows(parameters[:, part], scratch)
            return _shape(rows, coherence[part], signs, _deviation(noise[part], scratch), into, scratch)

    def channel(magnitude: Floats, side: np.ufunc) -> Floats:
        def angle(part: slice) -> Floats:
            out = scratch.array("angle", common[part].shape)
            side(common[part], half_spread[part], out=out)
            return out

        with scratches.one() as scratch:
            return phase.refine(magnitude, angle, iterations, CHUNK_FRAMES, scratch)

    with ThreadPoolExecutor(threads) as pool:
        phase.integrate(pool.map(shape, range(0, num_frames, CHUNK_FRAMES)), start, common)
        padded = pool.map(channel, (left, right), (np.add, np.subtract))
        return np.stack([samples[PADDING:-PADDING] for samples in padded])


def draws(generator: np.random.Generator, num_frames: int) -> tuple[Floats, Floats, Floats]:
    """Draw everything that is random in the synthesis.

    Args:
        generator: Source of randomness.
        num_frames: Number of spectral frames, M.

    Returns:
        White noise [512 M + 1536] with 768 zeros at each end; the phases before the first frame [K]; the side to which
        the channels are parted [K].
    """
    noise = _noise(generator, num_frames)
    start = generator.uniform(-np.pi, np.pi, NUM_BINS).astype(np.float32)
    return noise, start, _signs(generator)


class _Scratches:
    """One scratch for each thread, whichever thread it is."""

    def __init__(self, number: int) -> None:
        self._spare: SimpleQueue[Scratch] = SimpleQueue()
        for _ in range(number):
            self._spare.put(Scratch())

    @contextmanager
    def one(self) -> Iterator[Scratch]:
        scratch = self._spare.get()
        try:
            yield scratch
        finally:
            self._spare.put(scratch)


class _Shaped(NamedTuple):
    """Of each frame and bin, [M, K]: magnitudes left and right, and half the angle between them."""

    left: Floats
    right: Floats
    half_spread: Floats


def _rows(parameters: Floats, scratch: Scratch) -> Floats:
    """Parameters [1169, M], frame by frame: [M, 1169]."""
    # Copied before it is turned: the rows of the whole lie a power of two apart, where caches hold few of them.
    near = scratch.array("near", parameters.shape)
    near[:] = parameters
    rows = scratch.array("rows", parameters.shape[::-1])
    rows[:] = near.T
    return rows


def _shape(
    rows: Floats, coherence: Floats, signs: Floats, deviation: Floats, into: _Shaped, scratch: Scratch
) -> phase.Peaks:
    """Fill `into`; the peaks of what was drawn. Overwrites `deviation`."""
    level, difference, _, scatter = np.split(rows, np.cumsum([NUM_BINS, NUM_BANDS, NUM_BANDS]), axis=1)
    amount = to_bins(np.exp(scatter) * np.float32(LEVEL_SCALE / NOISE_SCATTER), into.left, scratch)
    np.minimum(amount, 1, out=amount)
    amount *= amount
    deviation *= amount
    drawn = np.multiply(level, LEVEL_SCALE, out=scratch.array("drawn", level.shape))
    drawn += LEVEL_CENTRE
    drawn += deviation
    peaks = phase.follow(drawn)
    magnitude = np.exp(np.minimum(drawn, 9, out=drawn), out=drawn)
    magnitude -= FLOOR
    np.maximum(magnitude, 0, out=magnitude)
    for gain, channel in zip(_gains(difference), (into.left, into.right), strict=True):
        to_bins(gain, channel, scratch)
        channel *= magnitude
    half_angle = np.float32(0.5) * np.arccos(np.clip(coherence, -1, 1))
    half_spread = to_bins(half_angle, into.half_spread, scratch)
    half_spread *= signs
    return peaks


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
    """Draw how the level of stationary noise deviates from its median.

    It is the transform of white noise, so that neighboring frames and bins, which share samples, deviate together.

    Args:
        generator: Source of randomness.
        num_frames: Number of spectral frames.

    Returns:
        Deviations in nepers, [num_frames, K].
    """
    return _deviation(framed(_noise(generator, num_frames)), Scratch())


def _noise(generator: np.random.Generator, num_frames: int) -> Floats:
    """White noise with its padding, [512 M + 1536]; the median power of the bins of its frames is 1."""
    padded = np.zeros(num_frames * HOP + 2 * PADDING, np.float32)
    samples = padded[PADDING:-PADDING]
    # Uniform noise is as white as normal noise and quicker to draw; a bin adds 2048 samples, and so is normal anyway.
    generator.random(dtype=np.float32, out=samples)
    samples -= np.float32(0.5)
    # Power is exponentially distributed, so its median is ln 2 times its mean, the sum of the squared window.
    samples *= np.float32(np.sqrt(12 / (np.log(2.0) * 0.375 * N_FFT)))
    return padded


def _deviation(frames: Floats, scratch: Scratch) -> Floats:
    """See `noise_deviation`; of frames [M, N_FFT], in the scratch's "deviation"."""
    values = np.abs(spectrum(frames, scratch), out=scratch.array("deviation", (len(frames), NUM_BINS)))
    values *= values
    values += np.float32(1e-4)
    np.log(values, out=values)
    values *= np.float32(0.5)
    return values


def _signs(generator: np.random.Generator) -> Floats:
    signs = 2 * generator.integers(0, 2, NUM_BINS // SIGN_BINS + 1) - 1
    return np.repeat(signs, SIGN_BINS)[:NUM_BINS].astype(np.float32)
