"""From answers of listeners with known opinions to scores: order, intervals, differences, and plain words."""

import csv
import json
import math
import xml.etree.ElementTree as ElementTree

import msgspec
import numpy as np
import pytest

from arctone.errors import InputFileError, UsageError
from arctone.evaluation.listening.report import markdown, write_report
from arctone.evaluation.listening.results import read_results
from arctone.evaluation.listening.scores import analyse
from tests.evaluation.listening.made_systems import OPINIONS, clicker, mushra_csvs, page_csv, simulated, straight_liner

NEW_ANCHOR = {("quality", "anchor70"): 2.2}


def write_answers(key, folder, listeners):
    folder.mkdir(exist_ok=True)
    for name, answers in listeners.items():
        (folder / f"{name}.csv").write_text(page_csv(key, name, answers))
    return folder


def honest(key, count, start=0, **spreads):
    return {f"l{seed:02d}": simulated(key, seed, **spreads) for seed in range(start, start + count)}


def test_scores_recover_order_and_values(page_test, tmp_path):
    """Twenty listeners whose answers keep clear of the ends of the scale, so that rounding does not shift the means."""
    key = page_test.key
    found = analyse([write_answers(key, tmp_path / "a", honest(key, 20))], key)
    means = {(score.dimension, score.system): score.mean for score in found.scores}
    assert set(means) == set(OPINIONS)
    covered = [means[place].low <= opinion <= means[place].high for place, opinion in OPINIONS.items()]
    assert sum(covered) >= 11
    for dimension in ("diversity", "quality"):
        order = [system for of, system in sorted(OPINIONS, key=OPINIONS.__getitem__) if of == dimension]
        assert sorted(order, key=lambda system: means[dimension, system].value) == order
    adherence = {system: means["adherence", system].value for of, system in OPINIONS if of == "adherence"}
    assert adherence["ember"] < min(adherence["zephyr"], adherence["quartz"])
    assert adherence["reference"] > max(adherence["zephyr"], adherence["quartz"])
    assert abs(adherence["zephyr"] - adherence["quartz"]) < 0.25  # equal opinions


def test_intervals_of_scores_cover_the_opinions_in_most_tests(page_test, tmp_path):
    """Six tests with fourteen listeners each: of all intervals, the share that covers is near 95 %."""
    key = page_test.key
    hits = []
    for test in range(6):
        folder = write_answers(key, tmp_path / str(test), honest(key, 14, 100 * test, difficulty=0.0))
        for score in analyse([folder], key, keep_all=True).scores:
            if (score.dimension, score.system) not in (("quality", "anchor35"), ("quality", "reference")):
                opinion = OPINIONS[score.dimension, score.system]
                hits.append(score.mean.low <= opinion <= score.mean.high)
    assert len(hits) == 60
    assert np.mean(hits) >= 0.9


def test_a_difference_that_is_there_is_found_and_one_that_is_not_is_not(page_test, tmp_path):
    key = page_test.key
    found = analyse([write_answers(key, tmp_path / "a", honest(key, 20))], key).differences
    pairs = {(d.dimension, d.first, d.second): d for d in found}
    there = pairs["diversity", "zephyr", "ember"]
    assert there.mean.high < 0
    assert there.p_holm < 0.05
    assert there.mean.low <= 2.2 - 3.8 <= there.mean.high
    absent = pairs["adherence", "zephyr", "quartz"]
    assert absent.mean.low < 0 < absent.mean.high
    assert absent.p_holm > 0.05
    assert not any("anchor35" in (d.first, d.second) for d in found)
    for d in found:
        assert d.p == max(d.p_listeners, d.p_prompts) <= d.p_holm


def test_equal_systems_are_rarely_called_different(page_test, tmp_path):
    """Under the null the corrected tests err in at most about one of twenty tests."""
    key = page_test.key
    equal = dict.fromkeys(OPINIONS, 3.0)
    wrong = 0
    for test in range(10):
        listeners = {f"l{s}": simulated(key, 1000 + 50 * test + s, equal) for s in range(10)}
        folder = write_answers(key, tmp_path / str(test), listeners)
        found = analyse([folder], key, keep_all=True).differences
        wrong += any(d.p_holm < 0.05 for d in found if d.dimension == "quality")
    assert wrong <= 1


