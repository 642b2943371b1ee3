"""Sampling in which some frames are known: the rest is made to fit them.

The model's estimate of x_0 is replaced by the known latents wherever they are known. Every sampler then keeps those
frames on the straight path between the known latents and its own noise: RePaint's re-noising, whatever the sampler.
C latent channels, T latent frames.
Source: Lugmayr et al. 2022, "RePaint: inpainting using denoising diffusion probabilistic models".
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from arctone.flow.samplers import Sampler, Step
from arctone.flow.schedules import add_noise

Array = Any
VelocityFn = Callable[[Array, float], Array]
NoiseFn = Callable[[int], Array]

# Frames on each side whose mean a gap is bridged with: one second at 21.5 frames per second.
BRIDGE_FRAMES = 21


def noisy_start(base: Array, noise: Array, level: float) -> Array:
    """Bring latents to the noise level at which sampling begins.

    Args:
        base: Latents [C, T].
        noise: Standard normal noise [C, T].
        level: 0 to 1; at 1 the result is the noise itself.

    Returns:
        [C, T].
    """
    return noise if level == 1 else add_noise(base, noise, level)


def holding(velocity_fn: VelocityFn, base: Array, known: Array) -> VelocityFn:
    """Build a velocity under which the known frames reach the known latents exactly.

    Args:
        velocity_fn: the velocity of the model.
        base: latents of the known frames, [C, T].
        known: [T], True = known.

    Returns:
        A function like velocity_fn.
    """
    if not known.any():
        return velocity_fn

    def held(x: Array, t: float) -> Array:
        return np.where(known, (x - base) / t, velocity_fn(x, t)).astype(x.dtype, copy=False)

    return held


def resampled(
    sampler: Sampler, velocity_fn: VelocityFn, x: Array, timesteps: Sequence[float], noise_fn: NoiseFn, rounds: int
) -> Iterator[Step]:
    """Sample with each step repeated and its noise put back in between, so that unknown frames adapt to known ones.

    Multistep samplers lose their history and are of first order here.

    Args:
        sampler: one of flow.samplers.
        velocity_fn: the velocity of the model, with known frames held.
        x: initial noise, [C, T].
        timesteps: falling times that end at 0.
        noise_fn: noise by step.
        rounds: times each step is taken; the last, which ends at t = 0, is taken once.

    Yields:
        One Step for each interval.

    Source: RePaint, section 4.2, with jumps of one step.
    """
    times = [float(t) for t in timesteps]
    num_steps = len(times) - 1
    for index in range(num_steps):
        t, t_next = times[index], times[index + 1]
        for turn in range(rounds if t_next > 0 else 1):
            number = index + num_steps * turn + 1  # every use of noise has one of its own
            x = x if turn == 0 else noised_again(x, t_next, t, noise_fn(num_steps * rounds + number))
            step = _first_step(sampler, velocity_fn, x, times[index:], noise_fn, number)
            x = step.x
        yield Step(index + 1, num_steps, x, step.x_0)


def _first_step(
    sampler: Sampler, velocity_fn: VelocityFn, x: Array, times: Sequence[float], noise_fn: NoiseFn, number: int
) -> Step:
    """The first of a sampler's steps alone; it gets the noise of that number."""
    return next(iter(sampler(velocity_fn, x, times, lambda _: noise_fn(number))))


def noised_again(x: Array, t: float, t_higher: float, noise: Array) -> Array:
    """Bring a point back to a higher time, distributed as if it had been noised to there at once.

    The part of the noise that x already has is kept: x at t_higher is (1 - t_higher) x_0 + t_higher noise.

    Args:
        x: The point at time t, [C, T].
        t: Its time, 0 to 1.
        t_higher: The time to return to, t <= t_higher <= 1.
        noise: Fresh standard normal noise, [C, T].

    Returns:
        The point at `t_higher`, [C, T].
    """
    keep = (1 - t_higher) / (1 - t)
    return keep * x + float(np.sqrt(max(t_higher**2 - (keep * t) ** 2, 0.0))) * noise


def bridged(latents: Array, known: Array) -> Array:
    """Bridge the gaps with lines from the mean of the known latents before them to the mean of those after them.

    A gap with one known neighbor takes its mean; frames without any stay as they are.

    Args:
        latents: [C, T].
        known: [T], True = known.

    Returns:
        The latents with bridged gaps, [C, T].
    """
    out = latents.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[True], known, [True]]).astype(int)))
    for first, end in edges.reshape(-1, 2):
        sides = [_mean_of(latents, known, max(0, first - BRIDGE_FRAMES), first)]
        sides.append(_mean_of(latents, known, end, end + BRIDGE_FRAMES))
        means = [mean for mean in sides if mean is not None]
        if means:
            way = (np.arange(end - first) + 0.5) / (end - first)
            out[:, first:end] = means[0][:, None] * (1 - way) + means[-1][:, None] * way
    return out


def _mean_of(latents: Array, known: Array, first: int, end: int) -> Array | None:
    part = latents[:, first:end][:, known[first:end]]
    return part.mean(axis=1) if part.shape[1] else None
