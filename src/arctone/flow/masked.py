"""Sampling in which some frames are known: the rest is made to fit them.

The model's estimate of x_0 is replaced by the known latents wherever they are known. Every sampler then keeps those
frames on the straight path between the known latents and its own noise: RePaint's re-noising, whatever the sampler.
Source: Lugmayr et al. 2022, "RePaint: inpainting using denoising diffusion probabilistic models", section 4.1.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from arctone.flow.path import add_noise

Array = Any
VelocityFn = Callable[[Array, float], Array]


def noisy_start(base: Array, noise: Array, level: float) -> Array:
    """Where sampling begins: latents brought to a noise level, [C, T]; at level 1 the noise itself."""
    return noise if level == 1 else add_noise(base, noise, level)


def holding(velocity_fn: VelocityFn, base: Array, known: Array) -> VelocityFn:
    """The velocity under which the known frames reach the known latents exactly.

    Args: velocity_fn: the model's. base: [C, T], latents of the known frames. known: [T], True = known.
    """
    if not known.any():
        return velocity_fn

    def held(x: Array, t: float) -> Array:
        return np.where(known, (x - base) / t, velocity_fn(x, t)).astype(x.dtype, copy=False)

    return held
