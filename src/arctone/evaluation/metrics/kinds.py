"""Kinds of effects and ambiences, and which of them a prompt asks for.

What is measured: a probe (`metrics.probe`) that was fitted to real recordings of the training split names the kind of a
sound; this module says what the right answer is.
Conventions: a prompt that names no kind, or several, is not asked about.
"""

from __future__ import annotations

import re

# Name of the kind: what stands for it in a prompt. The first that fits counts where one sound has two names ("an
# arcade sci-fi gun" is a laser and no gunshot).
_KINDS: tuple[tuple[str, str], ...] = (
    ("dog", r"\bdogs?\b|\bbark(?:s|ing)?\b|canine"),
    ("cat", r"\bcats?\b|meow"),
    ("rooster", r"rooster|cockerel"),
    ("baby", r"\bbaby\b|infant"),
    ("sneeze", r"sneez"),
    ("rain", r"\brain(?:fall)?\b|\braining\b"),
    ("sea", r"\bsea\b|\bseashore\b|\bocean\b|\bwaves\b|\bsurf\b"),
    ("fire", r"\b(?:camp|bon)?fire\b(?! spell)|\bflames\b"),
    ("clock", r"\bclocks?\b"),
    ("helicopter", r"helicopter|\bchopper\b"),
    ("chainsaw", r"chain ?saw"),
    ("footstep", r"\bfoot ?steps?\b|\bstep in\b"),
    ("laser", r"\blasers?\b|\bphaser\b|sci-fi gun"),
    ("gunshot", r"\bgun ?shots?\b|\bgun shot\b|\bcannon shot\b|\bshotgun\b|\brifle\b"),
    ("explosion", r"explo|\bblast\b"),
    ("engine", r"\bengines?\b|thruster"),
    ("glass", r"\bglass\b"),
    ("door", r"\bdoors?\b"),
    ("whoosh", r"whoosh|swoosh|\bswish\b|\bswipe\b"),
    ("water", r"\bsplash|\bliquid\b|\bviscous\b|\bbubbl|\bwater\b"),
    ("creature", r"\bcreature\b|\bmonster\b|\balien\b|\btroll\b|giant bug"),
    ("interface", r"\binterface\b|\bbeep\b"),
    ("jingle", r"\bjingle\b"),
    ("metal", r"\bmetal\b"),
    ("wood", r"\bwood(?:en)?\b|\bplank\b"),
)
KINDS = tuple(name for name, _ in _KINDS)
_PATTERNS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _KINDS)
# Where words of both kinds stand, one thing is meant: the first.
_SAME = frozenset(
    {
        ("laser", "gunshot"), ("engine", "laser"), ("gunshot", "explosion"), ("water", "sea"), ("interface", "glass"),
        ("footstep", "wood"), ("door", "wood"), ("door", "metal"), ("laser", "door"), ("footstep", "metal"),
    }
)  # fmt: skip


def kind_of(words: str) -> str | None:
    """Return the kind that words name; None where they name none, or two different things.

    Args:
        words: Prompt or caption.

    >>> kind_of("an angry growling dog")
    'dog'
    >>> kind_of("a dog barking in the rain") is None
    True
    """
    found = [name for name, pattern in _PATTERNS if pattern.search(words)]
    if len(found) == 2:
        for first, second in (found, found[::-1]):
            if (first, second) in _SAME:
                return first
    return found[0] if len(found) == 1 else None
