"""Embedders by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from arctone.errors import UsageError
from arctone.evaluation.embedders.protocol import Embedder

_FOLDER = "arctone.evaluation.embedders"
# Name: module, class, whether it reads weights that the user names.
_PLACES = {
    "aisfx": ("packaged", "AisfxEmbedder", False),
    "musicnn": ("packaged", "MusicnnEmbedder", False),
    "ears": ("packaged", "EarsEmbedder", False),
    "mel": ("mel", "MelEmbedder", False),
    "openl3": ("openl3", "OpenL3Embedder", True),
    "passt": ("passt", "PasstEmbedder", True),
    "clap": ("clap", "ClapEmbedder", True),
}
NAMES = tuple(_PLACES)
# These need no file that is not installed with a package.
OFFLINE = ("aisfx", "musicnn", "ears")


def open_embedder(name: str, weights: Path | None = None) -> Embedder:
    """An embedder, ready to use.

    Args: name: one of `NAMES`. weights: file or folder, for those that read one.
    Raises: UsageError for another name or weights that are not read; ModelError if a package or file is missing.
    """
    if name not in _PLACES:
        raise UsageError(f"embedder must be one of {', '.join(NAMES)}, got '{name}'.", field="embedder")
    module, kind, takes_weights = _PLACES[name]
    if weights is not None and not takes_weights:
        raise UsageError(f"the embedder {name} brings its own weights, but --weights names {weights} for it.")
    build: Callable[..., Any] = getattr(import_module(f"{_FOLDER}.{module}"), kind)
    made: Embedder = build(weights) if takes_weights else build()
    return made
