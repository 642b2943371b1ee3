"""Scores and retrieval with places that are known in advance."""

import numpy as np
import pytest

from arctone.evaluation.metrics import text_audio

AXES = np.eye(6)


def evaluate(text: np.ndarray, audio: np.ndarray, captions: list[str], owners: list[int]) -> dict[str, float]:
    found = text_audio.evaluate(text, audio, captions, owners)
    return {name: interval.value for name, interval in found.items()}


def test_perfect_pairs() -> None:
    found = evaluate(AXES, 5 * AXES, list("abcdef"), list(range(6)))
    assert found == {"text_audio_score": pytest.approx(1), "recall_at_1": 1.0, "recall_at_5": 1.0}


def test_captions_of_the_wrong_sounds() -> None:
    found = evaluate(AXES, np.roll(AXES, 1, axis=0), list("abcdef"), list(range(6)))
    # Each caption has one sound nearer than its own and four as far, which count against it.
    assert found == {"text_audio_score": pytest.approx(0), "recall_at_1": 0.0, "recall_at_5": 0.0}


def test_known_places() -> None:
    """On a circle at 0, 10, .. 50 degrees the caption at 0 finds sound n at place n + 1."""
    angles = np.deg2rad(np.arange(0, 60, 10))
    sounds = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    text = np.repeat([[1.0, 0.0]], 6, axis=0)
    captions, owners = [f"caption {n}" for n in range(6)], np.arange(6)
    cosines, _ = text_audio.validate(text, sounds, captions, owners)
    assert text_audio.ranks(cosines, captions, owners).tolist() == [1, 2, 3, 4, 5, 6]
    assert evaluate(text, sounds, captions, list(owners)) == {
        "text_audio_score": pytest.approx(np.cos(angles).mean()),
        "recall_at_1": pytest.approx(1 / 6),
        "recall_at_5": pytest.approx(5 / 6),
    }
    assert text_audio.score_unrelated(cosines, captions, owners) == pytest.approx(np.cos(angles).mean())


def test_sounds_with_the_same_caption_are_not_counted_as_wrong() -> None:
    sounds = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = evaluate(sounds, sounds, ["rain", "rain", "wind"], [0, 1, 2])
    assert found["recall_at_1"] == 1.0
    assert evaluate(sounds, sounds, ["rain", "storm", "wind"], [0, 1, 2])["recall_at_1"] == pytest.approx(1 / 3)


def test_a_sound_may_have_several_captions() -> None:
    text = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    found = text_audio.evaluate(text, np.eye(2), ["a", "b", "c"], [0, 0, 1])
    assert found["recall_at_1"].value == 1.0
    assert found["recall_at_1"].count == 3


def test_one_clip_and_silence() -> None:
    assert evaluate([[1.0, 0.0]], [[2.0, 0.0]], ["a"], [0])["text_audio_score"] == pytest.approx(1)
    silent = evaluate(np.eye(2), np.zeros((2, 2)), ["a", "b"], [0, 1])
    assert silent == {"text_audio_score": 0.0, "recall_at_1": 0.0, "recall_at_5": 1.0}
    cosines, owners = text_audio.validate([[1.0, 0.0]], [[2.0, 0.0]], ["a"], [0])
    assert text_audio.score_unrelated(cosines, ["a"], owners) is None


def test_chance() -> None:
    rng = np.random.default_rng(0)
    text, audio = rng.standard_normal((2, 400, 32))
    found = evaluate(text, audio, [str(n) for n in range(400)], list(range(400)))
    assert found["recall_at_5"] == pytest.approx(5 / 400, abs=0.02)


@pytest.mark.parametrize(
    ("text", "captions", "owners", "reason"),
    [
        (np.zeros((0, 6)), [], [], "text has 0"),
        (AXES[:, :5], list("abcdef"), range(6), "size 5 and 6"),
        (AXES, list("abc"), range(6), "6 texts, 3 captions"),
        (AXES, list("abcdef"), [0, 1, 2, 3, 4, 6], "from 0 to 5"),
        (np.full((6, 6), np.nan), list("abcdef"), range(6), "finite"),
    ],
)
def test_bad_pairs_are_refused(text: np.ndarray, captions: list[str], owners: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        text_audio.evaluate(text, AXES, captions, list(owners))
