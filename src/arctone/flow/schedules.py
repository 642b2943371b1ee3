"""Grids of times: num_steps + 1 values that fall strictly from the start level to 0."""

import math
from collections.abc import Sequence

from arctone.errors import UsageError

LOG_SNR_START = -6.0
LOG_SNR_END = 2.0

# A start at a low level still gets this much log-SNR to cross, so that its steps go somewhere.
_MIN_SPAN = 2.0


def linear(num_steps: int, *, start_level: float = 1.0) -> tuple[float, ...]:
    """Equal steps in t.

    Args: num_steps: at least 1. start_level: noise level of the start, above 0, at most 1.
    Returns: num_steps + 1 times, first start_level, last 0. Raises: UsageError if an argument is out of range.
    """
    _check(num_steps, start_level)
    return tuple(start_level * ((num_steps - index) / num_steps) for index in range(num_steps + 1))


def log_snr(
    num_steps: int, start: float = LOG_SNR_START, end: float = LOG_SNR_END, *, start_level: float = 1.0
) -> tuple[float, ...]:
    """Equal steps in log-SNR, t = sigmoid(-log-SNR), with the first time forced to the start level and the last to 0.

    Below full noise the ramp begins at the log-SNR of the start level. Where that comes near `end`, the end moves on,
    so that the times fall at every level: the published ramp stands still at a level of 0.12 and rises below it.
    The last jump, from 0.27 or so to 0, suits ping_pong; samplers of the flow itself end more exactly on `linear`.

    Args: num_steps: at least 1. start, end: log-SNR of the ends, start < end. start_level: above 0, at most 1.
    Returns: num_steps + 1 times. Raises: UsageError if an argument is out of range.
    Source: Novack et al. 2025, arXiv 2505.08175, sampling of the released models.
    """
    _check(num_steps, start_level)
    if not (math.isfinite(start) and math.isfinite(end) and start < end):
        raise UsageError(f"start must be below end, both finite, got start {start:g} and end {end:g}.")
    first = start if start_level == 1 else max(start, math.log1p(-start_level) - math.log(start_level))
    last = end if start_level == 1 else max(end, first + min(_MIN_SPAN, end - start))
    ramp = (first + (last - first) * index / num_steps for index in range(1, num_steps))
    return (start_level, *(_sigmoid(-value) for value in ramp), 0.0)


def shifted(timesteps: Sequence[float], shift: float) -> tuple[float, ...]:
    """The grid moved towards noise (shift > 1) or data (shift < 1); 0 and 1 stay where they are.

    Args: timesteps: 0 to 1. shift: above 0; 1 changes nothing. Raises: UsageError if shift is not above 0.
    Source: Esser et al. 2024, "Scaling rectified flow transformers", equation 23.
    """
    if not (math.isfinite(shift) and shift > 0):
        raise UsageError(f"shift must be a number above 0, got {shift!r}.")
    return tuple(shift * t / (1 - t + shift * t) for t in timesteps)


def sampler_times(sampler: str, num_steps: int, shift: float = 1.0, *, start_level: float = 1.0) -> tuple[float, ...]:
    """The grid that belongs to a sampler: log-SNR for ping_pong, linear and shifted for those of the flow itself.

    Args: start_level: noise level of the start, which is the first time whatever the shift.
    """
    if sampler == "ping_pong":
        return log_snr(num_steps, start_level=start_level)
    unshifted = start_level / (shift - (shift - 1) * start_level)
    return (start_level, *shifted(linear(num_steps, start_level=unshifted), shift)[1:])


def _check(num_steps: int, start_level: float) -> None:
    if isinstance(num_steps, bool) or not isinstance(num_steps, int) or num_steps < 1:
        raise UsageError(f"num_steps must be a whole number of at least 1, got {num_steps!r}.")
    if not 0 < start_level <= 1:
        raise UsageError(f"start_level must be above 0 and at most 1, got {start_level!r}.")


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else math.exp(value)
