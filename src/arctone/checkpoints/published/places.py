"""What a place in a published file is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Place(NamedTuple):
    """A published tensor: its name without weight norm's endings, its shape, and whether it has weight norm."""

    name: str
    shape: tuple[int, ...]
    normed: bool = False


def renamed(name: str, names: Mapping[str, str]) -> str:
    """The name with its beginning (whole words) replaced."""
    for ours, theirs in names.items():
        if name == ours or name.startswith(f"{ours}."):
            return theirs + name[len(ours) :]
    raise KeyError(name)
