"""The protocol of a test in words: what a paper has to say about it."""

from collections.abc import Sequence

from arctone.evaluation.listening.design import Design
from arctone.evaluation.listening.key import ANCHOR_HZ, Key
from arctone.evaluation.listening.presentation import Presentation
from arctone.evaluation.listening.scales import SCALES
from arctone.evaluation.listening.stimuli import GAP_SECONDS, TARGET_LUFS, Sound

SECONDS_PER_RATING = 6


def protocol(key: Key, design: Design, shown: Presentation, warnings: Sequence[str]) -> str:
    """Markdown: systems, prompts, levels, order, scales, what a listener does and how long it takes."""
    sections = [
        f"# {key.title}\n\nListening test {key.test}, made by arctone {key.arctone} with seed {key.seed}. "
        "This file names the systems: keep it from listeners, like key.json beside it. They get `listeners`.",
        _bullets("Systems", [f"{name}: {_conditions(name)}" for name in _all_conditions(design)]),
        _bullets("Prompts", key.prompts),
        _bullets("Sounds", _sounds(key, shown)),
        _bullets("Questions", [_question(design, shown, name) for name in design.dimensions]),
        _bullets("Order and length", _order(key, shown)),
    ]
    return "\n\n".join(sections + ([_bullets("Warnings", warnings)] if warnings else [])) + "\n"


def _all_conditions(design: Design) -> list[str]:
    return list(dict.fromkeys(name for names in design.conditions.values() for name in names))


def _conditions(name: str) -> str:
    if name in ANCHOR_HZ:
        return f"the reference through a low-pass of {ANCHOR_HZ[name] / 1000:g} kHz (ITU-R BS.1534-3), for quality only"
    return "the real sound, hidden among the others" if name == "reference" else "a system under test"


def _sounds(key: Key, shown: Presentation) -> list[str]:
    below = "" if key.loudness_lufs == TARGET_LUFS else f" (instead of {TARGET_LUFS:g}, because of one sound's peaks)"
    lines = [
        f"Every sound, references and anchors too, was brought to {key.loudness_lufs:.1f} LUFS (ITU-R BS.1770-4)"
        f"{below}; so loudness differences between the systems are not part of this test.",
        "All clips of a prompt were cut to the shortest of them, with a fade of 20 ms.",
        "44.1 kHz, stereo, 16 bit WAV, without tags, under names made by a keyed hash.",
    ]
    if any(not isinstance(stimulus, Sound) for stimulus in shown.stimuli.values()):
        lines.append(f"Clips whose diversity is judged follow each other in one file, {GAP_SECONDS:g} s apart.")
    return lines


def _question(design: Design, shown: Presentation, dimension: str) -> str:
    name = next(known for known in SCALES if known == dimension)
    scale, (low, high) = SCALES[name], shown.limits[name]
    words = "; ".join(f"{number} {word}" for number, word in enumerate(scale.words, start=1))
    answers = words if high <= len(scale.words) else f"a slider from {low} to {high}, beside the open reference"
    return f"{scale.name} ({dimension}), {len(design.conditions[name])} conditions: {scale.question} {answers}."


def _order(key: Key, shown: Presentation) -> list[str]:
    repeats = sum(question.occasion == 2 for question in key.questions)
    minutes = (shown.heard_seconds + SECONDS_PER_RATING * shown.num_ratings) / 60
    balanced = (
        "Williams squares over the listeners' numbers, the dimensions in rotation"
        if key.kind == "page"
        else "drawn by webMUSHRA for each listener: the dimensions, the pages of each, the sounds of each page"
    )
    return [
        f"Order: {balanced}.",
        f"{shown.num_ratings} ratings by each listener, of which {repeats} are repeats that measure consistency and "
        f"{sum(question.is_practice for question in key.questions)} are practice that does not count.",
        f"About {minutes:.0f} minutes, if each sound is heard once and a rating takes {SECONDS_PER_RATING} s.",
    ]


def _bullets(title: str, lines: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines)
