"""Inputs of one step of ARC for a comparison with the public trainer: latents, noise, levels, captions."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np

from arctone.flow.noise import item_noise

CAPTIONS = ("rain", "a low tone", "a high tone", "noise")
SECONDS = (0.5, 0.7, 1.5, 2.9)
# The public trainer rolls captions in place, so the last item gets the second caption instead of the first.
WRONG_ORDER = (1, 2, 3, 1)
# Blocks of the discriminator: the shrunken model has two.
DEPTH_RUN = 1
HEAD_SIZES = {"channels": 8, "c_mults": [1, 2, 4], "strides": [1, 2, 2], "num_blocks": [2, 2, 2]}
# The unpadded head needs 64 frames.
FRAMES, CHANNELS, SEED = 64, 8, 11


class Inputs(NamedTuple):
    """Latents x_0 and four noises, [B, C, T]; levels t and s, [B]."""

    x_0: np.ndarray
    noise: np.ndarray
    renoise: np.ndarray
    disturbance: np.ndarray
    t: np.ndarray
    s: np.ndarray


def draw_inputs() -> Inputs:
    """Returns the step's inputs, the same at every call."""
    count = len(CAPTIONS)
    tensors = [
        np.stack([item_noise(SEED + item, place, (CHANNELS, FRAMES)) for item in range(count)]) for place in range(4)
    ]
    t = np.array([0.99, 0.88, 0.5, 0.2], np.float32)
    s = np.array([0.3, 0.5, 0.7, 0.1], np.float32)
    return Inputs(*tensors, t, s)


def summary(name: str, gradient: np.ndarray) -> np.ndarray:
    """Returns the norm of a gradient and its products with three random directions of unit length, [4].

    Args:
        name: Of the tensor, which the directions are drawn by.
        gradient: Any shape.
    """
    flat = gradient.reshape(-1).astype(np.float64)
    generator = np.random.Generator(np.random.Philox(key=zlib.crc32(name.encode())))
    directions = generator.standard_normal((3, flat.size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.array([np.linalg.norm(flat), *(directions @ flat)], np.float32)
