"""Whose answers count: careless listeners are found, careful ones are left alone."""

import numpy as np
import pytest

from arctone.evaluation.listening.results import read_results, screen
from tests.evaluation.listening.made_systems import OPINIONS, clicker, mushra_csvs, page_csv, simulated, straight_liner


def checks_of(key, folder, listeners):
    for name, answers in listeners.items():
        (folder / f"{name}.csv").write_text(page_csv(key, name, answers))
    return {check.listener: check for check in screen(read_results([folder], key).ratings, key)}


def test_nearly_all_clickers_and_nearly_no_honest_listeners_are_left_out(page_test, tmp_path):
    key = page_test.key
    honest = {f"honest{seed}": simulated(key, seed) for seed in range(100)}
    clickers = {f"clicker{seed}": clicker(key, seed) for seed in range(100)}
    checks = checks_of(key, tmp_path, honest | clickers)
    assert sum(bool(checks[name].reasons) for name in clickers) >= 97
    assert sum(bool(checks[name].reasons) for name in honest) <= 5


def test_a_straight_liner_is_left_out_for_that_reason_only(page_test, tmp_path):
    key = page_test.key
    by_dimension = {
        question: {"diversity": 2, "quality": 5, "adherence": 3}[question.dimension] for question in key.questions
    }
    checks = checks_of(key, tmp_path, {"same": straight_liner(key), "three": by_dimension})
    assert checks["same"].reasons == checks["three"].reasons == ("100% of the answers are the same",)
    assert checks["same"].repeat_difference == 0.0
    assert checks["same"].failed_anchors == 0.0


def test_repeats_are_compared_with_their_originals(page_test, tmp_path):
    """Two points of five apart on each repeat are half the scale; ratings without a repeat do not count."""
    key = page_test.key
    answers = {q: 2 if q.occasion == 1 else 4 for q in key.questions}
    check = checks_of(key, tmp_path, {"x": answers})["x"]
    assert sum(question.occasion == 2 for question in key.questions) == 12
    assert check.repeat_difference == 0.5
    assert "repeated sounds got answers 50% of the scale apart" in check.reasons


def test_an_anchor_above_the_reference_counts_per_prompt(page_test, tmp_path):
    key = page_test.key

    def answers(num_failed):
        def score(question):
            if question.dimension == "quality" and question.prompt < num_failed and question.prompt >= 0:
                return {"anchor35": 3, "reference": 2}.get(question.system, 1 + question.prompt % 5)
            return {"anchor35": 1, "reference": 5}.get(question.system, 1 + question.prompt % 5)

        return {question: score(question) for question in key.questions}

    checks = checks_of(key, tmp_path, {f"n{failed}": answers(failed) for failed in range(3)})
    assert [checks[f"n{failed}"].failed_anchors for failed in range(3)] == [0.0, 1 / 8, 2 / 8]
    assert [bool(checks[f"n{failed}"].reasons) for failed in range(3)] == [False, False, True]


def test_mushra_ratings_are_screened_by_bs1534(mushra_test, tmp_path):
    """Sliders at 75 for the reference fail its rule of 90 even where nothing else is wrong."""
    key = mushra_test.key
    opinions = OPINIONS | {("quality", "anchor70"): 2.5}

    def with_reference(answer):
        given = simulated(key, 1, opinions, spread=0.2, taste=0.0)
        return {q: answer if (q.dimension, q.system) == ("quality", "reference") else a for q, a in given.items()}

    for name, text in mushra_csvs(key, {"good": with_reference(5), "low": with_reference(4)}).items():
        (tmp_path / name).write_text(text)
    good, low = screen(read_results([tmp_path], key).ratings, key)
    assert good.reasons == ()
    assert low.reasons == ("the hidden reference is below 90 for 100% of the prompts",)


def test_practice_never_counts(page_test, tmp_path):
    key = page_test.key
    answers = {q: 3 for q in key.questions if q.is_practice}
    assert checks_of(key, tmp_path, {"x": answers}) == {}


@pytest.mark.parametrize("count", [2, 7])
def test_few_answers_are_not_judged(page_test, tmp_path, count):
    key = page_test.key
    firsts = [q for q in key.questions if q.occasion == 1 and not q.is_practice and q.system in ("zephyr", "quartz")]
    chosen = np.random.default_rng(0).permutation(len(firsts))[:count]
    check = checks_of(key, tmp_path, {"x": {firsts[int(number)]: 3 for number in chosen}})["x"]
    assert (check.repeat_difference, check.failed_anchors, check.same_share) == (None, None, None)
    assert check.reasons == ()
    assert (check.num_ratings, check.num_questions) == (count, 24 + 40 + 32 + 12)
