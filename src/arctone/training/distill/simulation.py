"""Backward simulation: in training, the student starts from what the sampler will give it.

B items, C channels, T latent frames.
Source: Yin et al. 2024, "Improved Distribution Matching Distillation" (DMD2), section 4.5.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor

from arctone.flow.samplers import VelocityFn, ping_pong


def simulated_input(velocity_fn: VelocityFn, noises: Tensor, times: Sequence[float], place: int) -> Tensor:
    """What the ping-pong sampler hands to its call number `place`, [B, C, T], at the level times[place].

    It is the sampler itself that is run, so grid, noise and arithmetic are those of generation.

    Args: velocity_fn: the student. noises: [place + 1 or more, B, C, T]; noises[0] is the start, noises[i] the fresh
    noise after call i. times: the sampler's grid, falling from 1 to 0. place: 0 for the first call, which gets noise.
    """
    x = noises[0]
    steps = ping_pong(velocity_fn, x, times, lambda index: noises[index])
    for step in itertools.islice(steps, place):
        x = step.x
    return x
