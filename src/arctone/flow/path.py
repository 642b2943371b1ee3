"""The straight path between data and noise, in all four directions.

x_t = (1 - t) x_0 + t noise; v = noise - x_0. Works on numpy and torch arrays alike: t is a number, or an array that
broadcasts against x (see `expand`).
Source: Liu et al. 2022, "Flow straight and fast" (rectified flow), turned so that t = 0 is data.
"""

from typing import Any

Array = Any


def add_noise(x_0: Array, noise: Array, t: Any) -> Array:
    """The point x_t on the way from data (t = 0) to noise (t = 1); same shape as x_0."""
    return (1 - t) * x_0 + t * noise


def velocity(x_0: Array, noise: Array) -> Array:
    """The direction v in which x_t moves as t grows: from data to noise."""
    return noise - x_0


def denoised(x_t: Array, v: Array, t: Any) -> Array:
    """Estimate of x_0 from a point at time t and its velocity."""
    return x_t - t * v


def noise_from(x_t: Array, v: Array, t: Any) -> Array:
    """Estimate of the noise from a point at time t and its velocity."""
    return x_t + (1 - t) * v


def expand(t: Array, x: Array) -> Array:
    """Times of a batch, [B], shaped [B, 1, ..., 1] so that they broadcast against x, [B, ...]."""
    return t.reshape(t.shape[0], *([1] * (x.ndim - 1)))
