"""Classifier-free guidance: how strongly the prompt pulls."""

from typing import Any

Array = Any


def guided(velocity_cond: Array, velocity_uncond: Array, scale: float) -> Array:
    """Combine two velocities: v = v_uncond + scale (v_cond - v_uncond).

    Args:
        velocity_cond: velocity with the prompt, [..., channels, frames].
        velocity_uncond: velocity without it, same shape.
        scale: guidance scale; 1 gives velocity_cond itself, 0 the unconditional one.

    Returns:
        The guided velocity, same shape.

    Source: Ho and Salimans 2022, "Classifier-free diffusion guidance".
    """
    if scale == 1:
        return velocity_cond
    return velocity_uncond + scale * (velocity_cond - velocity_uncond)


def projected(velocity_cond: Array, velocity_uncond: Array, x: Array, t: float, scale: float) -> Array:
    """Guide without the part along the conditional estimate of the clean latents, which only makes them louder.

    Args:
        velocity_cond: velocity with the prompt, [..., channels, frames].
        velocity_uncond: velocity without it, same shape.
        x: latents at level t, same shape.
        t: noise level, 0 to 1.
        scale: guidance scale; 1 gives velocity_cond itself.

    Returns:
        The guided velocity, same shape.

    Source: Sadat et al. 2024, "Eliminating oversaturation and artifacts of high guidance scales" (arXiv 2410.02416),
    without momentum and rescaling, as in the public program of Stable Audio 3.
    """
    if scale == 1:
        return velocity_cond
    estimate, pull = x - t * velocity_cond, velocity_cond - velocity_uncond
    power = (estimate**2).sum(axis=(-2, -1), keepdims=True)
    along = (pull * estimate).sum(axis=(-2, -1), keepdims=True) / (power + (power == 0))
    return velocity_cond + (scale - 1) * (pull - along * estimate)


def combined(
    velocity_cond: Array, velocity_uncond: Array, x: Array, t: float, scale: float, *, is_projected: bool
) -> Array:
    """Guide by one of the two rules above.

    Args:
        velocity_cond: velocity with the prompt, [..., channels, frames].
        velocity_uncond: velocity without it, same shape.
        x: latents at level t, same shape.
        t: noise level, 0 to 1.
        scale: guidance scale; 1 gives velocity_cond itself.
        is_projected: whether `projected` is used instead of `guided`.

    Returns:
        The guided velocity, same shape.
    """
    if is_projected:
        return projected(velocity_cond, velocity_uncond, x, t, scale)
    return guided(velocity_cond, velocity_uncond, scale)


def rescaled(velocity: Array, velocity_cond: Array, amount: float, frame_mask: Array | None = None) -> Array:
    """Guided velocity brought back towards the spread of the conditional one, item by item.

    High guidance scales inflate the velocity, and so the level of the sound.

    Args:
        velocity: guided velocity, [..., channels, frames].
        velocity_cond: velocity with the prompt, same shape.
        amount: 0 changes nothing, 1 matches the standard deviation fully.
        frame_mask: [..., 1, frames], True = real; padding does not count.

    Returns:
        The rescaled velocity, same shape.

    Source: Lin et al. 2023, "Common diffusion noise schedules and sample steps are flawed", section 3.4.
    """
    if amount == 0:
        return velocity
    target, current = _spread(velocity_cond, frame_mask), _spread(velocity, frame_mask)
    factor = target / (current + (current == 0))
    return velocity * (amount * factor + (1 - amount))


def _spread(velocity: Array, frame_mask: Array | None) -> Array:
    """Standard deviation over channels and frames, [..., 1, 1]."""
    ones = velocity * 0 + 1  # of the velocity's own type, so that float32 stays float32
    weight = ones if frame_mask is None else ones * frame_mask
    count = weight.sum(axis=(-2, -1), keepdims=True)
    mean = (velocity * weight).sum(axis=(-2, -1), keepdims=True) / count
    return ((((velocity - mean) ** 2) * weight).sum(axis=(-2, -1), keepdims=True) / count) ** 0.5
