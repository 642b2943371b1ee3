"""The answers of listeners, from the files of our page and of webMUSHRA."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from arctone.errors import InputFileError
from arctone.evaluation.listening.key import Key, Question
from arctone.evaluation.listening.webmushra import COMFORT_PAGE, LISTENER_FIELD
from arctone.files.strict_json import read_config
from arctone.files.text import parse_typed, read_text

SUFFIXES = (".csv", ".json")
NOT_RATED = "NA"


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One answer on our page. position: step of the test. plays: how often sounds were started. seconds: until the
    answer."""

    trial: str
    dimension: str
    rating: int
    practice: bool = False
    position: int = 0
    plays: int = 0
    seconds: float = 0.0


class Submission(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All answers of one listener on our page. session: 16 hexadecimal digits. order: which of the orders was heard."""

    test: str
    listener: str
    session: str
    order: int
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Rating:
    """What a listener answered to a question. score: on the scale of the question's dimension."""

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
    """An answer as a file states it. session: "" where the file has none."""

    test: str
    listener: str
    session: str
    trial: str
    stimulus: str
    score: str


def read_results(paths: Iterable[str | Path], key: Key) -> Results:
    """Read answers.

    Args: paths: files of our page (.csv, .json), webMUSHRA's mushra.csv and lms.csv, or folders of such files.
    Raises: InputFileError in one sentence: unreadable, of another test, or an answer that the key does not know.
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
    """A listener's answers as the page sends them. Raises: InputFileError if they do not belong to this test."""
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
        raise InputFileError(f"{path} holds answers without a listener code, so they cannot be told apart.")
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
