"""Memorisation: is a generated sound a copy of a training sound, or of another generated one?

What is evaluated
    For each clip the most similar one of another set, first by embedding (any likeness), then, for the likeliest pairs,
    by laying the two sounds over each other at every delay (the same recording).

Conventions
    Similarity of embeddings is their cosine. The threshold is not chosen by hand: it is the similarity that only 1 % of
    real held-out clips reach with the training set; so 1 % of clips above it is what an innocent set shows, and every
    clip above it deserves a listener. Alignment is the largest correlation over all delays at which at least half of
    the shorter sound overlaps: of the waveforms (1 for an exact copy at any level) and of log mel spectra with the mean
    of each band taken out, which does not need the phase and so survives a decoder that makes its own. Intervals:
    bootstrap over clips.

Measures
    * :func:`nearest`: most similar clip of another set
    * :func:`calibrate_threshold`: from real against real
    * :func:`waveform_alignment`, :func:`spectral_alignment`: of two sounds
    * :func:`evaluate`: share of clips above the threshold, and of near-duplicates inside the set

References
    N. Carlini et al., "Extracting training data from diffusion models", USENIX Security 2023. G. Somepalli et al.,
    "Diffusion art or digital forgery?", CVPR 2023. R. Barnett et al., "Exploring musical roots", arXiv 2401.14542.

Legend: N, M clips, D size of the embedding, C channels or bands, T samples or frames.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from arctone.audio.waveform import Waveform, conform
from arctone.evaluation.metrics.audio_distance import decibels, mel_power
from arctone.evaluation.metrics.intervals import Interval, bootstrap
from arctone.evaluation.metrics.manifold import FloatArray, IntArray, as_points, same_size, unit_rows

QUANTILE = 0.99
MIN_OVERLAP = 0.5
_ALIGNMENT_RATE = 11_025
_N_FFT, _HOP, _NUM_BANDS, _RANGE_DB = 512, 128, 40, 60.0
_ROWS_AT_ONCE = 1024


class Nearest(NamedTuple):
    """The most similar clip of each.

    Args:
        clip: [N], index of the most similar one.
        similarity: [N], -1 to 1.
    """

    clip: IntArray
    similarity: FloatArray


def validate(clips: npt.ArrayLike, others: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Check the arguments and convert them.

    Args:
        clips: [N, D].
        others: [M, D].

    Returns:
        Both sets, [N, D] and [M, D].

    Raises:
        ValueError: for bad shapes or values, different D, or an empty set.
    """
    first, second = as_points("clips", clips), as_points("others", others)
    same_size(first, second)
    return first, second


