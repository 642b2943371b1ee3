"""Whose answers count: not those of listeners who contradict themselves or always answer the same.

Conventions
    Differences are shares of the scale: 0.25 is one point of five, or 25 of 100. A rule is applied only where a
    listener gave enough answers for it; practice never counts. The limits are fixed before any score is looked at.

Rules
    * repeats: the mean difference of two answers to the same sound is above 0.25 (answers by chance on five points:
      0.4).
    * anchors: the 3.5 kHz anchor is above the reference for more than 15 % of the prompts.
    * reference, mid anchor (MUSHRA pages only): the hidden reference below 90, or the 7 kHz anchor above 90, for more
      than 15 % of the prompts.
    * same answer: 90 % or more of the answers in a dimension are the same one, on average over dimensions.

References
    ITU-R BS.1534-3, on the post-screening of assessors. The anchor, repeat and same-answer rules are this
    project's, with the share of 15 % taken from there.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from arctone.evaluation.listening.key import LOW_ANCHOR, MID_ANCHOR, REFERENCE, Key
from arctone.evaluation.listening.results import Rating
from arctone.evaluation.listening.scales import NUM_POINTS

MAX_REPEAT_DIFFERENCE = 0.25
MAX_FAILED_SHARE = 0.15
MUSHRA_EXCELLENT = 90.0
MAX_SAME_SHARE = 0.9
MIN_REPEATS, MIN_ANCHORS, MIN_ANSWERS = 3, 2, 8


@dataclass(frozen=True)
class ListenerCheck:
    """What was found about one listener.

    num_ratings, num_questions: given and asked, practice left out. repeat_difference: mean share of the scale between
    repeats. failed_anchors: share of prompts with the low anchor above the reference. same_share: see the module.
    Each is None without enough answers. reasons: why the listener is left out, empty if not.
    """

    listener: str
    num_ratings: int
    num_questions: int
    repeat_difference: float | None
    failed_anchors: float | None
    same_share: float | None
    reasons: tuple[str, ...]


def screen(ratings: Iterable[Rating], key: Key) -> list[ListenerCheck]:
    """Check each listener, in the order of their names."""
    by_listener: dict[str, list[Rating]] = defaultdict(list)
    for rating in ratings:
        if not rating.question.is_practice:
            by_listener[rating.listener].append(rating)
    return [_check(listener, by_listener[listener], key) for listener in sorted(by_listener)]


def _check(listener: str, ratings: Sequence[Rating], key: Key) -> ListenerCheck:
    repeats = _repeat_difference(ratings, key)
    anchors = _failed(ratings, lambda scores: _anchor_above(scores, LOW_ANCHOR, REFERENCE))
    same = _same_share(ratings)
    reasons = [
        _reason(repeats, MAX_REPEAT_DIFFERENCE, "repeated sounds got answers {:.0%} of the scale apart"),
        _reason(anchors, MAX_FAILED_SHARE, "the 3.5 kHz anchor is above the reference for {:.0%} of the prompts"),
        *_mushra_reasons(ratings, key),
        f"{same:.0%} of the answers are the same" if same is not None and same >= MAX_SAME_SHARE else "",
    ]
    return ListenerCheck(
        listener,
        len(ratings),
        sum(not question.is_practice for question in key.questions),
        repeats,
        anchors,
        same,
        tuple(reason for reason in reasons if reason),
    )


def _reason(share: float | None, limit: float, words: str) -> str:
    return words.format(share) if share is not None and share > limit else ""


def _repeat_difference(ratings: Sequence[Rating], key: Key) -> float | None:
    answers: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for rating in ratings:
        low, high = key.limits[rating.question.dimension]
        place = (rating.question.dimension, rating.question.system, rating.question.prompt)
        answers[place].append((rating.score - low) / (high - low))
    differences = [abs(pair[0] - pair[1]) for pair in answers.values() if len(pair) == 2]
    return sum(differences) / len(differences) if len(differences) >= MIN_REPEATS else None


def _failed(ratings: Sequence[Rating], fails: Callable[[dict[str, float]], bool | None]) -> float | None:
    """Share of the prompts for which `fails` (told the quality scores by condition) is true; None answers do not
    count."""
    prompts: dict[int, dict[str, float]] = defaultdict(dict)
    for rating in ratings:
        if rating.question.dimension == "quality" and rating.question.occasion == 1:
            prompts[rating.question.prompt][rating.question.system] = rating.score
    found = [failed for scores in prompts.values() if (failed := fails(scores)) is not None]
    return sum(found) / len(found) if len(found) >= MIN_ANCHORS else None


def _anchor_above(scores: dict[str, float], anchor: str, reference: str) -> bool | None:
    return scores[anchor] > scores[reference] if anchor in scores and reference in scores else None


def _mushra_reasons(ratings: Sequence[Rating], key: Key) -> list[str]:
    if key.limits.get("quality", (1, NUM_POINTS))[1] <= NUM_POINTS:
        return []
    low = _failed(ratings, lambda scores: scores[REFERENCE] < MUSHRA_EXCELLENT if REFERENCE in scores else None)
    high = _failed(ratings, lambda scores: scores[MID_ANCHOR] > MUSHRA_EXCELLENT if MID_ANCHOR in scores else None)
    return [
        _reason(low, MAX_FAILED_SHARE, "the hidden reference is below 90 for {:.0%} of the prompts"),
        _reason(high, MAX_FAILED_SHARE, "the 7 kHz anchor is above 90 for {:.0%} of the prompts"),
    ]


def _same_share(ratings: Sequence[Rating]) -> float | None:
    if len(ratings) < MIN_ANSWERS:
        return None
    by_dimension: dict[str, Counter[float]] = defaultdict(Counter)
    for rating in ratings:
        by_dimension[rating.question.dimension][rating.score] += 1
    return sum(max(counts.values()) for counts in by_dimension.values()) / len(ratings)
