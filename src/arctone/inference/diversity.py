"""Choose the candidates of a request that differ most, by statistics of their latents.

What is compared: mean and standard deviation of each latent channel over time, and how much it changes from frame to
frame. Each statistic is standardised over the candidates, so that no channel's scale decides.

Conventions: the outliers, those furthest from the middle of all, are not chosen while others are left: what a model
rarely makes is often a failure. Everything is deterministic; candidates at the same distance keep their order.

References
    T. Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985 (greedy farthest points).

Legend: K candidates, C latent channels, T latent frames, F statistics.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

# Of all candidates, this share is taken for outliers.
OUTLIER_SHARE = 0.125


def order_by_diversity(latents: Sequence[Floats], count: int) -> list[int]:
    """Order candidates so that the first `count` are those that differ most.

    Args:
        latents: Of each candidate, [C, T].
        count: How many are to be kept, at least 1.

    Returns:
        The indices of all candidates: the chosen ones, then those that would be next, then the outliers.
    """
    points = standardised(np.stack([latent_statistics(one) for one in latents]))
    centre = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    num_outliers = min(int(OUTLIER_SHARE * len(points)), len(points) - count)
    by_distance = np.argsort(centre, kind="stable")
    inner, outer = by_distance[: len(points) - num_outliers], by_distance[len(points) - num_outliers :]
    chosen = farthest_points(points[np.sort(inner)])
    return [*(int(np.sort(inner)[place]) for place in chosen), *map(int, outer)]


def latent_statistics(latents: Floats) -> Doubles:
    """Describe latents by their moments over time.

    Args:
        latents: [C, T].

    Returns:
        Mean, standard deviation and root mean square change of each channel, [3 C]; zeros if there is no frame.
    """
    values = np.asarray(latents, np.float64)
    num_channels, num_frames = values.shape
    if num_frames == 0:
        return np.zeros(3 * num_channels)
    changes = np.diff(values, axis=1) if num_frames > 1 else np.zeros((num_channels, 1))
    return np.concatenate([values.mean(axis=1), values.std(axis=1), np.sqrt(np.mean(changes**2, axis=1))])


def standardised(points: Doubles) -> Doubles:
    """Bring each statistic to mean 0 and standard deviation 1 over the candidates; constant ones become 0.

    Args:
        points: [K, F].

    Returns:
        [K, F].
    """
    deviation = points.std(axis=0)
    is_constant = deviation <= 1e-9 * (1 + np.abs(points).max(axis=0))
    return np.where(is_constant, 0.0, (points - points.mean(axis=0)) / np.where(is_constant, 1.0, deviation))


def farthest_points(points: Doubles) -> list[int]:
    """Order points greedily: each is the one furthest from all before it; the first two are the furthest pair.

    Args:
        points: [K, F].

    Returns:
        Indices, K of them.
    """
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    first, second = np.unravel_index(int(distances.argmax()), distances.shape)
    order = [int(first)] if first == second else [int(first), int(second)]
    nearest = distances[order].min(axis=0)
    while len(order) < len(points):
        nearest[order] = -1.0
        order.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, distances[order[-1]])
    return order