def test_careless_listeners_do_not_change_the_scores(page_test, tmp_path):
    key = page_test.key
    careful = honest(key, 12)
    alone = analyse([write_answers(key, tmp_path / "a", careful)], key)
    careless = {"same": straight_liner(key), "random": clicker(key, 1)}
    mixed = analyse([write_answers(key, tmp_path / "b", careful | careless)], key)
    assert [(s.system, s.mean) for s in mixed.scores] == [(s.system, s.mean) for s in alone.scores]
    assert {c.listener for c in mixed.listeners if c.reasons} - {c.listener for c in alone.listeners if c.reasons} == {
        "same",
        "random",
    }
    kept = analyse([tmp_path / "b"], key, keep_all=True)
    assert all(score.num_listeners == 14 for score in kept.scores)
    num_failed = sum(bool(check.reasons) for check in kept.listeners)
    assert f"14 listeners, all counted ({num_failed} of them fail the screening)" in markdown(kept)


def test_repeats_and_practice_do_not_enter_the_scores(page_test, tmp_path):
    key = page_test.key
    plain = honest(key, 3)
    other = {
        name: {q: a if q.occasion == 1 and not q.is_practice else 6 - a for q, a in given.items()}
        for name, given in plain.items()
    }
    scores = [
        [score.mean for score in analyse([write_answers(key, tmp_path / n, found)], key, keep_all=True).scores]
        for n, found in (("plain", plain), ("other", other))
    ]
    assert scores[0] == scores[1]


def test_webmushra_exports_give_the_same_kind_of_scores(mushra_test, tmp_path):
    key = mushra_test.key
    opinions = OPINIONS | NEW_ANCHOR | {("quality", "reference"): 5.4}
    listeners = {f"l{seed}": simulated(key, seed, opinions) for seed in range(14)}
    for name, text in mushra_csvs(key, listeners).items():
        (tmp_path / name).write_text(text)
    found = analyse([tmp_path / "mushra.csv", tmp_path / "lms.csv"], key, keep_all=True)
    means = {(score.dimension, score.system): score.mean for score in found.scores}
    assert key.limits == {"diversity": (1, 5), "quality": (0, 100), "adherence": (1, 5)}
    for system in ("zephyr", "quartz", "ember"):
        expected = 25 * (OPINIONS["quality", system] - 1)
        assert means["quality", system].low <= expected <= means["quality", system].high
    assert means["quality", "reference"].value > 95
    assert means["diversity", "ember"].value > means["diversity", "zephyr"].value


def test_the_report_is_complete_and_consistent(page_test, tmp_path):
    key = page_test.key
    answers = write_answers(key, tmp_path / "a", honest(key, 9) | {"same": straight_liner(key)})
    found = analyse([answers], key)
    write_report(found, tmp_path / "report")
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {
        ".arctone",
        "report.md",
        "report.json",
        "scores.csv",
        "differences.csv",
        "listeners.csv",
        "scores.svg",
    }
    data = json.loads((tmp_path / "report/report.json").read_text())
    table = list(csv.DictReader((tmp_path / "report/scores.csv").open()))
    assert len(table) == len(data["scores"]) == 12
    for row, score in zip(table, data["scores"], strict=True):
        assert (row["dimension"], row["system"]) == (score["dimension"], score["system"])
        assert float(row["mean"]) == pytest.approx(score["mean"]["value"], abs=0.006)
    text = (tmp_path / "report/report.md").read_text()
    num_kept = sum(not check.reasons for check in found.listeners)
    assert f"**A small group: {num_kept} listeners" in text
    assert f"10 listeners, {num_kept} counted and {10 - num_kept} left out" in text
    assert "| same | 108 | 108 | 0.00 | 0.00 | 1.00 | 100% of the answers are the same |" in text
    picture = ElementTree.fromstring((tmp_path / "report/scores.svg").read_text())
    dots = [e for e in picture.iter() if e.tag.endswith("circle")]
    lines = [e for e in picture.iter() if e.get("class") == "range"]
    assert len(dots) == len(lines) == 12
    # The dot lies inside its interval, and further to the right for a higher score.
    assert all(float(a.get("x1")) <= float(b.get("cx")) <= float(a.get("x2")) for a, b in zip(lines, dots, strict=True))
    quality = [float(dots[n].get("cx")) for n, s in enumerate(data["scores"]) if s["dimension"] == "quality"]
    values = [s["mean"]["value"] for s in data["scores"] if s["dimension"] == "quality"]
    assert np.argsort(quality).tolist() == np.argsort(values).tolist()


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, "one person's answers say nothing about others"), (3, "Too few listeners: 3 make a pilot")],
)
def test_too_few_listeners_are_named_plainly(page_test, tmp_path, count, words):
    key = page_test.key
    found = analyse([write_answers(key, tmp_path / "a", honest(key, count))], key)
    assert any(words in note for note in found.notes)
    assert all(math.isnan(score.mean.low) for score in found.scores) == (count == 1)
    write_report(found, tmp_path / "report")
    data = json.loads((tmp_path / "report/report.json").read_text())
    assert (data["scores"][0]["mean"]["low"] is None) == (count == 1)


