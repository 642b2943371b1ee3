"""The tempo of a loop from the autocorrelation of its onsets.

Conventions
    One tempo per waveform, in beats per minute, 0 meaning "none found" (silence, or no onset). A tempo counts as right
    within 3 % of the reference; `accuracy_octave` also takes a half, a third, the double and the triple as right,
    because which of these pulses a listener calls the beat is a matter of style.

Measures
    * :func:`estimate_tempo`: tempo and confidence of one waveform
    * :func:`is_match`: is one estimate right?
    * :func:`evaluate`: shares of right estimates

References
    D. Ellis, "Beat tracking by dynamic programming", Journal of New Music Research 36(1), 2007 (onset strength,
    log-Gaussian prior). F. Gouyon et al., "An experimental comparison of audio tempo induction algorithms", IEEE TASLP
    14(5), 2006 (the two accuracies).

Legend: N audio samples, T onset frames, M mel bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arctone.audio.waveform import Waveform
from arctone.evaluation.metrics.audio_distance import FloatArray, decibels, mel_power

TOLERANCE = 0.03
OCTAVES = (1.0, 2.0, 3.0, 1 / 2, 1 / 3)
MIN_BPM, MAX_BPM = 40.0, 240.0
PRIOR_BPM, PRIOR_OCTAVES = 125.0, 0.9
MAX_REFINING_BEATS = 8
MIN_BEAT_CORRELATION = 0.02
COMB_BEATS = (0.25, 0.5, 1, 2, 4)
_N_FFT, _HOP, _NUM_BANDS, _NUM_GROUPS, _RANGE_DB = 1024, 256, 40, 4, 60.0


@dataclass(frozen=True)
class Tempo:
    """An estimated tempo.

    Args:
        bpm: Beats per minute, 0 if none was found.
        confidence: 0 to 1, how strongly the onsets repeat at this beat.
    """

    bpm: float
    confidence: float


NO_TEMPO = Tempo(0.0, 0.0)


def validate(reference_bpm: Sequence[float], estimated_bpm: Sequence[float]) -> None:
    """Refuse arguments that cannot be measured.

    Args:
        reference_bpm: Stated tempos in BPM.
        estimated_bpm: Estimated tempos in BPM; 0 = none found.

    Raises:
        ValueError: if the lists are empty or differ in length, or a reference is not a tempo above 0.
    """
    if len(reference_bpm) != len(estimated_bpm):
        raise ValueError(f"there are {len(reference_bpm)} references, but {len(estimated_bpm)} estimates.")
    if not len(reference_bpm):
        raise ValueError("there are no tempos to compare, but at least one is needed.")
    if not all(np.isfinite(bpm) and bpm > 0 for bpm in reference_bpm):
        raise ValueError(f"reference tempos must be finite and above 0 BPM, not {min(reference_bpm)}.")
    if not all(np.isfinite(bpm) and bpm >= 0 for bpm in estimated_bpm):
        raise ValueError(f"estimated tempos must be finite and not below 0 BPM, not {min(estimated_bpm)}.")


def onset_strength(waveform: Waveform) -> tuple[FloatArray, float]:
    """Rise of the level in four bands (kick, body, snare, cymbals), at about 172 frames a second for 44,100 Hz.

    Args:
        waveform: Sound of any rate and length.

    Returns:
        Strength [T, 4], 0 and upwards, and the frames per second. Silence gives zeros.
    """
    mono = waveform.samples.mean(axis=0, keepdims=True)
    power = mel_power(mono, waveform.sample_rate, _N_FFT, _HOP, _NUM_BANDS)[0]
    floor = max(float(power.max(initial=0.0)) * 10 ** (-_RANGE_DB / 10), 1e-12)
    level = decibels(power, floor).astype(np.float64)
    # Over two hops, because a window of four hops spreads an attack; the neighbouring bands' maximum hides vibrato.
    rise = np.maximum(level[2:] - _widest_band(level)[:-2], 0.0)
    groups = rise.reshape(len(rise), _NUM_GROUPS, _NUM_BANDS // _NUM_GROUPS).mean(axis=2)
    return np.concatenate([np.zeros((2, _NUM_GROUPS)), groups]), waveform.sample_rate / _HOP


def estimate_tempo(waveform: Waveform) -> Tempo:
    """Tempo whose beat, and its multiples, the onsets repeat best, weighted by how usual the tempo is.

    Args:
        waveform: Sound of any rate and length.

    Returns:
        40 to 240 BPM, or 0 with confidence 0 if there are no two onsets to compare.
    """
    strength, frame_rate = onset_strength(waveform)
    correlation = _autocorrelation(strength)
    candidates = _candidates(len(correlation), frame_rate)
    if not candidates.size:
        return NO_TEMPO
    scores = _comb(correlation, 60 * frame_rate / candidates) * _prior(candidates)
    best = int(np.argmax(scores))
    if scores[best] <= 0:
        return NO_TEMPO
    bpm = _refined(correlation, frame_rate, float(candidates[best]))
    confidence = np.interp(60 * frame_rate / bpm, np.arange(len(correlation)), correlation)
    return Tempo(bpm, float(np.clip(confidence, 0.0, 1.0)))


def is_match(reference_bpm: float, estimated_bpm: float, any_octave: bool = False) -> bool:
    """Return whether an estimated tempo is within 3 % of the reference.

    Args:
        reference_bpm: Beats per minute.
        estimated_bpm: Beats per minute.
        any_octave: Accept half, a third, double and triple of the reference, too.

    Returns:
        Whether it matches.

    >>> is_match(120, 123), is_match(120, 124), is_match(120, 60), is_match(120, 60, any_octave=True)
    (True, False, False, True)
    """
    accepted = OCTAVES if any_octave else (1.0,)
    return any(abs(estimated_bpm - factor * reference_bpm) <= TOLERANCE * factor * reference_bpm for factor in accepted)


def evaluate(reference_bpm: Sequence[float], estimated_bpm: Sequence[float]) -> dict[str, float]:
    """Compute shares of right tempos, 0 to 1: `accuracy` within 3 %, `accuracy_octave` with octaves forgiven.

    Args:
        reference_bpm: Stated tempos in BPM.
        estimated_bpm: One for each; 0 is wrong.

    Returns:
        Shares by name.

    Raises:
        ValueError: see `validate`.
    """
    validate(reference_bpm, estimated_bpm)
    pairs = list(zip(reference_bpm, estimated_bpm, strict=True))
    return {
        "accuracy": float(np.mean([is_match(*pair) for pair in pairs])),
        "accuracy_octave": float(np.mean([is_match(*pair, any_octave=True) for pair in pairs])),
    }


def _widest_band(level: FloatArray) -> FloatArray:
    padded = np.pad(level, ((0, 0), (1, 1)), mode="edge")
    return np.maximum(np.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])


def _autocorrelation(strength: FloatArray) -> FloatArray:
    """Autocorrelation at lags from 0 to 3/4 of the length, summed over the bands, divided by the overlap, lag 0 being
    1.

    The bands are correlated one by one: a kick does not answer a snare, so the bar shows itself. Empty without onsets.
    """
    num_frames = len(strength)
    centred = _smoothed(strength - strength.mean(axis=0))
    spectrum = np.abs(np.fft.rfft(centred, 2 * num_frames, axis=0)) ** 2
    raw = np.fft.irfft(spectrum.sum(axis=1))[: max(3 * num_frames // 4, 1)]
    if raw[0] <= 1e-9 * num_frames:
        return np.zeros(0)
    unbiased = raw * num_frames / (num_frames - np.arange(len(raw)))
    return np.asarray(unbiased / unbiased[0])


def _smoothed(strength: FloatArray) -> FloatArray:
    """Onsets widened to about 20 ms, so that human or swung timing still correlates."""
    kernel = np.hanning(9)[1:-1] / np.hanning(9).sum()
    padded = np.pad(strength, ((3, 3), (0, 0)))
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 7, axis=0) @ kernel)


def _candidates(num_lags: int, frame_rate: float) -> FloatArray:
    slowest = max(MIN_BPM, 60 * frame_rate / max(num_lags - 2, 1))
    if slowest >= MAX_BPM:
        return np.zeros(0)
    return np.geomspace(slowest, MAX_BPM, 1 + int(np.ceil(np.log(MAX_BPM / slowest) / 0.004)))


def _comb(correlation: FloatArray, lags: FloatArray) -> FloatArray:
    """Mean correlation at a quarter, a half, one, two and four beats; what lies beyond the longest lag is left out."""
    teeth = lags[:, None] * np.asarray(COMB_BEATS)
    inside = teeth <= len(correlation) - 1
    values = np.interp(teeth, np.arange(len(correlation)), correlation)
    score = (values * inside).sum(axis=1) / inside.sum(axis=1)
    # Twice a slow beat correlates at its multiples, but nothing sounds on it.
    return np.where(values[:, COMB_BEATS.index(1)] > MIN_BEAT_CORRELATION, score, 0.0)


def _prior(bpm: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-0.5 * np.square(np.log2(bpm / PRIOR_BPM) / PRIOR_OCTAVES)))


def _refined(correlation: FloatArray, frame_rate: float, bpm: float) -> float:
    """The tempo from the farthest clear multiple of the beat: an error of one frame there is a small one per beat."""
    for multiple in range(1, MAX_REFINING_BEATS + 1):
        lag = multiple * 60 * frame_rate / bpm
        reach = 0.04 * lag / multiple
        first, last = int(np.floor(lag - reach)), int(np.ceil(lag + reach)) + 1
        if last >= len(correlation):
            break
        peak = first + int(np.argmax(correlation[first:last]))
        if first < peak < last - 1 and correlation[peak] > 0.1:
            bpm = multiple * 60 * frame_rate / (peak + _parabolic_offset(correlation[peak - 1 : peak + 2]))
    return bpm


def _parabolic_offset(triple: npt.NDArray[np.float64]) -> float:
    left, centre, right = triple
    curvature = left - 2 * centre + right
    return float(0.5 * (left - right) / curvature) if curvature < 0 else 0.0
