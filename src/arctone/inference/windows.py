"""Which stretches of a sound the model is shown, one after another, until all that is unknown is made."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


class Window(NamedTuple):
    """Latent frames [start, stop) are shown to the model; of those it makes, the ones before kept_stop are kept."""

    start: int
    stop: int
    kept_stop: int


def windows(unknown: Mask, max_frames: int, bar_frames: float | None = None) -> list[Window]:
    """Windows in the order of time that cover every unknown frame.

    A sound that fits is one window. Of a longer one, each window begins a quarter of its length before the first frame
    that is still unknown, so that it hears what it continues, and what it makes in its last eighth is only a draft:
    models let sounds die away at the end of what they make.

    Args: unknown: [T], True = to be made. max_frames: the longest the model makes. bar_frames: length of a bar in
    frames where the tempo is known; windows then begin as near to a bar line as frames allow, because the model counts
    the beat from the window's beginning.
    """
    num_frames = len(unknown)
    open_frames = np.flatnonzero(unknown)
    if not open_frames.size:
        return []
    if num_frames <= max_frames:
        return [Window(0, num_frames, num_frames)]
    found: list[Window] = []
    while open_frames.size:
        window = _window_at(int(open_frames[0]), num_frames, max_frames, bar_frames)
        found.append(window)
        open_frames = open_frames[open_frames >= window.kept_stop]
    return found


def _window_at(first: int, num_frames: int, max_frames: int, bar_frames: float | None) -> Window:
    context, margin = max_frames // 4, max_frames // 8
    start = _on_bar_line(max(0, first - context), context, bar_frames)
    start = min(start, num_frames - max_frames) if bar_frames is None else start
    stop = min(start + max_frames, num_frames)
    return Window(start, stop, stop if stop == num_frames else stop - margin)


def _on_bar_line(start: int, most_earlier: int, bar_frames: float | None) -> int:
    """The frame at or before `start`, but not much before, that lies nearest to a bar line."""
    if not bar_frames:
        return start
    candidates = range(start, max(0, start - most_earlier) - 1, -1)
    return min(candidates, key=lambda frame: round(abs(frame - round(frame / bar_frames) * bar_frames), 6))
