"""What an embedder is; open one by its name; keep embeddings in a cache.

Legend: W windows, D size of the embedding, K classes, N captions.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from arctone.audio.waveform import Waveform
from arctone.errors import UsageError
from arctone.files.atomic import write_atomically

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Embedded:
    """One sound.

    Args:
        windows: [W, D], W at least 1.
        logits: Of classes, [W', K], or None if the embedder has no classes.
    """

    windows: FloatArray
    logits: FloatArray | None = None

    @cached_property
    def pooled(self) -> FloatArray:
        """Mean over the windows, [D]."""
        return np.asarray(self.windows.mean(axis=0), dtype=np.float32)


class Embedder(Protocol):
    """From sounds to embeddings.

    Args:
        name: What reports call it.
        version: Another whenever the numbers would be others (package, weights, settings).
        sample_rate: At which it listens, Hz.
        credit: Whose work and licence it is.
        frechet_rows: What one row of the Frechet distance is by custom of this embedder.
    """

    name: str
    version: str
    sample_rate: int
    credit: str
    frechet_rows: Literal["clips", "windows"]

    def embed(self, waveform: Waveform) -> Embedded:
        """Embed a sound of any rate, length and one or two channels.

        Args:
            waveform: Sound of any rate and length.

        Returns:
            The embedding.

        Raises:
            ModelError: without the weights.
        """
        ...


@runtime_checkable
class TextEmbedder(Protocol):
    """An embedder that also embeds text, in the same space."""

    def embed_text(self, captions: Sequence[str]) -> FloatArray:
        """Embed texts.

        Args:
            captions: Texts, N of them.

        Returns:
            [N, D].

        Raises:
            ModelError: without the weights.
        """
        ...


@runtime_checkable
class DerivedEmbedder(Protocol):
    """An embedder computed from the embeddings of others, so that a cache computes these once for all.

    parts: the others, in the order in which `combine` takes their embeddings.
    """

    @property
    def parts(self) -> Sequence[Embedder]: ...

    def combine(self, embedded: Sequence[Embedded]) -> Embedded:
        """Return what `embed` gives for the sound whose embeddings by the parts these are."""
        ...


class EmbeddingCache:
    """A folder of embeddings.

    Args:
        folder: Made when it is first written to; None keeps nothing.
    """

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


_FOLDER = "arctone.evaluation.embedders"
# Name: module, class, whether it reads weights that the user names.
_PLACES = {
    "aisfx": ("packaged", "AisfxEmbedder", False),
    "musicnn": ("packaged", "MusicnnEmbedder", False),
    "corpus-clap": ("packaged", "CorpusClapEmbedder", False),
    "mel": ("preparing", "MelEmbedder", False),
    "openl3": ("packaged", "OpenL3Embedder", True),
    "passt": ("packaged", "PasstEmbedder", True),
    "clap": ("clap", "ClapEmbedder", True),
}
NAMES = tuple(_PLACES)
# These need no file that is not installed with a package.
OFFLINE = ("aisfx", "musicnn", "corpus-clap")


def open_embedder(name: str, weights: Path | None = None) -> Embedder:
    """Open an embedder by its name.

    Args:
        name: One of `NAMES`.
        weights: File or folder, for those that read one.

    Returns:
        The embedder, ready to use.

    Raises:
        UsageError: for another name or weights that are not read.
        ModelError: if a package or file is missing.
    """
    if name not in _PLACES:
        raise UsageError(f"embedder must be one of {', '.join(NAMES)}, got '{name}'.", field="embedder")
    module, kind, takes_weights = _PLACES[name]
    if weights is not None and not takes_weights:
        raise UsageError(f"the embedder {name} brings its own weights, but --weights names {weights} for it.")
    build: Callable[..., Any] = getattr(import_module(f"{_FOLDER}.{module}"), kind)
    made: Embedder = build(weights) if takes_weights else build()
    return made
