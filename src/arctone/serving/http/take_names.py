"""File names of takes: the prompt's first words and the seed, safe on every system."""

from __future__ import annotations

import re

_WORDS_LENGTH = 40


def take_name(prompt: str, seed: int, format: str) -> str:
    """A speaking file name.

    >>> take_name("Funky drum loop, 120 BPM!", 7, "wav")
    'funky-drum-loop-120-bpm-7.wav'
    >>> take_name("../../etc/passwd", 1, "flac")
    'etc-passwd-1.flac'
    """
    text = ""
    for word in re.findall(r"\w+", prompt.lower()):
        if len(text) + len(word) + 1 > _WORDS_LENGTH:
            break
        text = f"{text}-{word}" if text else word
    return f"{text or 'sound'}-{seed}.{format}"
