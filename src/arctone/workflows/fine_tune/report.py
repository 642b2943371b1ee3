"""The page about a tuned model: what came nearer, what became of the rest, and sounds to play."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import msgspec

from arctone.evaluation.scoring.takes import Take
from arctone.files.atomic import write_atomically
from arctone.files.strict_json import write_config
from arctone.version import __version__
from arctone.workflows.fine_tune.comparing import Comparison, Number
from arctone.workflows.fine_tune.run import Settings, Tuned

PAGE, NUMBERS = "report.html", "report.json"
# Sounds of each kind that can be played on the page.
NUM_PLAYABLE = 6
# With fewer pairs an interval says too little for a sentence.
_MIN_TO_TELL = 5
_LABELS = {
    "own_floor": "your sounds to each other",
    "own_before": "made before, to your sounds",
    "own_after": "made after, to your sounds",
    "rest_other_seed": "everything else: another seed, same model",
    "rest_moved": "everything else: same seed, before to after",
}


class Numbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """report.json: everything that the page says in numbers."""

    version: str
    model: str
    steps: int
    are_apart: bool
    comparisons: list[Comparison]


def write_report(settings: Settings, tuned: Tuned, model_name: str, steps: int) -> Path:
    """Write report.html and report.json; returns the path of the page."""
    out = settings.out
    write_config(out / NUMBERS, Numbers(__version__, model_name, steps, tuned.are_apart, tuned.comparisons))
    loader = jinja2.PackageLoader("arctone.workflows.fine_tune", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=jinja2.select_autoescape(["html.jinja"]), trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("report.html.jinja").render(
        version=__version__,
        model=model_name,
        plan=settings.plan,
        source=settings.source,
        steps=steps,
        num_real=len(tuned.real),
        are_apart=tuned.are_apart,
        comparisons=[_view(one) for one in tuned.comparisons],
        own=_playable(out, tuned.made.own_before, tuned.made.own_after, tuned.real),
        rest=_playable(out, tuned.made.rest_before, tuned.made.rest_after),
    )
    write_atomically(out / PAGE, page.encode(), force=True)
    return out / PAGE


def _view(one: Comparison) -> dict[str, Any]:
    """A comparison as rows of a figure: label, number, and its place between 0 and 1."""
    numbers = {name: getattr(one, name) for name in _LABELS if getattr(one, name) is not None}
    top = max([number.high for number in numbers.values()] + [1e-6])
    rows = [(_LABELS[name], number, _places(number, top)) for name, number in numbers.items()]
    return {"comparison": one, "rows": rows, "top": top, "sentence": sentence(one)}


def sentence(one: Comparison) -> str:
    """What a comparison says, in words that hold for its intervals."""
    change = one.own_change
    if change.count < _MIN_TO_TELL:
        return f"{change.count} sounds are too few to conclude anything; --report-prompts makes more."
    own = "came nearer to your sounds" if change.high < 0 else "moved away from your sounds" if change.low > 0 else ""
    found = f"Sounds for your captions {own}" if own else "Sounds for your captions did not measurably move"
    kept = one.rest_moved.value <= one.rest_other_seed.value
    rest = "no further than another seed would move them" if kept else "further than another seed would move them"
    return f"{found}: {_text(change)}. Sounds for other prompts moved {rest}."


def _places(number: Number, top: float) -> tuple[float, float, float]:
    low, value, high = (max(0.0, part / top) for part in (number.low, number.value, number.high))
    return low, value, high


def _text(number: Number) -> str:
    return f"{number.value:+.3f} ({number.low:+.3f} to {number.high:+.3f})"


def _playable(
    out: Path, before: Sequence[Take], after: Sequence[Take], real: Sequence[Take] = ()
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Prompt, then label and path of each sound as seen from the page."""
    rows = []
    for number, (first, second) in enumerate(zip(before, after, strict=True)):
        sounds = [("before", first), ("after", second)] + ([("yours", real[number % len(real)])] if real else [])
        rows.append((first.prompt, [(label, _relative(take.path, out)) for label, take in sounds]))
    return rows[:NUM_PLAYABLE]


def _relative(path: Path, out: Path) -> str:
    return Path(os.path.relpath(path, out)).as_posix()
