"""The engine as the benchmarks use it: text to sound, and sound through the autoencoder and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from arctone.audio.waveform import Waveform


@dataclass(frozen=True)
class RoundTrip:
    """A sound through the autoencoder: as long as the original, with the seconds that each half took."""

    waveform: Waveform
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class Subject:
    """What is measured. backend: of the engine. generate: prompt and request fields to a result. defaults: of the
    model.
    """

    backend: Any
    model_hash: str
    generate: Callable[..., Any]
    defaults: Any


def load(model: str, threads: int | None = None) -> Subject:
    """A model to measure, by name or folder."""
    import arctone

    loaded = arctone.load(model, threads=threads)
    return Subject(loaded.engine.backend, loaded.engine.model_hash, loaded.generate, loaded.engine.defaults)


def round_trip(backend: Any, waveform: Waveform, seed: int = 0) -> RoundTrip:
    """Encode and decode a waveform of 44,100 Hz stereo; the rest of the last latent frame is cut off again."""
    start = time.perf_counter()
    latents = backend.encode(waveform.samples)
    middle = time.perf_counter()
    samples = backend.decode(latents, seed=seed)[:, : waveform.num_samples]
    end = time.perf_counter()
    return RoundTrip(waveform.with_samples(samples), middle - start, end - middle)
