"""Graphs of fixed length on sounds of any length: zeros fill up shorter ones, longer ones go in overlapping tiles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from arctone.errors import ModelError, UsageError
from arctone.inference.backends.base import Floats

WINDOWS = (64, 128, 192, 256)
"""Lengths in latent frames that sounds are filled up to where a length is fixed; 64 frames are 2.97 s."""


def window_lengths(signatures: tuple[str, ...]) -> list[int]:
    """The static lengths of a graph's signatures "T64", "T128", ..., in order. Raises: ModelError if there are none."""
    windows = sorted(int(name[1:]) for name in signatures if name[:1] == "T" and name[1:].isdigit())
    if not windows:
        raise ModelError(f"the graph has the signatures {', '.join(signatures)}, but none for a number of frames.")
    return windows


def fitting_window(signatures: tuple[str, ...], num_frames: int) -> int:
    """The shortest static length that holds so many latent frames.

    Raises: ModelError if a graph has no lengths; UsageError if none is long enough.
    """
    windows = window_lengths(signatures)
    for window in windows:
        if window >= num_frames:
            return window
    raise UsageError(f"the sound is {num_frames} latent frames long, but this model's graphs hold {windows[-1]}.")


def filled(values: Floats, length: int) -> Floats:
    """Zeros after the last column of [rows, columns] up to a length."""
    if values.shape[1] == length:
        return np.ascontiguousarray(values, dtype=np.float32)
    out = np.zeros((values.shape[0], length), np.float32)
    out[:, : values.shape[1]] = values
    return out


def tiled(part: Callable[[Floats], Floats], values: Floats, window: int, reach: int, ratio: tuple[int, int]) -> Floats:
    """part(values), where part takes at most `window` rows; tiles overlap by what the network sees beyond a row.

    The first tile begins and the last one ends where the values do, so that the network meets their true ends; with a
    reach that is large enough the result is that of the whole.

    Args: values: [rows, columns], time first. reach: in rows. ratio: (m, n) if n rows of the values become m of the
    result; window and reach are multiples of n. Returns: [rows * m / n, columns'].
    Raises: ModelError if a tile is so short that nothing of it could be kept.
    """
    length, (up, down) = len(values), ratio
    if length <= window:
        return part(values)[: length * up // down]
    if window <= 2 * reach:
        raise ModelError(f"the graph holds {window} frames, but each needs {reach} more on either side.")
    out: Floats | None = None
    kept = 0
    while kept < length:
        first = min(max(kept - reach, 0), length - window)
        stop = first + window
        end = length if stop == length else stop - reach
        made = part(values[first:stop])
        if out is None:
            out = np.empty((length * up // down, made.shape[1]), np.float32)
        out[kept * up // down : end * up // down] = made[(kept - first) * up // down : (end - first) * up // down]
        kept = end
    assert out is not None
    return out
