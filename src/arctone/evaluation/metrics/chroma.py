"""The key of a sound from its chroma.

Conventions
    A key is written "C major" or "F# minor" (tonic with sharps; flats are read). "none" stands for silence and for
    sounds without any pitch class above the others. A key is right if tonic and mode agree; a relative key (C major
    for A minor) has the same seven notes and is counted on its own, not as right.

Measures
    * :func:`chroma`: share of the twelve pitch classes
    * :func:`estimate_key`: key and confidence of one waveform
    * :func:`relation`: how an estimated key relates to the right one
    * :func:`evaluate`: shares of right, relative, fifth-related and parallel keys

References
    C. Krumhansl and E. Kessler, "Tracing the dynamic changes in perceived tonal organization in a spatial
    representation of musical keys", Psychological Review 89, 1982 (profiles). MIREX audio key detection (the
    relations).

Legend: N audio samples, T frames, F frequency bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from arctone.audio.waveform import Waveform
from arctone.evaluation.metrics.audio_distance import FloatArray, magnitudes

PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
MAJOR_PROFILE = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR_PROFILE = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
Relation = Literal["same", "relative", "fifth", "parallel", "other"]
RELATIONS: tuple[Relation, ...] = ("same", "relative", "fifth", "parallel", "other")
NO_KEY = "none"
_LOW_HZ, _HIGH_HZ, _A4_HZ = 60.0, 1300.0, 440.0
_N_FFT, _HOP = 16384, 4096
_FLATS = {"Db": "C#", "Eb": "D#", "Gb": "F#", "Ab": "G#", "Bb": "A#", "Cb": "B", "Fb": "E"}


@dataclass(frozen=True)
class Key:
    """An estimated key.

    Args:
        name: Such as "C major", or "none".
        confidence: Correlation of the chroma with the key's profile, 0 to 1.
    """

    name: str
    confidence: float


def validate(reference: Sequence[str], estimated: Sequence[str]) -> None:
    """Refuse arguments that cannot be measured.

    Args:
        reference: True keys, such as "C major".
        estimated: Estimated keys, one for each reference.

    Raises:
        ValueError: if the lists are empty or differ in length, or a name is not a key ("none" only if estimated).
    """
    if len(reference) != len(estimated):
        raise ValueError(f"there are {len(reference)} references, but {len(estimated)} estimates.")
    if not len(reference):
        raise ValueError("there are no keys to compare, but at least one is needed.")
    for name in [*reference, *(name for name in estimated if name != NO_KEY)]:
        parse_key(name)


def parse_key(name: str) -> tuple[int, bool]:
    """Parse the name of a key.

    >>> parse_key("Bb minor"), parse_key("F sharp major")
    ((10, True), (6, False))

    Args:
        name: Such as "Bb minor".

    Returns:
        Pitch class of the tonic (0 = C to 11 = B) and whether the key is minor.

    Raises:
        ValueError: for anything else.
    """
    tonic, _, mode = name.strip().replace(" flat ", "b ").replace(" sharp ", "# ").partition(" ")
    tonic = _FLATS.get(tonic, tonic)
    if tonic not in PITCH_CLASSES or mode not in ("major", "minor"):
        raise ValueError(
            f'key is "{name}", but must be a tonic such as C, F#, Bb or B flat, a space, and major or minor.'
        )
    return PITCH_CLASSES.index(tonic), mode == "minor"


def chroma(waveform: Waveform) -> FloatArray:
    """Share of each pitch class (C first) among the spectral peaks between 60 and 1,300 Hz, tuned to A = 440 Hz.

    Args:
        waveform: Sound of any rate and length.

    Returns:
        [12], sum 1, or all zeros if there is nothing to hear. All frames weigh alike, so that loud notes do not drown
        the others.
    """
    if not waveform.num_samples:
        return np.zeros(12)
    mono = waveform.samples.mean(axis=0, keepdims=True)
    frames = magnitudes(mono, _N_FFT, _HOP)[0].astype(np.float64)
    folded = _peaks(frames) @ _folding(waveform.sample_rate)
    length = np.linalg.norm(folded, axis=1, keepdims=True)
    if length.max() < 1e-7:
        return np.zeros(12)
    # Quiet frames count like loud ones, but not those that have all but died away.
    summed = (folded / np.maximum(length, 1e-3 * length.max())).sum(axis=0)
    return np.asarray(summed / summed.sum())


def estimate_key(waveform: Waveform) -> Key:
    """Estimate the key, whose profile correlates best with the chroma.

    Args:
        waveform: The sound.

    Returns:
        The key with its correlation.
    """
    return key_of_chroma(chroma(waveform))


def key_of_chroma(shares: FloatArray) -> Key:
    """Estimate the key of a chroma vector.

    Args:
        shares: [12], sum 1.

    Returns:
        The key; "none" if the vector is constant.

    Raises:
        ValueError: for another shape.
    """
    if shares.shape != (12,):
        raise ValueError(f"chroma has the shape {shares.shape}, but must have twelve values.")
    centred = shares - shares.mean()
    norm = np.linalg.norm(centred)
    if norm < 1e-9:
        return Key(NO_KEY, 0.0)
    correlations = _profiles() @ (centred / norm)
    best = int(np.argmax(correlations))
    return Key(f"{PITCH_CLASSES[best % 12]} {'minor' if best >= 12 else 'major'}", max(float(correlations[best]), 0.0))


def relation(reference: str, estimated: str) -> Relation:
    """How the estimated key relates to the reference.

    >>> relation("C major", "A minor"), relation("C major", "G major"), relation("C major", "C minor")
    ('relative', 'fifth', 'parallel')
    """
    tonic, minor = parse_key(reference)
    if estimated == NO_KEY:
        return "other"
    other_tonic, other_minor = parse_key(estimated)
    distance = (other_tonic - tonic) % 12
    if minor == other_minor:
        return {0: "same", 5: "fifth", 7: "fifth"}.get(distance, "other")  # type: ignore[return-value]
    if distance == (3 if minor else 9):
        return "relative"
    return "parallel" if distance == 0 else "other"


def evaluate(reference: Sequence[str], estimated: Sequence[str]) -> dict[str, float]:
    """Count the relations of estimated to true keys.

    Args:
        reference: True keys, such as "C major".
        estimated: Estimated keys, one for each reference.

    Returns:
        Share of each relation, 0 to 1, the sum being 1.

    Raises:
        ValueError: see `validate`.
    """
    validate(reference, estimated)
    found = [relation(*pair) for pair in zip(reference, estimated, strict=True)]
    return {name: found.count(name) / len(found) for name in RELATIONS}


def _peaks(frames: FloatArray) -> FloatArray:
    """Magnitudes [T, F] at local maxima less than 50 dB under the loudest of the sound, 0 elsewhere."""
    left, right = np.roll(frames, 1, axis=1), np.roll(frames, -1, axis=1)
    audible = frames > max(float(frames.max()) * 10 ** (-50 / 20), 1e-7)
    return np.where((frames >= left) & (frames > right) & audible, frames, 0.0)


@lru_cache(maxsize=4)
def _folding(sample_rate: int) -> FloatArray:
    """Weight of each frequency bin in each pitch class, [F, 12]: a bell of a quarter tone around the tempered pitch.

    Lower notes weigh more (1 / sqrt(f)), because the partials of a note lie above it and the bass tells the key.
    """
    hertz = np.fft.rfftfreq(_N_FFT, 1 / sample_rate)
    audible = (hertz >= _LOW_HZ) & (hertz <= _HIGH_HZ)
    semitones = 12 * np.log2(np.maximum(hertz, 1.0) / _A4_HZ) + 9
    distance = (semitones[:, None] - np.arange(12) + 6) % 12 - 6
    weight = audible / np.sqrt(np.maximum(hertz, _LOW_HZ) / _LOW_HZ)
    return np.asarray(np.exp(-0.5 * np.square(distance / 0.25)) * weight[:, None])


@lru_cache(maxsize=1)
def _profiles() -> FloatArray:
    """The 24 profiles, centred and of unit length: major from C to B, then minor, [24, 12]."""
    rolled = np.array([np.roll(profile, tonic) for profile in (MAJOR_PROFILE, MINOR_PROFILE) for tonic in range(12)])
    centred = rolled - rolled.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True))
