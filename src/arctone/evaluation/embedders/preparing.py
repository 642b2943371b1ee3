"""Prepare audio for an embedder: rate, channels, length, mel spectrograms.

Source: Stability-AI/stable-audio-metrics (librosa.load, pyloudnorm.normalize.peak, soxr.resample).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import soxr

from arctone.audio.waveform import Samples, Waveform
from arctone.errors import ModelError
from arctone.evaluation.embedders import aisfx
from arctone.evaluation.embedders.protocol import Embedded
from arctone.evaluation.metrics.audio_distance import decibels, mel_power

Embedding = Callable[[Waveform], npt.NDArray[np.float32]]
_NUM_BANDS, _RANGE_DB = 64, 80.0


def mel_statistics(waveform: Waveform) -> npt.NDArray[np.float32]:
    """Mean, spread and mean change of 64 mel bands in units of 10 dB, the level of the sound taken out.

    Args:
        waveform: Sound of any rate and length.

    Returns:
        [192]; zeros for silence.
    """
    mono = waveform.samples.mean(axis=0, keepdims=True)
    power = mel_power(mono, waveform.sample_rate, 2048, 512, _NUM_BANDS)[0]
    loudest = float(power.max(initial=0.0))
    if loudest < 1e-12:
        return np.zeros(3 * _NUM_BANDS, np.float32)
    level = decibels(power / loudest, 10 ** (-_RANGE_DB / 10)) / 10
    change = np.abs(np.diff(level, axis=0, prepend=level[:1]))
    return np.concatenate([level.mean(axis=0), level.std(axis=0), change.mean(axis=0)]).astype(np.float32)


EMBEDDINGS: dict[str, Embedding] = {"aisfx": aisfx.embed, "mel": mel_statistics}


class MelEmbedder:
    """Mean, spread and change of 64 mel bands, level taken out. One window a sound; numpy only."""

    name = "mel"
    version = "64 bands, 1"
    sample_rate = 44_100
    credit = "arctone: statistics of mel bands, not learned"
    frechet_rows: Literal["clips", "windows"] = "clips"

    def embed(self, waveform: Waveform) -> Embedded:
        """See Embedder."""
        return Embedded(mel_statistics(waveform)[None])


PEAK = 10 ** (-1.0 / 20)


def peak_normalised(samples: Samples) -> Samples:
    """The samples with their largest at -1 dB; silence stays silence."""
    peak = np.abs(samples).max(initial=0.0)
    return np.asarray(samples * np.float32(PEAK / peak), np.float32) if peak > 0 else samples


def resampled(samples: Samples, old_rate: int, new_rate: int) -> Samples:
    """[C, N] at another rate by soxr's HQ setting, ceil(N * new / old) samples as librosa has it."""
    if old_rate == new_rate:
        return samples
    length = math.ceil(samples.shape[1] * new_rate / old_rate)
    made = np.asarray(soxr.resample(samples.T, old_rate, new_rate, quality="HQ"), np.float32).T[:, :length]
    return np.pad(made, ((0, 0), (0, length - made.shape[1])))


def mono_at(waveform: Waveform, sample_rate: int) -> Samples:
    """Mean of the channels, then the rate, then the peak: [N]."""
    mono = waveform.samples.mean(axis=0, keepdims=True)
    prepared: Samples = peak_normalised(resampled(mono, waveform.sample_rate, sample_rate))[0]
    return prepared


def imported(module: str, package: str) -> Any:
    """Import an optional module.

    Args:
        module: Module to import.
        package: Package that holds it, for the sentence.

    Returns:
        The module.

    Raises:
        ModelError: that names the package to install.
    """
    try:
        return import_module(module)
    except ImportError as problem:
        raise ModelError(
            f"the package {package} is needed, but {module} cannot be imported ({problem}): pip install {package}."
        ) from None


def existing(path: Path | None, name: str, what: str) -> Path:
    """Find the file or folder of an embedder's weights.

    Args:
        path: Named by the user; None = no file was named.
        name: Of the embedder.
        what: Description of the file, for the sentence.

    Returns:
        Path that exists.

    Raises:
        ModelError: that says which file is needed.
    """
    if path is None:
        raise ModelError(
            f"the embedder {name} reads its weights from this machine: name {what} with --weights {name}=PATH."
        )
    if not path.exists():
        raise ModelError(f"{path} does not exist, but the embedder {name} needs {what}.")
    return path


@lru_cache(maxsize=8)
def weights_hash(path: Path) -> str:
    """First 12 digits of the SHA-256 of a file, or of all files of a folder in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]


@contextmanager
def fixed_draws(seed: int = 0) -> Iterator[None]:
    """Libraries that crop at random through numpy's global generator crop alike each time; its state is put back."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)
