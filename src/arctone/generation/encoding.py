"""Sounds of any length to latents, with a model whose encoder takes a limited length."""

from __future__ import annotations

import numpy as np

from arctone.audio.waveform import Samples
from arctone.engines.parts import Floats
from arctone.generation.shared import SharedParts

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


def encoded_as_if_going_on(parts: SharedParts, samples: Samples, hop_length: int, max_frames: int) -> Floats:
    """Latents of a sound that shall be continued: its end is mirrored, lest the last ones speak of silence to come."""
    wanted = -(-samples.shape[1] // hop_length)
    more = CONTEXT_FRAMES * hop_length - samples.shape[1] % hop_length
    mirrored = np.pad(samples, ((0, 0), (0, more)), mode="reflect")
    return encoded(parts, mirrored, hop_length, max_frames)[:, :wanted]
