"""Sounds of any length to latents, with a model whose encoder takes a limited length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arctone.audio.crossfade import fade_gains
from arctone.audio.waveform import Samples
from arctone.inference.backends.base import Floats
from arctone.inference.shared import SharedParts

# Latent frames on each side that an encoder is shown besides those that are kept: more than its convolutions reach.
CONTEXT_FRAMES = 16


def encoded(parts: SharedParts, samples: Samples, hop_length: int, max_frames: int) -> Floats:
    """Latents of a whole sound.

    Args: samples: [channels, N]. max_frames: the longest that is encoded at once; longer sounds go in pieces that
    overlap. Returns: [C, ceil(N / hop_length)].
    """
    num_frames = -(-samples.shape[1] // hop_length)
    if num_frames <= max_frames:
        return parts.encode(samples)
    context = min(CONTEXT_FRAMES, max_frames // 4)
    pieces = []
    for first in range(0, num_frames, max_frames - 2 * context):
        begin = max(0, first - context)
        end = min(num_frames, first + max_frames - context)
        latents = parts.encode(samples[:, begin * hop_length : end * hop_length])
        kept = min(num_frames, first + max_frames - 2 * context) - first
        pieces.append(latents[:, first - begin : first - begin + kept])
    return np.concatenate(pieces, axis=1)


def mirrored(samples: Samples, spans: Sequence[tuple[int, int]]) -> Samples:
    """A sound whose gaps are filled with the mirror images of what lies beside them.

    Encoders look beyond a frame: whatever stands in a gap colours the latents beside it. Silence there would tell the
    model of an end, and what is to be replaced would tell it of itself.

    Args: samples: [channels, N]. spans: the gaps, [first, end) in samples, in order. Returns: [channels, N].
    """
    out = samples.copy()
    ends, starts = [0, *(end for _, end in spans)], [*(first for first, _ in spans[1:]), samples.shape[1]]
    for (first, end), last_end, next_first in zip(spans, ends, starts, strict=False):
        length = end - first
        left = _mirror(samples[:, max(last_end, first - length) : first][:, ::-1], length)
        right = _mirror(samples[:, end : min(next_first, end + length)][:, ::-1], length, from_end=True)
        if left is not None and right is not None:
            down, up = fade_gains(length)
            out[:, first:end] = left * down + right * up
        else:
            out[:, first:end] = left if left is not None else 0.0 if right is None else right
    return out


def _mirror(image: Samples, length: int, *, from_end: bool = False) -> Samples | None:
    """An image made longer by going to and fro; None if there is nothing to show."""
    if image.shape[1] == 0:
        return None
    missing = (length - image.shape[1], 0) if from_end else (0, length - image.shape[1])
    return np.pad(image, ((0, 0), missing), mode="symmetric")
