"""Read the answers of listeners and screen them."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from arctone.errors import InputFileError
from arctone.evaluation.listening.choice import NUM_POINTS
from arctone.evaluation.listening.design import LOW_ANCHOR, MID_ANCHOR, REFERENCE, Key, Question
from arctone.evaluation.listening.webmushra import COMFORT_PAGE, LISTENER_FIELD
from arctone.files.strict_json import read_config
from arctone.files.text import parse_typed, read_text

SUFFIXES = (".csv", ".json")
NOT_RATED = "NA"


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One answer on our page.

    Args:
        position: Step of the test.
        plays: How often sounds were started.
        seconds: Until the answer.
    """

    trial: str
    dimension: str
    rating: int
    practice: bool = False
    position: int = 0
    plays: int = 0
    seconds: float = 0.0


class Submission(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All answers of one listener on our page.

    Args:
        session: 16 hexadecimal digits.
        order: Which of the orders was heard.
    """

    test: str
    listener: str
    session: str
    order: int
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Rating:
    """What a listener answered to a question.

    Args:
        score: On the scale of the question's dimension.
    """

    listener: str
    question: Question
    score: float


@dataclass(frozen=True)
class Results:
    """All ratings, each question at most once by a listener, and what had to be left out, in sentences."""

    ratings: tuple[Rating, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    """An answer as a file states it.

    Args:
        session: "" where the file has none.
    """

    test: str
    listener: str
    session: str
    trial: str
    stimulus: str
    score: str


def read_results(paths: Iterable[str | Path], key: Key) -> Results:
    """Read answers.

    Args:
        paths: Files of our page (.csv, .json), webMUSHRA's mushra.csv and lms.csv, or folders of such files.
        key: Key of the listening test.

    Returns:
        Ratings and remarks.

    Raises:
        InputFileError: in one sentence: unreadable, of another test, or an answer that the key does not know.
    """
    questions = key.by_trial()
    found: dict[tuple[str, str, str], Rating] = {}
    sessions: dict[str, str] = {}
    repeated: dict[str, None] = {}
    for path in _files(paths):
        for row in _rows(path, key):
            if row.trial == COMFORT_PAGE or row.score == NOT_RATED:
                continue
            rating = _rating(path, row, key, questions)
            place = (row.listener, row.trial, row.stimulus)
            is_other = row.session != sessions.setdefault(row.listener, row.session)
            if is_other or found.get(place, rating) != rating:
                repeated[row.listener] = None
            else:
                found[place] = rating
    warnings = [
        f"The listener code '{listener}' was used more than once; only the first answers count."
        for listener in repeated
    ]
    return Results(tuple(found.values()), tuple(warnings))


def parse_submission(data: bytes, key: Key) -> Submission:
    """Parse a listener's answers as the page sends them.

    Args:
        data: Body of a request.
        key: Key of the listening test.

    Returns:
        The answers.

    Raises:
        InputFileError: if they do not belong to this test.
    """
    try:
        submission = parse_typed(data, Submission)
    except ValueError as problem:
        raise InputFileError(f"the answers cannot be read: {problem}.") from None
    questions = key.by_trial()
    for row in _submitted(submission, key):
        _rating(Path("the submission"), row, key, questions)
    return submission


def _files(paths: Iterable[str | Path]) -> Iterator[Path]:
    for path in map(Path, paths):
        if not path.is_dir():
            yield path
            continue
        inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
        if not inside:
            raise InputFileError(f"{path} holds no answers (looked for {', '.join(SUFFIXES)}).")
        yield from inside


def _rows(path: Path, key: Key) -> Iterable[_Row]:
    if path.suffix.lower() == ".json":
        return _submitted(read_config(path, Submission, error=InputFileError), key)
    try:
        lines = list(csv.reader(io.StringIO(read_text(path), newline="")))
    except csv.Error as problem:
        raise InputFileError(f"{path} is not valid CSV: {problem}.") from None
    head = lines[0] if lines else []
    columns = next((columns for columns in _COLUMNS if set(columns) <= set(head)), None)
    if columns is None:
        raise InputFileError(
            f"{path} is no file of answers: its first line has {', '.join(head) or 'no columns'}. Known are the files "
            f"of our page and webMUSHRA's mushra.csv and lms.csv with a questionnaire field '{LISTENER_FIELD}'."
        )
    return list(_csv_rows(path, head, lines[1:], columns))


# test, listener, session ("" = none), trial, stimulus, score
_PAGE_COLUMNS = ("test", "listener", "session", "trial", "rating")
_MUSHRA_COLUMNS = ("session_test_id", LISTENER_FIELD, "session_uuid", "trial_id", "rating_stimulus", "rating_score")
_LIKERT_COLUMNS = ("session_test_id", LISTENER_FIELD, "trial_id", "stimuli", "stimuli_rating")
_COLUMNS = (_PAGE_COLUMNS, _MUSHRA_COLUMNS, _LIKERT_COLUMNS)


def _csv_rows(path: Path, head: list[str], lines: list[list[str]], columns: tuple[str, ...]) -> Iterator[_Row]:
    for number, line in enumerate(lines, start=2):
        if len(line) != len(head):
            if not line:
                continue
            raise InputFileError(f"{path} line {number} has {len(line)} cells, but the first line has {len(head)}.")
        cells = dict(zip(head, line, strict=True))
        values = [cells[name].strip() for name in columns]
        if columns is _PAGE_COLUMNS:
            test, listener, session, trial, score = values
            yield _Row(test, listener, session, trial, "", score)
        elif columns is _MUSHRA_COLUMNS:
            test, listener, _, trial, stimulus, score = values
            yield _Row(test, listener, "", trial, stimulus, score)
        else:
            test, listener, trial, stimulus, score = values
            yield _Row(test, listener, "", trial, stimulus, score)


def _submitted(submission: Submission, key: Key) -> list[_Row]:
    head = (submission.test, submission.listener.strip(), submission.session)
    return [_Row(*head, answer.trial, "", str(answer.rating)) for answer in submission.answers]


def _rating(path: Path, row: _Row, key: Key, questions: Mapping[tuple[str, str], Question]) -> Rating:
    if row.test != key.test:
        raise InputFileError(f"{path} holds answers of the test '{row.test}', but the key is of '{key.test}'.")
    if not row.listener:
        raise InputFileError(f"{path} holds answers without a listener code, so listeners cannot be distinguished.")
    question = questions.get((row.trial, row.stimulus))
    if question is None:
        what = f"{row.trial}, {row.stimulus}" if row.stimulus else row.trial
        raise InputFileError(f"{path} answers the question '{what}', which is not in the key.")
    low, high = key.limits[question.dimension]
    try:
        score = float(row.score)
    except ValueError:
        score = float("nan")
    if not low <= score <= high:
        raise InputFileError(
            f"{path} has the rating '{row.score}' for {row.trial}, but it must be from {low} to {high}."
        )
    return Rating(row.listener, question, score)


MAX_REPEAT_DIFFERENCE = 0.25
MAX_FAILED_SHARE = 0.15
MUSHRA_EXCELLENT = 90.0
MAX_SAME_SHARE = 0.9
MIN_REPEATS, MIN_ANCHORS, MIN_ANSWERS = 3, 2, 8


@dataclass(frozen=True)
class ListenerCheck:
    """What was found about one listener.

    Args:
        num_ratings: Given and asked, practice left out.
        num_questions: Given and asked, practice left out.
        repeat_difference: Mean share of the scale between repeats.
        failed_anchors: Share of prompts with the low anchor above the reference.
        same_share: See the module. Each is None without enough answers.
        reasons: Why the listener is left out, empty if not.
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
    """Share of the prompts for which `fails` (of the quality scores by condition) is true; None answers do not
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
