"""Prompts as file names."""

from __future__ import annotations

import re

_SLUG_LENGTH = 40


def slug(prompt: str) -> str:
    """A prompt as a file name: lower-case words joined by hyphens, at most 40 characters, never empty.

    >>> slug("Funky drum loop, 120 BPM!")
    'funky-drum-loop-120-bpm'
    """
    words = re.findall(r"\w+", prompt.lower())
    text = ""
    for word in words:
        if len(text) + len(word) + 1 > _SLUG_LENGTH:
            break
        text = f"{text}-{word}" if text else word
    return text or "sound"
