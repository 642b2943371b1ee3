"""Tempo that a prompt states in figures."""

from __future__ import annotations

import re

_TEMPO = re.compile(r"(?<![\d.])(\d{2,3}(?:\.\d{1,3})?)\s*-?\s*(?:bpm|beats per minute)\b", re.IGNORECASE)


def stated_bpm(prompt: str, minimum: float, maximum: float) -> float | None:
    """The tempo in beats per minute that a prompt gives, or None where it gives none, or several that differ.

    A number outside minimum to maximum is left to the words.

    >>> stated_bpm("funky drum loop, 120 BPM", 20, 400)
    120.0
    >>> stated_bpm("from 90 bpm to 120 bpm", 20, 400) is None
    True
    """
    found = {float(number) for number in _TEMPO.findall(prompt)}
    within = {bpm for bpm in found if minimum <= bpm <= maximum}
    return within.pop() if len(found) == len(within) == 1 else None
