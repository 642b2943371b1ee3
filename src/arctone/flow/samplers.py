"""From noise to data: samplers as generators, on numpy and torch arrays alike.

All share one signature: `sampler(velocity_fn, x, timesteps, noise_fn)`, where velocity_fn(x, t) gives v at the time
t (a float, 1 = noise, 0 = data), x is the noisy start at timesteps[0], timesteps falls and ends at 0, and noise_fn(i)
gives standard normal noise like x for the re-noising after step i (counted from 1). The caller owns the progress bar.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from arctone.errors import UsageError
from arctone.flow.schedules import add_noise, denoised

Array = Any
VelocityFn = Callable[[Array, float], Array]
NoiseFn = Callable[[int], Array]


@dataclass(frozen=True, eq=False)
class Step:
    """What one step has reached: index from 1 to num_steps, x at the new time, and the estimate of x_0."""

    index: int
    num_steps: int
    x: Array
    x_0: Array


class Sampler(Protocol):
    """The shared signature."""

    def __call__(
        self, velocity_fn: VelocityFn, x: Array, timesteps: Sequence[float], noise_fn: NoiseFn, /
    ) -> Iterator[Step]: ...


def euler(velocity_fn: VelocityFn, x: Array, timesteps: Sequence[float], noise_fn: NoiseFn) -> Iterator[Step]:
    """Sample with Euler's method: one velocity per step, error falling as 1 / num_steps.

    Args:
        velocity_fn: Velocity of the network at a point and a time.
        x: Where to begin: noise, or latents at the noise level timesteps[0].
        timesteps: Times from the noisiest to 0, one more than steps.
        noise_fn: Not used.

    Yields:
        Each step with its point.
    """
    for index, t, t_next, num_steps in _intervals(timesteps):
        v = velocity_fn(x, t)
        x_0 = denoised(x, v, t)
        x = x + (t_next - t) * v
        yield Step(index, num_steps, x, x_0)


def heun(velocity_fn: VelocityFn, x: Array, timesteps: Sequence[float], noise_fn: NoiseFn) -> Iterator[Step]:
    """Heun's method: the mean of the velocities at both ends, error falling as 1 / num_steps**2.

    Two evaluations per step; the last step, which ends at t = 0, is an Euler step: a model is not trained there.
    Source: Karras et al. 2022, "Elucidating the design space of diffusion-based generative models", algorithm 1.
    """
    for index, t, t_next, num_steps in _intervals(timesteps):
        v = velocity_fn(x, t)
        x_0 = denoised(x, v, t)
        ahead = x + (t_next - t) * v
        slope = v if t_next == 0 else (v + velocity_fn(ahead, t_next)) / 2
        x = x + (t_next - t) * slope
        yield Step(index, num_steps, x, x_0)


def dpmpp_2m(velocity_fn: VelocityFn, x: Array, timesteps: Sequence[float], noise_fn: NoiseFn) -> Iterator[Step]:
    """DPM-Solver++(2M): one velocity per step, second order by remembering the last estimate of x_0.

    With alpha = 1 - t and sigma = t. The steps that touch t = 1 or t = 0, where the log-SNR is infinite, are of first
    order, and so exact for a constant estimate.
    Source: Lu et al. 2022, "DPM-Solver++", algorithm 2, for rectified flow.
    """
    last: tuple[float, Array] | None = None
    for index, t, t_next, num_steps in _intervals(timesteps):
        x_0 = denoised(x, velocity_fn(x, t), t)
        estimate = x_0 if last is None or t_next == 0 else _extrapolated(x_0, t, t_next, *last)
        keep = t_next / t
        x = keep * x + ((1 - t_next) - keep * (1 - t)) * estimate
        last = (t, x_0)
        yield Step(index, num_steps, x, x_0)


def ping_pong(velocity_fn: VelocityFn, x: Array, timesteps: Sequence[float], noise_fn: NoiseFn) -> Iterator[Step]:
    """Sample by ping-pong: estimate x_0, add fresh noise at the next level, and repeat.

    For models that estimate x_0 well from every level, such as adversarially post-trained ones. The last step returns
    the estimate. Source: Novack et al. 2025, arXiv 2505.08175; multistep sampling of Song et al. 2023, "Consistency
    models".

    Args:
        velocity_fn: Velocity of the network at a point and a time.
        x: Where to begin: noise, or latents at the noise level timesteps[0].
        timesteps: Times from the noisiest to 0, one more than steps.
        noise_fn: Fresh noise of a step.

    Yields:
        Each step with its point.
    """
    for index, t, t_next, num_steps in _intervals(timesteps):
        x_0 = denoised(x, velocity_fn(x, t), t)
        x = x_0 if t_next == 0 else add_noise(x_0, noise_fn(index), t_next)
        yield Step(index, num_steps, x, x_0)


def dpmpp_3m_sde(velocity_fn: VelocityFn, x: Array, timesteps: Sequence[float], noise_fn: NoiseFn) -> Iterator[Step]:
    """DPM-Solver++(3M) SDE: one velocity per step, third order by remembering two estimates of x_0, with fresh noise.

    Worked out in y = x / (1 - t) = x_0 + sigma noise, sigma = t / (1 - t), with h the step in -log sigma and full noise
    (eta = 1). The step to t = 0 returns the estimate. At t = 1, where sigma is infinite, the first step draws noise.
    Source: sampler of that name in k-diffusion (Crowson); Lu et al. 2022, "DPM-Solver++".
    """
    past: list[tuple[float, Array]] = []
    for index, t, t_next, num_steps in _intervals(timesteps):
        x_0 = denoised(x, velocity_fn(x, t), t)
        if t_next == 0:
            x = x_0
        elif t == 1:
            x = add_noise(x_0, noise_fn(index), t_next)
        else:
            h = _log_odds(t_next) - _log_odds(t)
            # Twice the step, because the noise that is removed is drawn again.
            decay = math.exp(-2 * h)
            y = decay * x / (1 - t) + (1 - decay) * x_0 + _curvature(x_0, h, past)
            sigma = t_next / (1 - t_next)
            y = y + sigma * math.sqrt(1 - decay) * noise_fn(index)
            x = (1 - t_next) * y
            past = [(h, x_0), *past[:1]]
        yield Step(index, num_steps, x, x_0)


def _curvature(x_0: Array, h: float, past: list[tuple[float, Array]]) -> Array:
    """What the change of the estimates adds to a step of length h; past: length and estimate, the latest first."""
    if not past:
        return 0.0
    (h_1, last), phi_2 = past[0], 1 + math.expm1(-2 * h) / (2 * h)
    slope = (x_0 - last) / (h_1 / h)
    if len(past) == 1:
        return phi_2 * slope
    h_2, before = past[1]
    bend = (slope - (last - before) / (h_2 / h)) / (h_1 / h + h_2 / h)
    phi_3 = phi_2 / (2 * h) - 0.5
    return phi_2 * (slope + h_1 / h * bend) - phi_3 * bend


SAMPLERS: dict[str, Sampler] = {
    "euler": euler,
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
    "ping_pong": ping_pong,
    "dpmpp_3m_sde": dpmpp_3m_sde,
}


def _extrapolated(x_0: Array, t: float, t_next: float, t_last: float, x_0_last: Array) -> Array:
    """The estimate of x_0 in the middle of the coming step, along the line through the last two, in log-SNR."""
    if t_last == 1:
        return x_0
    weight = (_log_odds(t_next) - _log_odds(t)) / (2 * (_log_odds(t) - _log_odds(t_last)))
    return (1 + weight) * x_0 - weight * x_0_last


def _log_odds(t: float) -> float:
    return math.log((1 - t) / t)


def _intervals(timesteps: Sequence[float]) -> Iterator[tuple[int, float, float, int]]:
    """(index from 1, t, t_next, num_steps) as Python floats, so that float32 arrays stay float32."""
    grid = [float(t) for t in timesteps]
    falling = all(t > t_next for t, t_next in itertools.pairwise(grid))
    if len(grid) < 2 or not falling or grid[0] > 1 or grid[-1] != 0:
        raise UsageError(f"timesteps must fall strictly from at most 1 to 0, got {grid}.", field="timesteps")
    for index, (t, t_next) in enumerate(itertools.pairwise(grid), start=1):
        yield index, t, t_next, len(grid) - 1
