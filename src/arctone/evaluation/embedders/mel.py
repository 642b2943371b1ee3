"""Mel statistics as an embedder: what can be heard of a sound without any learned network or further package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from arctone.audio.waveform import Waveform
from arctone.evaluation.embedders import aisfx
from arctone.evaluation.embedders.protocol import Embedded
from arctone.evaluation.metrics.spectra import decibels, mel_power

Embedding = Callable[[Waveform], npt.NDArray[np.float32]]
_NUM_BANDS, _RANGE_DB = 64, 80.0


def mel_statistics(waveform: Waveform) -> npt.NDArray[np.float32]:
    """Mean, spread and mean change of 64 mel bands in units of 10 dB, the level of the sound taken out.

    Returns: [192]; zeros for silence.
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
