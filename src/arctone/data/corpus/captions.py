"""Captions from fields and frames."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from arctone.data.corpus.effect_names import article
from arctone.data.corpus.frames import FRAMES, HELD_OUT_FRAMES
from arctone.data.corpus.synonyms import allowed

Fields = dict[str, tuple[str, ...]]

NUM_CAPTIONS = 4
# Facts about pitch, of which a clip has at most one.
PITCH_FIELDS = ("key", "pitch")
_GROUP = re.compile(r"\[([^\]]*)\]")
_FIELD = re.compile(r"\{(\w+)\}")
_PREPOSITIONS = r"in|on|at|with|over|and|played|plays|play|playing|by|from|of|for|while|hitting|without|recorded|ending"
_NOUN_PHRASE = re.compile(rf"@a ((?:(?! (?:{_PREPOSITIONS})\b)[^,.:;@()])+)")
_PLURAL_SUBJECT = re.compile(r"(^|while )((?:(?! with ).)*?)~ plays")
_PLURAL = re.compile(
    r"(drums|chords|arpeggios|notes|percussion|stomps|stomping|strings|bells|chimes|vibes|keys|oohs|aahs|harmonics|timpani"
    r"|kettledrums|bagpipes|panpipes|horns|brass|castanets|harmonies|one-shots|whistling|hits|saxes)$"
)


def write_captions(
    frame_set: str, fields: Fields, unseen: bool, rng: np.random.Generator, pitch_share: float | None = None
) -> tuple[str, ...]:
    """NUM_CAPTIONS different captions.

    Args: frame_set: key of FRAMES. fields: options by field. unseen: use wording kept out of training. pitch_share:
    part of the captions that say the key or the pitch of a clip that has one; None leaves it to the frames.
    """
    frames = _usable((HELD_OUT_FRAMES if unseen else FRAMES)[frame_set], frozenset(fields))
    said = next((name for name in PITCH_FIELDS if name in fields), None) if pitch_share is not None else None
    captions: dict[str, None] = {}
    for attempt in range(16):
        if said is None or pitch_share is None:
            caption = _fill(frames[int(rng.integers(len(frames)))], fields, unseen, rng)
        elif rng.random() < pitch_share:
            caption = _saying(said, frames, fields, unseen, rng)
        else:
            caption = _withholding(said, frames, fields, unseen, rng)
        captions[caption if attempt < 8 else _varied(caption, attempt)] = None
        if len(captions) == NUM_CAPTIONS:
            break
    return tuple(captions)


def _saying(name: str, frames: tuple[str, ...], fields: Fields, unseen: bool, rng: np.random.Generator) -> str:
    """A caption that says the field: in a frame that has a place for it, or behind the others."""
    frame = frames[int(rng.integers(len(frames)))]
    field = f"{{{name}}}"
    if field not in frame:
        frame = f"{frame[:-1]}, {field}." if frame.endswith(".") else f"{frame}, {field}"
    opened = _GROUP.sub(lambda group: group[1] if field in group[1] else group[0], frame)
    return _fill(opened, fields, unseen, rng)


def _withholding(name: str, frames: tuple[str, ...], fields: Fields, unseen: bool, rng: np.random.Generator) -> str:
    """A caption that does not say the field."""
    left = {other: words for other, words in fields.items() if other != name}
    silent = tuple(frame for frame in frames if f"{{{name}}}" not in _GROUP.sub("", frame)) or frames[-1:]
    frame = silent[int(rng.integers(len(silent)))]
    return _fill(frame, left if f"{{{name}}}" not in _GROUP.sub("", frame) else fields, unseen, rng)


def _varied(caption: str, attempt: int) -> str:
    """Another spelling, for clips with so few facts that sentences repeat."""
    if attempt % 2:
        return caption[0].lower() + caption[1:].rstrip(".") if caption[-1:] == "." else f"{caption}."
    return caption[0].upper() + caption[1:]


@lru_cache(maxsize=512)
def _usable(frames: tuple[str, ...], present: frozenset[str]) -> tuple[str, ...]:
    needed = [(frame, set(_FIELD.findall(_GROUP.sub("", frame)))) for frame in frames]
    return tuple(frame for frame, fields in needed if fields <= present) or frames[-1:]


def _fill(frame: str, fields: Fields, unseen: bool, rng: np.random.Generator) -> str:
    chosen: dict[str, str] = {}

    def word(match: re.Match[str]) -> str:
        name = match[1]
        if name not in chosen:
            options = allowed(fields[name], unseen)
            chosen[name] = options[int(rng.integers(len(options)))]
        return chosen[name] + ("~" if _PLURAL.search(chosen[name]) else "")

    def group(match: re.Match[str]) -> str:
        keep = all(name in fields for name in _FIELD.findall(match[1])) and rng.random() < 0.55
        return match[1] if keep else ""

    text = _FIELD.sub(word, _GROUP.sub(group, frame))
    return _polished(_NOUN_PHRASE.sub(_with_article, text), sentence=frame.endswith("."))


def _with_article(match: re.Match[str]) -> str:
    phrase = match[1]
    return phrase if phrase.rstrip().endswith("~") else f"{article(phrase)} {phrase}"


def _polished(text: str, sentence: bool) -> str:
    text = _PLURAL_SUBJECT.sub(r"\1\2 play", text)
    text = re.sub(r"\s+", " ", text.replace("~", "").replace("@a ", "")).strip(" ,:")
    text = re.sub(r"\b(\w[\w'-]*) \1\b", r"\1", text)
    return text[0].upper() + text[1:] if sentence else text


def plain(phrases: tuple[str, ...]) -> tuple[str, ...]:
    """The phrases without their leading article."""
    return tuple(re.sub(r"^(a|an|the) ", "", phrase) for phrase in phrases)