def nearest(clips: npt.ArrayLike, others: npt.ArrayLike) -> Nearest:
    """Find for each clip the most similar of the others.

    Args:
        clips: [N, D].
        others: [M, D].

    Returns:
        Index and similarity of each, [N].

    Raises:
        ValueError: see `validate`.
    """
    first, second = (unit_rows(points) for points in validate(clips, others))
    found = [_best(first[start : start + _ROWS_AT_ONCE] @ second.T) for start in range(0, len(first), _ROWS_AT_ONCE)]
    return Nearest(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def nearest_inside(clips: npt.ArrayLike) -> Nearest:
    """Find for each clip the most similar other clip of the same set.

    Args:
        clips: [N, D].

    Returns:
        Index and similarity of each, [N].

    Raises:
        ValueError: for fewer than 2 clips.
    """
    units = unit_rows(as_points("clips", clips, minimum=2))
    cosines = units @ units.T
    np.fill_diagonal(cosines, -np.inf)
    return _best(cosines)


def calibrate_threshold(held_out: npt.ArrayLike, training: npt.ArrayLike, quantile: float = QUANTILE) -> float:
    """Compute the similarity to the training set that a share of 1 - quantile of real held-out clips reaches.

    Args:
        held_out: Real sounds that were not trained on, [N, D].
        training: Sounds that were trained on, [M, D].
        quantile: Share of held-out sounds below the threshold, 0 to 1.

    Returns:
        Cosine, -1 to 1.

    Raises:
        ValueError: see `validate`, or for a quantile outside 0 to 1.
    """
    if not 0.0 < quantile < 1.0:
        raise ValueError(f"quantile is {quantile}, but must lie between 0 and 1.")
    return float(np.quantile(nearest(held_out, training).similarity, quantile))


def evaluate(
    generated: npt.ArrayLike, training: npt.ArrayLike, held_out: npt.ArrayLike, seed: int = 0
) -> dict[str, Interval]:
    """Compute the shares of copies.

    `memorised_share`: clips nearer to a training clip than 99 % of real held-out clips are; `duplicate_share`: clips
    with another generated clip that near (several takes of one prompt are counted, too).

    Args:
        generated: Generated sounds, [N, D].
        training: Sounds that were trained on, [M, D].
        held_out: Real sounds that were not, [K, D].
        seed: Of the bootstrap.

    Returns:
        Intervals by name.

    Raises:
        ValueError: see `validate`, or for fewer than 2 generated clips.
    """
    threshold = calibrate_threshold(held_out, training)
    copied = nearest(generated, training).similarity > threshold
    doubled = nearest_inside(generated).similarity > threshold
    return {"memorised_share": _share(copied, seed), "duplicate_share": _share(doubled, seed)}


def waveform_alignment(first: Waveform, second: Waveform) -> float:
    """Compute the largest correlation of two waveforms over all delays.

    Args:
        first: A sound; it is compared in mono at 11 kHz.
        second: Another sound.

    Returns:
        0 to 1; either sign counts. 0 for silence.
    """
    return _alignment(*(conform(waveform, _ALIGNMENT_RATE, 1).samples for waveform in (first, second)), signed=False)


def spectral_alignment(first: Waveform, second: Waveform) -> float:
    """Compute the largest correlation of two log mel spectra over all delays, at 86 frames a second and without phase.

    Args:
        first: A sound.
        second: Another sound.

    Returns:
        0 to 1; 0 for silence.
    """
    return _alignment(*(_log_mel(waveform) for waveform in (first, second)), signed=True)


def _share(found: npt.NDArray[np.bool_], seed: int) -> Interval:
    return bootstrap(found.astype(np.float64), seed=seed)


def _best(cosines: FloatArray) -> Nearest:
    index = cosines.argmax(axis=1)
    return Nearest(index, cosines[np.arange(len(index)), index])


def _log_mel(waveform: Waveform) -> FloatArray:
    """[C, T], each band around its mean."""
    mono = conform(waveform, _ALIGNMENT_RATE, 1)
    power = mel_power(mono.samples, _ALIGNMENT_RATE, _N_FFT, _HOP, _NUM_BANDS)[0]
    loudest = float(power.max(initial=0.0))
    if loudest < 1e-12:
        return np.zeros((_NUM_BANDS, len(power)))
    level = decibels(power / loudest, 10 ** (-_RANGE_DB / 10)).T
    return np.asarray(level - level.mean(axis=1, keepdims=True), dtype=np.float64)


def _alignment(first: npt.NDArray[np.floating], second: npt.NDArray[np.floating], *, signed: bool) -> float:
    """Largest correlation of [C, T] and [C, T'] over the delays with enough overlap."""
    n, m = first.shape[1], second.shape[1]
    if min(n, m) == 0:
        return 0.0
    size = n + m - 1
    spectra = [np.fft.rfft(values.astype(np.float64), size) for values in (first, second)]
    # Entry d + m - 1: the second sound begins d samples after the first.
    products = np.fft.irfft((spectra[0] * spectra[1].conj()).sum(axis=0), size)
    delays = np.arange(-(m - 1), n)
    products = products[delays % size]
    starts, ends = np.maximum(delays, 0), np.minimum(delays + m, n)
    energies = _energy(first, starts, ends) * _energy(second, starts - delays, ends - delays)
    usable = (ends - starts >= MIN_OVERLAP * min(n, m)) & (energies > 1e-12 * energies.max(initial=0.0))
    if not usable.any():
        return 0.0
    correlations = products[usable] / np.sqrt(energies[usable])
    return float(np.clip((correlations if signed else np.abs(correlations)).max(), 0.0, 1.0))


def _energy(values: npt.NDArray[np.floating], starts: IntArray, ends: IntArray) -> FloatArray:
    running = np.concatenate([[0.0], np.square(values.astype(np.float64)).sum(axis=0).cumsum()])
    return np.asarray(running[ends] - running[starts])
