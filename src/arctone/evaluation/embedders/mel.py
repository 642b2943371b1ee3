"""Mel statistics as an embedder: what can be heard of a sound without any learned network or further package."""

from __future__ import annotations

from typing import Literal

from arctone.audio.waveform import Waveform
from arctone.evaluation.embedders.embeddings import mel_statistics
from arctone.evaluation.embedders.protocol import Embedded


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
