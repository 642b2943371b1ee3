"""From answers to a verdict: who counts, what the scores are, and how far they can be trusted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from arctone.errors import InputFileError, UsageError
from arctone.evaluation.listening.key import Key
from arctone.evaluation.listening.results import read_results
from arctone.evaluation.listening.scores import Difference, SystemScore, differences, mean_scores, score_tables
from arctone.evaluation.listening.screening import ListenerCheck, screen

TOO_FEW_LISTENERS = 8
ENOUGH_LISTENERS = 20


@dataclass(frozen=True)
class Analysis:
    """Everything that a report says. is_screened: whether listeners with reasons against them were left out."""

    key: Key
    confidence: float
    is_screened: bool
    listeners: tuple[ListenerCheck, ...]
    scores: tuple[SystemScore, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def analyse(
    paths: Iterable[str | Path], key: Key, *, keep_all: bool = False, confidence: float = 0.95, seed: int = 0
) -> Analysis:
    """Analyse the answers of a test.

    Args: paths: files or folders of answers. keep_all: count listeners who fail the screening, too. confidence: of the
    intervals, 0.5 to 0.999. seed: of the bootstrap.
    Raises: InputFileError for files that cannot be used or hold no answers; UsageError if nobody is left to be counted.
    """
    if not 0.5 <= confidence <= 0.999:
        raise UsageError(f"confidence must be from 0.5 to 0.999, got {confidence:g}.", field="confidence")
    results = read_results(paths, key)
    checks = screen(results.ratings, key)
    if not checks:
        raise InputFileError("the files hold no answers except for practice.")
    kept = {check.listener for check in checks if keep_all or not check.reasons}
    if not kept:
        reason = f"{checks[0].listener}: {'; '.join(checks[0].reasons)}"
        raise UsageError(
            f"none of the {len(checks)} listeners passes the screening (the first, {reason}); "
            "keep_all counts them all the same."
        )
    tables = score_tables([rating for rating in results.ratings if rating.listener in kept], key)
    return Analysis(
        key,
        confidence,
        not keep_all,
        tuple(checks),
        tuple(mean_scores(tables, confidence, seed)),
        tuple(differences(tables, confidence, seed)),
        (*results.warnings, *_notes(key, checks, len(kept))),
    )


def _notes(key: Key, checks: Sequence[ListenerCheck], num_kept: int) -> list[str]:
    notes = [_about_group(num_kept)] if num_kept < ENOUGH_LISTENERS else []
    if len(key.prompts) <= 5:
        lowest = 2 / 2 ** len(key.prompts)
        notes.append(f"Only {len(key.prompts)} prompts: no p value below {lowest:.2g} is possible for other prompts.")
    incomplete = [check.listener for check in checks if check.num_ratings < check.num_questions]
    if incomplete:
        notes.append(f"Not finished, counted as far as they came: {', '.join(incomplete)}.")
    if not key.has_reference:
        notes.append(
            "The test has no references and so no anchors: careless listeners show only in repeats and sameness."
        )
    if all(check.repeat_difference is None for check in checks):
        notes.append("There are too few repeats to tell whether listeners are consistent.")
    return notes


def _about_group(num_kept: int) -> str:
    if num_kept < 2:
        return "Too few listeners: one person's answers say nothing about others, so there are no intervals."
    if num_kept < TOO_FEW_LISTENERS:
        return f"Too few listeners: {num_kept} make a pilot, not a result; ask at least {ENOUGH_LISTENERS}."
    return f"A small group: {num_kept} listeners; ITU-R BS.1534-3 finds {ENOUGH_LISTENERS} often sufficient."
