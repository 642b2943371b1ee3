"""Conditional diversity with angles that are known."""

import itertools

import numpy as np
import pytest

from arctone.evaluation.metrics import conditional_diversity


def value(audio: np.ndarray, prompts: list[str]) -> float:
    return conditional_diversity.evaluate(audio, prompts)["conditional_diversity"].value


def test_equal_sounds_are_not_diverse_and_orthogonal_ones_are() -> None:
    assert value(np.ones((4, 3)), ["a", "a", "b", "b"]) == 0.0
    assert value(np.eye(4), ["a", "a", "b", "b"]) == pytest.approx(1.0)
    assert value(np.array([[1.0], [-1.0]]), ["a", "a"]) == pytest.approx(2.0)


def test_pairs_are_averaged_first_then_prompts() -> None:
    """Prompt a: pairs at 0, 1 and 1; prompt b: one pair at 0. Over all pairs the mean would be 1/2."""
    audio = np.array([[1.0, 0], [2.0, 0], [0, 1.0], [1.0, 1.0], [1.0, 1.0], [5.0, -1.0]])
    prompts = ["a", "a", "a", "b", "b", "lonely"]
    found = conditional_diversity.prompt_diversities(audio, prompts)
    assert found == {"a": pytest.approx(2 / 3), "b": pytest.approx(0)}
    assert value(audio, prompts) == pytest.approx(1 / 3)


def test_agrees_with_the_definition_pair_by_pair() -> None:
    audio = np.random.default_rng(0).standard_normal((6, 5))
    pairs = [1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in itertools.combinations(audio, 2)]
    assert value(audio, ["a"] * 6) == pytest.approx(np.mean(pairs), rel=1e-9)


def test_silent_clips_are_alike_and_unlike_the_rest() -> None:
    assert value(np.zeros((2, 3)), ["a", "a"]) == 0.0
    assert value(np.array([[0.0, 0.0], [1.0, 1.0]]), ["a", "a"]) == pytest.approx(1.0)


def test_more_clips_of_a_prompt_do_not_change_the_expected_value() -> None:
    rng = np.random.default_rng(0)
    few, many = (np.mean([value(rng.standard_normal((n, 3)) + 1, ["a"] * n) for _ in range(400)]) for n in (2, 8))
    assert few == pytest.approx(many, rel=0.08)


@pytest.mark.parametrize(
    ("audio", "prompts", "reason"),
    [
        (np.zeros((0, 3)), [], "audio has 0"),
        (np.zeros((1, 3)), ["a"], "one clip only"),
        (np.zeros((2, 3)), ["a", "b"], "one clip only"),
        (np.zeros((2, 3)), ["a"], "2 clips, but 1 prompts"),
        (np.full((2, 3), np.nan), ["a", "a"], "finite"),
    ],
)
def test_bad_clips_are_refused(audio: np.ndarray, prompts: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        conditional_diversity.evaluate(audio, prompts)
