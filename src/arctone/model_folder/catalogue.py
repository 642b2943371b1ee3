"""Models of others that can be fetched, and under what licence: facts for people, no substitute for reading it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from arctone.errors import UsageError

T5_BASE, T5_GEMMA = "google-t5/t5-base", "google/t5gemma-b-b-ul2"


@dataclass(frozen=True)
class Fetchable:
    """A model on the hub: its place, the text encoder it reads prompts with, and what their owners ask for.

    text: taken where no text encoder lies in the place itself.
    """

    name: str
    place: str
    text: str
    summary: str
    licence: str
    terms: str
    text_licence: str = "Apache-2.0"
    # Whether it is the base model that lies next to a post-trained one.
    base: bool = False


_STABILITY = "Stability AI Community License"
_STABILITY_TERMS = (
    "Accept it on the model's page before fetching. It is no open-source licence: commercial use is tied to "
    "conditions, among them a limit on yearly revenue and an acceptable-use policy. Read it at "
    "https://stability.ai/license."
)

CATALOGUE = (
    Fetchable(
        "stable-audio-open-small",
        "stabilityai/stable-audio-open-small",
        T5_BASE,
        "sounds of up to 11.88 s in 8 steps, post-trained with ARC",
        _STABILITY,
        _STABILITY_TERMS,
    ),
    Fetchable(
        "stable-audio-open-small-base",
        "stabilityai/stable-audio-open-small",
        T5_BASE,
        "its base: sounds of up to 11.88 s in about 50 steps with guidance",
        _STABILITY,
        _STABILITY_TERMS,
        base=True,
    ),
    Fetchable(
        "stable-audio-open-1.0",
        "stabilityai/stable-audio-open-1.0",
        T5_BASE,
        "sounds of up to 47.55 s in about 100 steps with guidance",
        _STABILITY,
        _STABILITY_TERMS,
    ),
    *(
        Fetchable(
            f"stable-audio-3-{kind}",
            f"stabilityai/stable-audio-3-{kind}",
            T5_GEMMA,
            summary,
            _STABILITY,
            _STABILITY_TERMS,
            "Gemma Terms of Use; it lies in the same repository",
        )
        for kind, summary in (
            ("small-music", "music in 8 steps, post-trained"),
            ("small-music-base", "music in about 50 steps with guidance"),
            ("small-sfx", "sound effects in 8 steps, post-trained"),
            ("small-sfx-base", "sound effects in about 50 steps with guidance"),
            ("medium", "music and sounds of up to 380 s in 8 steps, post-trained; 2.4 billion weights"),
            ("medium-base", "music and sounds of up to 380 s in about 50 steps with guidance"),
        )
    ),
)


def fetchable(name: str) -> Fetchable:
    """Find an entry of the catalogue.

    Args:
        name: Its name.

    Returns:
        The entry.

    Raises:
        UsageError: If there is none, listing the names.
    """
    entries = {entry.name: entry for entry in CATALOGUE}
    if name in entries:
        return entries[name]
    near = difflib.get_close_matches(name, entries, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(entries)}."
    raise UsageError(f"{name} is not among the models that can be fetched; {hint}")
