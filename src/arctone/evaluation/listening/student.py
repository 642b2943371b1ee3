"""Quantiles of Student's t distribution, so that small groups get honest intervals without scipy."""

import math

import numpy as np

_NUM_POINTS = 2001


def t_quantile(probability: float, degrees: float) -> float:
    """The value that a t variable with `degrees` of freedom stays below with `probability`.

    Args: probability: 0.5 to 1, both excluded. degrees: above 0, not necessarily whole.
    With t = sqrt(degrees) tan(angle) the probability is an integral of a power of a cosine, done here by Simpson's
    rule.

    >>> round(t_quantile(0.975, 13), 4)
    2.1604
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        low, high = (angle, high) if _probability(angle, degrees) < probability else (low, angle)
    return math.sqrt(degrees) * math.tan((low + high) / 2)


def _probability(angle: float, degrees: float) -> float:
    heights = np.cos(np.linspace(0.0, angle, _NUM_POINTS)) ** (degrees - 1)
    weights = np.where(np.arange(_NUM_POINTS) % 2, 4.0, 2.0)
    weights[[0, -1]] = 1.0
    area = float(weights @ heights) * angle / (3 * (_NUM_POINTS - 1))
    scale = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(math.pi)
    return 0.5 + math.exp(scale) * area