def test_few_prompts_limit_the_p_values_and_that_is_said(page_test, tmp_path):
    key = page_test.key
    few = msgspec.structs.replace(
        key, prompts=key.prompts[:3], questions=tuple(q for q in key.questions if q.prompt < 3)
    )
    found = analyse([write_answers(few, tmp_path / "a", honest(few, 9))], few, keep_all=True)
    assert "Only 3 prompts: no p value below 0.25 is possible for other prompts." in found.notes
    assert min(d.p_prompts for d in found.differences) == 0.25


def test_somebody_who_stopped_half_way_counts_as_far_as_he_came(page_test, tmp_path):
    key = page_test.key
    half = dict(list(simulated(key, 50).items())[:60])
    found = analyse([write_answers(key, tmp_path / "a", honest(key, 8) | {"half": half})], key, keep_all=True)
    assert any(note == "Not finished, counted as far as they came: half." for note in found.notes)
    assert {score.num_listeners for score in found.scores} == {8, 9}


def test_a_code_that_is_used_twice_counts_once(page_test, tmp_path):
    key = page_test.key
    first, second = simulated(key, 1), simulated(key, 2)
    (tmp_path / "a.csv").write_text(page_csv(key, "ann", first, "one"))
    (tmp_path / "b.csv").write_text(page_csv(key, "ann", second, "two"))
    results = read_results([tmp_path], key)
    assert {rating.question: rating.score for rating in results.ratings} == first
    assert results.warnings == ("The listener code 'ann' was used more than once; only the first answers count.",)
    (tmp_path / "b.csv").write_text(page_csv(key, "ann", first, "one"))
    assert read_results([tmp_path], key).warnings == ()


def test_answers_of_two_sessions_are_never_mixed_into_one_listener(page_test, tmp_path):
    key = page_test.key
    begun = dict(list(simulated(key, 1).items())[:30])
    (tmp_path / "a.csv").write_text(page_csv(key, "ann", begun, "one"))
    (tmp_path / "b.csv").write_text(page_csv(key, "ann", simulated(key, 2), "two"))
    results = read_results([tmp_path], key)
    assert {rating.question: rating.score for rating in results.ratings} == begun
    assert len(results.warnings) == 1


BAD = {
    "other test": ("test,listener,session,trial,rating\nt1,a,s,x,3\n", "answers of the test 't1', but the key is of"),
    "unknown trial": (
        "test,listener,session,trial,rating\n{test},a,s,x,3\n",
        "answers the question 'x', which is not in",
    ),
    "bad score": (
        "test,listener,session,trial,rating\n{test},a,s,{trial},6\n",
        "rating '6' for {trial}, but it must be from 1",
    ),
    "no number": ("test,listener,session,trial,rating\n{test},a,s,{trial},nan\n", "rating 'nan'"),
    "no listener": ("test,listener,session,trial,rating\n{test}, ,s,{trial},3\n", "without a listener code"),
    "other columns": ("a,b\n1,2\n", "is no file of answers: its first line has a, b"),
    "empty": ("", "its first line has no columns"),
    "short line": ("test,listener,session,trial,rating\n{test},a\n", "line 2 has 2 cells, but the first line has 5"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_answers_are_refused_in_one_sentence(page_test, tmp_path, case):
    text, message = (part.format(test=page_test.key.test, trial=page_test.key.questions[0].trial) for part in BAD[case])
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(InputFileError) as refused:
        analyse([tmp_path / "bad.csv"], page_test.key)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_nobody_left_is_refused_with_the_reason(page_test, tmp_path):
    key = page_test.key
    folder = write_answers(key, tmp_path / "a", {"same": straight_liner(key)})
    with pytest.raises(UsageError, match=r"none of the 1 listeners .* same: 100% of the answers are the same"):
        analyse([folder], key)
    with pytest.raises(InputFileError, match="holds no answers"):
        analyse([tmp_path], key)
