"""The rectified flow path, and the times at which samplers step along it."""

import math
from collections.abc import Sequence
from typing import Any

from arctone.errors import UsageError

Array = Any


def add_noise(x_0: Array, noise: Array, t: Any) -> Array:
    """Return the point x_t = (1 - t) x_0 + t noise on the path from data (t = 0) to noise (t = 1).

    Args:
        x_0: Data, any shape.
        noise: Standard normal noise, same shape.
        t: Time, 0 to 1; a number, or an array that broadcasts against x_0.

    Returns:
        x_t, same shape.
    """
    return (1 - t) * x_0 + t * noise


def velocity(x_0: Array, noise: Array) -> Array:
    """Return the direction v = noise - x_0 in which x_t moves as t grows.

    Args:
        x_0: Data, any shape.
        noise: Standard normal noise, same shape.

    Returns:
        v, same shape.
    """
    return noise - x_0


def denoised(x_t: Array, v: Array, t: Any) -> Array:
    """Estimate x_0 = x_t - t v from a point and its velocity.

    Args:
        x_t: The point, any shape.
        v: The velocity there, same shape.
        t: Its time, 0 to 1; a number, or an array that broadcasts against x_t.

    Returns:
        The estimate of x_0, same shape.
    """
    return x_t - t * v


def noise_from(x_t: Array, v: Array, t: Any) -> Array:
    """Estimate the noise x_t + (1 - t) v from a point and its velocity.

    Args:
        x_t: The point, any shape.
        v: The velocity there, same shape.
        t: Its time, 0 to 1; a number, or an array that broadcasts against x_t.

    Returns:
        The estimate of the noise, same shape.
    """
    return x_t + (1 - t) * v


def expand(t: Array, x: Array) -> Array:
    """Reshape the times of a batch so that they broadcast.

    Args:
        t: Times, [B].
        x: What they broadcast against, [B, ...].

    Returns:
        Times, [B, 1, ..., 1].
    """
    return t.reshape(t.shape[0], *([1] * (x.ndim - 1)))


LOG_SNR_START = -6.0
LOG_SNR_END = 2.0
SIGMA_MAX, SIGMA_MIN = 500.0, 0.3

# A start at a low level still gets this much log-SNR to cross, so that its steps go somewhere.
_MIN_SPAN = 2.0
# Log-SNR: nearer to its end than this, the published ramp does not fall.
_NEAR = 1e-3


def linear(num_steps: int, *, start_level: float = 1.0) -> tuple[float, ...]:
    """Divide the way from start_level to 0 into equal steps in t.

    Args:
        num_steps: at least 1.
        start_level: noise level of the start, above 0, at most 1.

    Returns:
        num_steps + 1 falling times, the first start_level, the last 0.

    Raises:
        UsageError: if an argument is out of range.
    """
    _check(num_steps, start_level)
    return tuple(start_level * ((num_steps - index) / num_steps) for index in range(num_steps + 1))


def log_snr(
    num_steps: int,
    start: float = LOG_SNR_START,
    end: float = LOG_SNR_END,
    *,
    start_level: float = 1.0,
    as_published: bool = False,
) -> tuple[float, ...]:
    """Equal steps in log-SNR, t = sigmoid(-log-SNR), with the first time forced to the start level and the last to 0.

    Below full noise the ramp begins at the log-SNR of the start level. Where that comes near `end`, the end moves on,
    so that the times fall at every level: the published ramp stands still at a level of 0.12 and rises below it.
    The last jump, from 0.27 or so to 0, suits ping_pong; samplers of the flow itself end more exactly on `linear`.

    Args:
        num_steps: at least 1.
        start: log-SNR of the first time.
        end: log-SNR of the last time but the 0, above start.
        start_level: noise level of the start, above 0, at most 1.
        as_published: whether the ramp is the published one as long as it falls, at levels above 0.1193.

    Returns:
        num_steps + 1 falling times, the last 0.

    Raises:
        UsageError: if an argument is out of range.

    Source: Novack et al. 2025, arXiv 2505.08175, sampling of the released models.
    """
    _check(num_steps, start_level)
    if not (math.isfinite(start) and math.isfinite(end) and start < end):
        raise UsageError(f"start must be below end, both finite, got start {start:g} and end {end:g}.")
    # The published program adds a millionth to the ratio, which shows near full noise.
    published = math.log((1 - start_level) / start_level + 1e-6)
    if start_level == 1:
        first, last = start, end
    elif as_published and published < end - _NEAR:
        first, last = published, end
    else:
        first = max(start, math.log1p(-start_level) - math.log(start_level))
        last = max(end, first + min(_MIN_SPAN, end - start))
    ramp = (first + (last - first) * index / num_steps for index in range(1, num_steps))
    return (start_level, *(_sigmoid(-value) for value in ramp), 0.0)


