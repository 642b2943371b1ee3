"""OpenL3 as stable-audio-metrics uses it: the space of published FDopenl3 values.

Settings: content type `env`, mel256, 512 numbers a channel, hop 0.5 s, sounds at -1 dB peak and 44.1 kHz; left and
right one after the other in 1,024 numbers, mono twice. Needs the package openl3, which brings TensorFlow.

Source: A. L. Cramer et al., "Look, listen, and learn more", ICASSP 2019.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from arctone.audio.waveform import Waveform
from arctone.evaluation.embedders.preparing import existing, imported, peak_normalised, resampled, weights_hash
from arctone.evaluation.embedders.protocol import Embedded

WEIGHTS = "the file openl3_audio_mel256_env.h5 of the package openl3"
HOP_SECONDS = 0.5


class OpenL3Embedder:
    """1,024 numbers for each second, hop 0.5 s.

    Args: weights: the .h5 file; None = where the package itself keeps it. Raises: ModelError without either.
    """

    name = "openl3"
    sample_rate = 44_100
    credit = "OpenL3 (A. L. Cramer et al., ICASSP 2019), CC BY 4.0"
    frechet_rows: Literal["clips", "windows"] = "windows"

    def __init__(self, weights: Path | None = None) -> None:
        self._library: Any = imported("openl3", "openl3")
        folder = Path(self._library.__file__ or ".").parent
        path = existing(weights or folder / "openl3_audio_mel256_env.h5", self.name, WEIGHTS)
        self._model = self._library.models.load_audio_embedding_model_from_path(str(path), "mel256", 512)
        self.version = f"{weights_hash(path)}.mel256.env.512x2.hop{HOP_SECONDS}"

    def embed(self, waveform: Waveform) -> Embedded:
        """Windows of 1 s."""
        prepared = resampled(peak_normalised(waveform.samples), waveform.sample_rate, self.sample_rate)
        left, right = prepared[0], prepared[min(1, len(prepared) - 1)]
        found, _ = self._library.get_audio_embedding(
            [left, right], [self.sample_rate] * 2, model=self._model, hop_size=HOP_SECONDS, verbose=False
        )
        return Embedded(np.asarray(np.concatenate(found, axis=1), dtype=np.float32))
