"""How sounds are prepared for the field's usual embedders, step by step as stable-audio-metrics does it.

Source: Stability-AI/stable-audio-metrics (librosa.load, pyloudnorm.normalize.peak, soxr.resample).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from arctone.audio.waveform import Samples, Waveform
from arctone.errors import ModelError

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
    """An optional module. Raises: ModelError that names the package to install."""
    try:
        return import_module(module)
    except ImportError as problem:
        raise ModelError(
            f"the package {package} is needed, but {module} cannot be imported ({problem}): pip install {package}."
        ) from None


def existing(path: Path | None, name: str, what: str) -> Path:
    """The file or folder of an embedder's weights. Raises: ModelError that says which file is needed."""
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
