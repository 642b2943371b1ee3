"""Embeddings on disk: a sound is embedded once for each embedder and version, whatever its file is called.

A sound is known by the hash of its file; of a sound in memory, by that of its samples and rate.

Legend: W windows, D size of the embedding, K classes.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from arctone.audio.waveform import Waveform
from arctone.evaluation.embedders.protocol import DerivedEmbedder, Embedded, Embedder
from arctone.files.atomic import write_atomically


class EmbeddingCache:
    """A folder of embeddings. Args: folder: made when it is first written to; None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def embedded(self, embedder: Embedder, key: str, sound: Callable[[], Waveform]) -> Embedded:
        """The stored embedding of the sound with this hash, or that of `sound()`, which is stored."""
        if self._folder is None:
            return embedder.embed(sound())
        path = self._folder / embedder.name / version_name(embedder) / key[:2] / f"{key}.npz"
        found = _read(path)
        if found is None:
            found = self._computed(embedder, key, sound)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, _packed(found), force=True)
        return found

    def _computed(self, embedder: Embedder, key: str, sound: Callable[[], Waveform]) -> Embedded:
        if isinstance(embedder, DerivedEmbedder):
            return embedder.combine([self.embedded(part, key, sound) for part in embedder.parts])
        return embedder.embed(sound())


def version_name(embedder: Embedder) -> str:
    """The version as a name of a folder."""
    return hashlib.sha256(embedder.version.encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content, 32 digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]


def sound_hash(waveform: Waveform) -> str:
    """SHA-256 of samples, shape and rate, 32 digits."""
    digest = hashlib.sha256(f"{waveform.sample_rate} {waveform.samples.shape}".encode())
    digest.update(np.ascontiguousarray(waveform.samples).tobytes())
    return digest.hexdigest()[:32]


def _packed(found: Embedded) -> bytes:
    buffer = io.BytesIO()
    if found.logits is None:
        np.savez(buffer, windows=found.windows)
    else:
        np.savez(buffer, windows=found.windows, logits=found.logits)
    return buffer.getvalue()


def _read(path: Path) -> Embedded | None:
    """None if there is no whole file."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Embedded(arrays["windows"], arrays.get("logits"))
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def user_folder() -> Path:
    """Where embeddings are kept unless another folder is named."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "arctone" / "embeddings"
