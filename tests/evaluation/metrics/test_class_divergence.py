"""Divergence of classes against scipy's relative entropy and the published examples of stable-audio-metrics."""

import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr, softmax

from arctone.evaluation.metrics import class_divergence

# Examples of src/test_kld.py in Stability-AI/stable-audio-metrics: P, Q and what its KL says, with its small constant.
PUBLISHED = [
    ([0.05, 0.1, 0.2, 0.05, 0.15, 0.25, 0.08, 0.12], [0.3, 0.1, 0.2, 0.1, 0.1, 0.02, 0.08, 0.1], 0.5898663401603699),
    ([0.10, 0.40, 0.50], [0.80, 0.15, 0.05], 1.335667371749878),
]


@pytest.mark.parametrize(("generated", "reference", "known"), PUBLISHED)
def test_published_examples(generated: list[float], reference: list[float], known: float) -> None:
    found = class_divergence.divergences([reference], [generated])[0]
    # The published numbers were computed in float32.
    assert found == pytest.approx(known, rel=2e-5)
    plus = np.array(reference) + class_divergence.REFERENCE_FLOOR
    assert found == pytest.approx(rel_entr(generated, plus).sum(), rel=1e-12)


def test_equal_pairs_do_not_diverge() -> None:
    pairs = softmax(np.random.default_rng(0).standard_normal((20, 30)), axis=1)
    found = class_divergence.evaluate(pairs, pairs)["class_divergence"]
    # What the added constant takes away: K * 1e-6.
    assert found.value == pytest.approx(-30e-6, rel=1e-3)
    assert found.count == 20


def test_disjoint_classes_diverge_as_far_as_the_floor_lets_them() -> None:
    found = class_divergence.divergences([[1.0, 0.0]], [[0.0, 1.0]])[0]
    assert found == pytest.approx(-np.log(1e-6), rel=1e-9)


def test_it_matters_which_side_is_real() -> None:
    first, second = [[0.5, 0.5]], [[0.9, 0.1]]
    there, back = (class_divergence.divergences(*pair)[0] for pair in ((first, second), (second, first)))
    assert there == pytest.approx(0.9 * np.log(1.8) + 0.1 * np.log(0.2), rel=1e-4)
    assert back != pytest.approx(there, rel=0.1)


def test_logits_are_averaged_before_the_softmax() -> None:
    logits = np.random.default_rng(1).standard_normal((3, 7)) * 30
    found = class_divergence.probabilities(logits)
    assert found == pytest.approx(np.exp(log_softmax(logits.mean(axis=0))), rel=1e-9)
    assert np.abs(found - softmax(logits, axis=1).mean(axis=0)).max() > 0.05
    assert class_divergence.probabilities(np.full((1, 4), 1e4)) == pytest.approx(np.full(4, 0.25))


@pytest.mark.parametrize(
    ("reference", "generated", "reason"),
    [
        (np.zeros((0, 4)), np.zeros((0, 4)), "pairs, classes"),
        ([[0.5, 0.5]], [[0.5, 0.25, 0.25]], "pairs, classes"),
        ([[0.5, 0.5]], [[0.5, 0.4]], "generated must hold"),
        ([[1.5, -0.5]], [[0.5, 0.5]], "reference must hold"),
        ([[np.nan, 1.0]], [[0.5, 0.5]], "reference must hold"),
    ],
)
def test_what_are_no_probabilities_is_refused(reference: list, generated: list, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        class_divergence.evaluate(reference, generated)


@pytest.mark.parametrize("logits", [np.zeros((0, 4)), np.zeros(4), np.full((1, 4), np.nan)])
def test_bad_logits_are_refused(logits: np.ndarray) -> None:
    with pytest.raises(ValueError, match="windows, classes"):
        class_divergence.probabilities(logits)
