"""Makes `public_answers.json`: what public implementations say about the sets of `sets`. Not run by the tests.

    pip install prdc==0.2 vendi-score==0.0.3 scikit-learn scipy
    python tests/evaluation/metrics/public_answers.py

prdc is the implementation of M. F. Naeem et al., vendi-score that of D. Friedman and A. B. Dieng; scipy.linalg.sqrtm
is the root that published Frechet distances are computed with.
"""

import json
from pathlib import Path

import numpy as np

PATH = Path(__file__).with_suffix(".json")


def sets(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of points by name; the same on every machine."""
    rng = np.random.default_rng(7)
    if name == "many":
        return rng.standard_normal((120, 8)), 0.7 * rng.standard_normal((90, 8)) + 0.4
    if name == "few":  # fewer clips than dimensions
        return rng.standard_normal((30, 50)), rng.standard_normal((25, 50)) + 0.3
    if name == "apart":
        return rng.standard_normal((40, 5)), rng.standard_normal((40, 5)) + 50.0
    real = rng.standard_normal((60, 4))
    return real, real.copy()


NAMES = ("many", "few", "apart", "same")


def answers(name: str) -> dict[str, float]:
    """All public numbers for the sets of a name."""
    import scipy.linalg
    from prdc import compute_prdc
    from vendi_score import vendi

    real, made = sets(name)
    means, covariances = (
        [points.mean(axis=0) for points in (real, made)],
        [np.cov(p, rowvar=False) for p in (real, made)],
    )
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    frechet = np.square(means[0] - means[1]).sum() + np.trace(covariances[0] + covariances[1] - 2 * root.real)
    found = {"frechet_distance": frechet, "vendi_score": vendi.score_X(real), **compute_prdc(real, made, nearest_k=5)}
    return {key: float(value) for key, value in found.items()}


if __name__ == "__main__":
    PATH.write_text(json.dumps({name: answers(name) for name in NAMES}, indent=2) + "\n")
