"""What every embedder offers.

Legend: W windows, D size of the embedding, K classes, N captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from arctone.audio.waveform import Waveform

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Embedded:
    """One sound. windows: [W, D], W at least 1. logits: of classes, [W', K], or None if the embedder has no classes."""

    windows: FloatArray
    logits: FloatArray | None = None

    @cached_property
    def pooled(self) -> FloatArray:
        """Mean over the windows, [D]."""
        return np.asarray(self.windows.mean(axis=0), dtype=np.float32)


class Embedder(Protocol):
    """From sounds to embeddings.

    name: what reports call it. version: another whenever the numbers would be others (package, weights, settings).
    sample_rate: at which it listens, Hz. credit: whose work and licence it is. frechet_rows: what one row of the
    Frechet distance is by custom of this embedder.
    """

    name: str
    version: str
    sample_rate: int
    credit: str
    frechet_rows: Literal["clips", "windows"]

    def embed(self, waveform: Waveform) -> Embedded:
        """Embedding of a sound of any rate, length and one or two channels. Raises: ModelError without the weights."""
        ...


@runtime_checkable
class TextEmbedder(Protocol):
    """An embedder that also hears words, in the same space."""

    def embed_text(self, captions: Sequence[str]) -> FloatArray:
        """[N, D]. Raises: ModelError without the weights."""
        ...


@runtime_checkable
class DerivedEmbedder(Protocol):
    """An embedder made of what others hear, so that a cache computes these once for all.

    parts: the others, in the order in which `combine` takes what they heard.
    """

    @property
    def parts(self) -> Sequence[Embedder]: ...

    def combine(self, heard: Sequence[Embedded]) -> Embedded:
        """What `embed` gives for the sound that the parts heard."""
        ...
