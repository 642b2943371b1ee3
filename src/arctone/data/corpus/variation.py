"""What version 2 of the corpus does to sounds: another pitch, another speed, another brightness, clean ends.

All functions take and return float32 [2, samples] at 44.1 kHz.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 44_100
Audio = npt.NDArray[np.float32]

# The sound begins where it first reaches this part of its peak, less a margin that keeps the attack whole.
ONSET_LEVEL, ONSET_MARGIN = 0.02, 88
_GRAIN, _SEARCH = 2_048, 512
_TILT_HZ = (200.0, 10_000.0)


def varied(audio: Audio, semitones: float, stretch: float, tilt_db: float) -> Audio:
    """`audio` at another pitch (as a tape at another speed), then another length, then another brightness."""
    return tilted(stretched(transposed(audio, semitones), stretch), tilt_db)


def length_factor(semitones: float, stretch: float) -> float:
    """How many times as long `varied` makes a sound."""
    return float(stretch * 2.0 ** (-semitones / 12))


def transposed(audio: Audio, semitones: float) -> Audio:
    """`audio` resampled so that every frequency is multiplied by 2 ** (semitones / 12) and the length divided by it."""
    if semitones == 0.0 or audio.shape[1] == 0:
        return audio
    import soxr

    moved = soxr.resample(np.ascontiguousarray(audio.T), SAMPLE_RATE * 2.0 ** (semitones / 12), SAMPLE_RATE)
    return np.ascontiguousarray(moved.T, np.float32)


def stretched(audio: Audio, factor: float) -> Audio:
    """`audio` made `factor` times as long at the same pitch.

    Source: waveform similarity overlap-add (Verhelst and Roelands, 1993): grains of 46 ms are laid half over each
    other, each taken from where it continues the grain before it best, within 12 ms of its place.
    """
    hop = _GRAIN // 2
    if factor == 1.0 or audio.shape[1] < 2 * _GRAIN + _SEARCH:
        return audio
    num_grains = max(2, int(audio.shape[1] * factor) // hop - 1)
    padded = np.pad(audio, ((0, 0), (0, 2 * _GRAIN + 2 * _SEARCH)))
    mono = padded.sum(axis=0)
    window = np.hanning(_GRAIN + 1)[:-1].astype(np.float32)
    out = np.zeros((2, (num_grains + 1) * hop), np.float32)
    place = 0
    for index in range(num_grains):
        if index > 0:
            place = _best_place(mono, place + hop, round(index * hop / factor))
        out[:, index * hop : index * hop + _GRAIN] += padded[:, place : place + _GRAIN] * window
    # The first half grain has no predecessor: it stands as it is.
    out[:, :hop] = padded[:, :hop]
    return out


def _best_place(mono: Audio, expected: int, wanted: int) -> int:
    """Start within _SEARCH of `wanted` whose first half grain resembles what follows the grain before it most."""
    low = min(max(0, wanted - _SEARCH), len(mono) - _GRAIN - 2 * _SEARCH)
    target = mono[expected : expected + _GRAIN // 2]
    region = mono[low : low + 2 * _SEARCH + len(target)]
    energy = np.convolve(region**2, np.ones(len(target), np.float32), "valid")
    size = 1 << (len(region) + len(target) - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(region, size) * np.conj(np.fft.rfft(target, size)), size)[: len(energy)]
    return low + int(np.argmax(product / np.sqrt(energy + 1e-9)))


def tilted(audio: Audio, tilt_db: float) -> Audio:
    """`audio` with a spectrum that is tilted by tilt_db between 200 Hz and 10 kHz, straight over octaves."""
    if tilt_db == 0.0 or audio.shape[1] == 0:
        return audio
    size = audio.shape[1]
    hertz = np.clip(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), *_TILT_HZ)
    low, high = np.log2(_TILT_HZ)
    gain = 10 ** (tilt_db / 20 * ((np.log2(hertz) - low) / (high - low) - 0.5))
    return np.fft.irfft(np.fft.rfft(audio) * gain, size).astype(np.float32)


def begun(audio: Audio, num_samples: int) -> Audio:
    """The `num_samples` of `audio` from where its sound begins; silence where it is shorter."""
    level = np.abs(audio).max(axis=0)
    first = int(np.argmax(level >= ONSET_LEVEL * level.max())) if level.max() > 0 else 0
    start = max(0, first - ONSET_MARGIN)
    part = audio[:, start : start + num_samples]
    return np.ascontiguousarray(np.pad(part, ((0, 0), (0, num_samples - part.shape[1]))))


def faded(audio: Audio, seconds: float) -> Audio:
    """`audio` without offset that falls to nothing over its last `seconds`, as the square of a quarter of a cosine."""
    size = min(audio.shape[1], round(seconds * SAMPLE_RATE))
    if size < 2:
        return audio
    # An offset that is taken out after the fade would come back at its end.
    out = audio - np.mean(audio, axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    out[:, -size:] *= (np.cos(np.linspace(0, np.pi / 2, size)) ** 2).astype(np.float32)
    return out