def shifted(timesteps: Sequence[float], shift: float) -> tuple[float, ...]:
    """Move the grid towards noise (shift > 1) or data (shift < 1); 0 and 1 stay: t -> shift t / (1 - t + shift t).

    Args:
        timesteps: times from 0 to 1.
        shift: above 0; 1 changes nothing.

    Returns:
        The moved times.

    Raises:
        UsageError: if shift is not above 0.

    Source: Esser et al. 2024, "Scaling rectified flow transformers", equation 23.
    """
    if not (math.isfinite(shift) and shift > 0):
        raise UsageError(f"shift must be a number above 0, got {shift!r}.", field="shift")
    return tuple(shift * t / (1 - t + shift * t) for t in timesteps)


def cosine(num_steps: int, *, start_level: float = 1.0) -> tuple[float, ...]:
    """Equal steps in the angle atan2(t, 1 - t): the even grid of variance-preserving "v" diffusion, on our path.

    Euler's method on it is the published "v-ddim". Args and returns: as `linear`.
    """
    _check(num_steps, start_level)
    start = math.atan2(start_level, 1 - start_level)
    angles = (start * ((num_steps - index) / num_steps) for index in range(1, num_steps))
    return (start_level, *(math.sin(angle) / (math.sin(angle) + math.cos(angle)) for angle in angles), 0.0)


def exponential(
    num_steps: int, sigma_max: float = SIGMA_MAX, sigma_min: float = SIGMA_MIN, *, start_level: float = 1.0
) -> tuple[float, ...]:
    """Equal ratios of sigma = t / (1 - t), the noise in units of the data, and a last step from sigma_min to 0.

    Args:
        num_steps: at least 1.
        sigma_max: sigma of the first time, where the start level allows it.
        sigma_min: sigma of the last time but the 0; a start that is not above it moves it to a quarter of the start.
        start_level: noise level of the start, above 0, at most 1.

    Returns:
        num_steps + 1 falling times, the last 0.

    Raises:
        UsageError: if an argument is out of range.

    Source: "polyexponential" schedule of k-diffusion with rho 1, as published for stable-audio-open-1.0.
    """
    _check(num_steps, start_level)
    if not 0 < sigma_min < sigma_max < math.inf:
        raise UsageError(
            f"sigma_min must be above 0 and below sigma_max, got {sigma_min:g} and {sigma_max:g}.", field="sigma_min"
        )
    first = sigma_max if start_level == 1 else min(sigma_max, start_level / (1 - start_level))
    last = sigma_min if first > sigma_min * (1 + _NEAR) else first / 4
    sigmas = (first * (last / first) ** (index / max(1, num_steps - 1)) for index in range(num_steps))
    return (*(sigma / (1 + sigma) for sigma in sigmas), 0.0)


def sampler_times(
    sampler: str,
    num_steps: int,
    shift: float = 1.0,
    schedule: str = "auto",
    *,
    start_level: float = 1.0,
    log_snr_ends: tuple[float, float] = (LOG_SNR_START, LOG_SNR_END),
) -> tuple[float, ...]:
    """Compute the grid of a model's schedule.

    Args:
        sampler: name of the sampler.
        num_steps: at least 1.
        shift: above 1 towards noise, below 1 towards data.
        schedule: "log_snr", "cosine", "exponential", "linear" (and shifted), or "auto": log-SNR for ping_pong, linear
            for the other samplers.
        start_level: noise level of the start, which is the first time whatever the shift.
        log_snr_ends: start and end of the grid "log_snr".

    Returns:
        num_steps + 1 falling times, the last 0.
    """
    if schedule == "log_snr" or (schedule == "auto" and sampler == "ping_pong"):
        # Models that name this schedule are published ones, for which the published grid holds at every level.
        named = schedule == "log_snr"
        return log_snr(num_steps, *log_snr_ends, start_level=start_level, as_published=named)
    grids = {"cosine": cosine, "exponential": exponential}
    if schedule in grids:
        return grids[schedule](num_steps, start_level=start_level)
    unshifted = start_level / (shift - (shift - 1) * start_level)
    return (start_level, *shifted(linear(num_steps, start_level=unshifted), shift)[1:])


def _check(num_steps: int, start_level: float) -> None:
    if isinstance(num_steps, bool) or not isinstance(num_steps, int) or num_steps < 1:
        raise UsageError(f"num_steps must be a whole number of at least 1, got {num_steps!r}.", field="num_steps")
    if not 0 < start_level <= 1:
        raise UsageError(f"start_level must be above 0 and at most 1, got {start_level!r}.", field="start_level")


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else math.exp(value)
