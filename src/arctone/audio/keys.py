"""Keys, notes and tempi as words and as numbers.

A key has the number 1 to 12 (C to B major) or 13 to 24 (C to B minor), a note its MIDI number (60 = C4); 0 is none.
"""

from __future__ import annotations

import re

TONICS = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")
KEYS = tuple(f"{tonic} {mode}" for mode in ("major", "minor") for tonic in TONICS)

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTALS = {"": 0, "#": 1, "\u266f": 1, "sharp": 1, "b": -1, "\u266d": -1, "flat": -1}
_ACCIDENTAL = r"(?:\s?[#\u266f\u266d]|b|[\s-]?(?:sharp|flat))"
_KEY = re.compile(
    rf"(?<![\w#\u266f-])(?P<letter>[A-Ga-g])(?P<accidental>{_ACCIDENTAL})?[\s-]*(?P<mode>[Mm]ajor|[Mm]inor|[Mm]aj|[Mm]in)\b"
)
_NOTE = re.compile(r"(?<![\w#\u266f])(?P<letter>[A-G])(?P<accidental>[#b\u266f\u266d])?(?P<octave>-1|[0-8])(?![\w#-])")
_ENDS = re.compile(r"\s*(?:$|[,.;:!?)\]|/])")
_TEMPO = re.compile(r"(?<![\d.])(\d{2,3}(?:\.\d{1,3})?)\s*-?\s*(?:bpm|beats per minute)\b", re.IGNORECASE)
_RANGE = re.compile(r"(?<![\d.])(\d{2,3}(?:\.\d{1,3})?)\s*(?:-|\u2013|to|and|or|/)\s*$", re.IGNORECASE)


def key_number(name: str) -> int:
    """Return the number of a key such as "C sharp minor", "Db major" or "F# min"; 0 for anything else.

    Args:
        name: Name of one key.

    Returns:
        1 to 24, or 0.
    """
    found = _KEY.fullmatch(name.strip())
    return _number(found) if found else 0


def parse_stated_key(prompt: str) -> str | None:
    """Return the key that a prompt states, spelled as in KEYS; None where it states none, or several that differ.

    The article is no key: "a minor detail", and at the beginning of a sentence "A major explosion", state none.

    Args:
        prompt: Words of the user.

    Returns:
        The name of the key, or None.

    >>> parse_stated_key("sad violin in c# minor, 90 BPM")
    'C sharp minor'
    >>> parse_stated_key("a minor chord on a piano") is None
    True
    >>> parse_stated_key("from C major to A minor") is None
    True
    """
    found = {_number(match) for match in _KEY.finditer(prompt) if not _is_article(match, prompt)}
    return KEYS[found.pop() - 1] if len(found) == 1 else None


def note_number(name: str) -> int:
    """Return the MIDI number of a note such as "C#4", "Bb3" or "A-1"; 0 for anything else.

    Args:
        name: Name of one note with its octave; C4 is 60.

    Returns:
        0 to 127.
    """
    found = _NOTE.fullmatch(name.strip())
    return _midi(found) if found else 0


def parse_note(prompt: str) -> int:
    """Return the MIDI number of the one note that a prompt states with its octave; 0 where there is none, or several.

    Args:
        prompt: Words of the user.

    Returns:
        0 to 127.

    >>> parse_note("piano, single note, C#4")
    61
    >>> parse_note("a note on a sheet of A4 paper")
    0
    """
    found = {
        _midi(match) for match in _NOTE.finditer(prompt) if not re.match(r"\s+(?:paper|sheet)", prompt[match.end() :])
    }
    return found.pop() if len(found) == 1 else 0


def _number(match: re.Match[str]) -> int:
    minor = match["mode"].lower().startswith("min")
    return 1 + _pitch_class(match) + 12 * minor


def _midi(match: re.Match[str]) -> int:
    shift = _ACCIDENTALS[match["accidental"] or ""]
    return 12 * (int(match["octave"]) + 1) + _STEPS[match["letter"]] + shift


def _pitch_class(match: re.Match[str]) -> int:
    accidental = (match["accidental"] or "").strip(" -").lower()
    return (_STEPS[match["letter"].upper()] + _ACCIDENTALS[accidental]) % 12


def _is_article(match: re.Match[str], prompt: str) -> bool:
    """Whether the letter is the article "a": a small one, or a great one at the beginning of a sentence."""
    if match["letter"] not in "aA" or match["accidental"]:
        return False
    before = prompt[: match.start()].rstrip()
    begins = not before or before[-1] in ".!?"
    is_small = match["letter"] == "a"
    return (is_small or begins) and not _ENDS.match(prompt[match.end() :])


def parse_bpm(prompt: str, minimum: float, maximum: float) -> float | None:
    """Read the tempo that a prompt states.

    Args:
        prompt: The prompt.
        minimum: Slowest tempo that is read, in beats per minute; a slower one is left to the text encoder.
        maximum: Fastest tempo that is read.

    Returns:
        Beats per minute; None where the prompt states none, or several that differ.

    >>> parse_bpm("funky drum loop, 120 BPM", 20, 400)
    120.0
    >>> parse_bpm("from 90 bpm to 120 bpm", 20, 400) is None
    True
    >>> parse_bpm("60 to 90 BPM", 20, 400) is None
    True
    """
    matches = list(_TEMPO.finditer(prompt))
    if any(_ends_range(prompt[: match.start()], minimum, maximum) for match in matches):
        return None
    found = {float(match[1]) for match in matches}
    within = {bpm for bpm in found if minimum <= bpm <= maximum}
    return within.pop() if len(found) == len(within) == 1 else None


def _ends_range(before: str, minimum: float, maximum: float) -> bool:
    """Whether a tempo is the upper end of a range such as "60 to 90"; before: the text in front of it."""
    lower = _RANGE.search(before)
    return lower is not None and minimum <= float(lower[1]) <= maximum
