"""Captions of corpus clips: sentence frames filled with the facts of a plan."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from arctone.data.corpus.effect_names import article
from arctone.data.corpus.synonyms import allowed

FRAMES: dict[str, tuple[str, ...]] = {
    "note": (
        "{instrument}, {style}[, {pitch}][, {dynamics}][, {room}]",
        "{instrument} {style}[, {register}][, {room}]",
        "{instrument}[, {pitch}], {style}",
        "@a [{dynamics} ]{instrument} {style}[ {in_room}]",
        "@a [{register} ]{style} on @a {instrument}[ {in_room}]",
        "@a single {instrument} {style}[, {pitch}]",
        "@a [{dynamics} ][{register} ]{instrument} {style}",
        "Someone plays @a [{register} ]{style} on @a {instrument}[ {in_room}].",
        "@a {instrument} plays @a [{dynamics} ]{style}[ at {pitch}].",
        "You hear one [{dynamics} ]{instrument} {style}[ {in_room}].",
        "One-shot: {instrument}, {style}[, {pitch}][, {room}].",
        "{instrument} sample, {style}[, {pitch}][, {dynamics}]",
        "{instrument}",
    ),
    "phrase": (
        "{instrument}, {style}[, {key}][, {tempo}][, {room}]",
        "{instrument} {style}[, {mood}][, {key}][, {tempo}]",
        "{instrument}[, {mood}], {style}[, {tempo}]",
        "{mood} {instrument} {style}[, {tempo}]",
        "@a [{mood} ]{instrument} {style}[ in {key}][, {tempo}]",
        "@a [{dynamics} ]{instrument} {style}[ {in_room}]",
        "@a [{pace} ]{style} on @a {instrument}[ in {key}]",
        "solo {instrument} playing @a [{pace} ]{style}[ {in_room}]",
        "Someone plays @a [{mood} ]{style} on @a {instrument}[ in {key}].",
        "@a {instrument} plays @a [{pace} ]{style}[ {in_room}].",
        "Solo {instrument}: [{mood} ]{style}[, {key}][, {tempo}][, {room}].",
        "{instrument} {style}[ in {key}]",
        "{tempo}, {instrument} {style}[, {key}]",
        "Recording of @a solo {instrument}, [{dynamics} ]{style}[, {room}].",
    ),
    "duet": (
        "{instrument} {style}, {instrument2} {style2}[, {key}][, {tempo}][, {room}]",
        "{instrument} and {instrument2}[, {key}][, {tempo}]",
        "@a [{mood} ]duet for {instrument} and {instrument2}[, {tempo}]",
        "@a [{mood} ]{instrument} {style} over {instrument2} {style2}[ in {key}]",
        "{instrument} {style} with {instrument2} {style2}[ {in_room}]",
        "@a {instrument} playing @a {style} over @a {instrument2}",
        "@a {instrument} plays @a {style} while @a {instrument2} plays {style2}[ in {key}].",
        "{instrument} and {instrument2} play together[ {in_room}][, {tempo}].",
        "Two instruments: {instrument} ({style}) and {instrument2} ({style2})[, {key}].",
        "{mood} {instrument} and {instrument2}[, {key}][, {tempo}]",
        "{instrument} lead over {instrument2}[, {mood}][, {tempo}][, {room}]",
        "duet, {instrument}, {instrument2}[, {mood}][, {key}]",
        "[{tempo}: ]{instrument} with {instrument2} accompaniment[, {key}].",
    ),
    "drums": (
        "{genre} {beat}, {tempo}[, {kit}][, {room}]",
        "{genre} {beat}[, {tempo}]",
        "drums, {genre}[, {kit}][, {tempo}]",
        "{kit}, {genre} {beat}[, {tempo}][, {room}]",
        "@a [{pace} ]{genre} {beat}[ on @a {kit}][, {tempo}]",
        "@a {genre} {beat} at {bpm} BPM[, {kit}]",
        "@a [{pace} ]{genre} {beat}[ {fill}]",
        "{genre} {beat} played on @a {kit}[ {in_room}]",
        "@a drummer plays @a [{pace} ]{genre} {beat}[ on @a {kit}][ {fill}].",
        "@a {kit} plays @a {genre} {beat}[ at {bpm} BPM].",
        "Drum loop, {bpm} BPM: {genre}[, {kit}][, {room}].",
        "{bpm} BPM {genre} {beat}[, {kit}]",
        "Loop: {genre} drums[, {kit}][, {tempo}][, {fill}].",
        "{genre} drums[, {tempo}]",
    ),
    "music": (
        "{genre} {loop}, {instrument}[, {instrument2}][, {key}][, {tempo}]",
        "[{mood} ]{genre} {loop} with {instrument}[ and {instrument2}][, {tempo}]",
        "{genre}, {instrument}, {instrument2}[, {kit}][, {tempo}][, {key}]",
        "@a [{mood} ]{genre} {loop} with @a {instrument}[, {tempo}]",
        "@a {genre} {loop} at {bpm} BPM[ in {key}], {instrument}[ and {instrument2}]",
        "@a [{pace} ]{genre} {loop} with {instrument}, {instrument2}[ and {kit}]",
        "{instrument} and {instrument2} over @a {genre} beat[, {tempo}][, {key}]",
        "@a band plays @a [{mood} ]{genre} {loop} with {instrument} and {instrument2}[ in {key}].",
        "@a {genre} band with {instrument}[ and {instrument2}][ plays at {bpm} BPM].",
        "Loop, {bpm} BPM[, {key}]: {genre}, {instrument}[, {instrument2}][, {kit}].",
        "{mood} {genre} {loop}, {instrument}[, {tempo}]",
        "{bpm} BPM {genre} {loop}[ in {key}] with {instrument}",
        "{genre} music, {instrument}[, {instrument2}][, {mood}][, {tempo}]",
        "{instrument} with bass and drums[, {genre}][, {tempo}][, {key}]",
    ),
    "ambience": (
        "{sound}[, {sound2}], ambience[, {distance}]",
        "{sound}[ and {sound2}]",
        "{sound}[, background]",
        "{sound}, field recording[, {distance}]",
        "the sound of {sound}[ and {sound2}]",
        "ambience of {sound}[ with {sound2}]",
        "{sound}[ with {sound2}][ {distance}]",
        "continuous {plain}[ and {plain2}]",
        "You hear {sound}[ and {sound2}].",
        "There is {sound}[ with {sound2} in the background].",
        "Ambience: {sound}[, {sound2}].",
        "Background atmosphere, {sound}[, {distance}].",
        "relaxing background of {sound}",
    ),
    "effect": (
        "{sound}[, {room}]",
        "{sound}[, {times}]",
        "{sound}, sound effect[, {room}]",
        "{plain} sound effect[, {times}]",
        "{sound}[ {in_room}]",
        "the sound of {sound}[ {in_room}]",
        "{sound}[, {times}][ {in_room}]",
        "{plain} sound[, {room}]",
        "You hear {sound}[, {times}].",
        "There is {sound}[ {in_room}].",
        "Sound effect: {sound}[, {times}][, {room}].",
        "Effect, {plain}[, {times}].",
        "{plain}",
    ),
    "sequence": (
        "{sound} then {sound2}",
        "{sound}, then {sound2}[, {room}]",
        "{sound} followed by {sound2}",
        "{sound}, followed by {sound2}[ {in_room}]",
        "first {sound}, then {sound2}",
        "{sound} and then {sound2}",
        "{sound}, {sound2}, in this order",
        "You hear {sound} and then {sound2}.",
        "There is {sound}, followed by {sound2}.",
        "First comes {sound}, then {sound2}.",
        "Sound effects: {sound}, then {sound2}.",
        "Two sounds: {sound}; {sound2}.",
    ),
    "mixture": (
        "{sound}, {sound2}",
        "{sound}, {sound2} in the background",
        "{sound}, background of {sound2}",
        "{sound} with {sound2}",
        "{sound} with {sound2} in the background",
        "{sound} over {sound2}",
        "{sound} while there is {sound2}",
        "{sound2}, and {sound} on top",
        "You hear {sound} over {sound2}.",
        "There is {sound2} in the background and {sound} in front.",
        "Scene: {sound2} with {sound}.",
        "Foreground: {sound}. Background: {sound2}.",
        "{sound} and {sound2}",
    ),
}

# Only in captions of test clips with the rule unseen_wording.
HELD_OUT_FRAMES: dict[str, tuple[str, ...]] = {
    "note": (
        "just @a {instrument} hitting one {style}[ {in_room}]",
        "give me @a [{dynamics} ]{style} from @a {instrument}",
    ),
    "phrase": (
        "I want @a [{mood} ]{style} performed by @a {instrument}[, {tempo}]",
        "{style} performed by solo {instrument}[ {in_room}]",
    ),
    "duet": (
        "{instrument} in dialogue with {instrument2}[, {tempo}]",
        "make {instrument} and {instrument2} play in {key}",
    ),
    "drums": ("percussion track in {genre} style[, {tempo}][, {kit}]", "lay down @a {genre} rhythm at {bpm} BPM"),
    "music": (
        "an instrumental in {genre} style featuring {instrument}[, {tempo}]",
        "combo of {instrument} and {instrument2}, {genre} feel",
    ),
    "ambience": ("somewhere there is {sound}[ and {sound2}]", "soundscape featuring {sound}"),
    "effect": ("a recording where one can hear {sound}", "foley: {plain}[, {times}]"),
    "sequence": ("{sound}, after that {sound2}", "start with {sound} and end with {sound2}"),
    "mixture": ("a scene in which {sound} is heard among {sound2}", "{sound2} behind {sound}"),
}


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
    """Write NUM_CAPTIONS different captions.

    Args:
        frame_set: Key of FRAMES.
        fields: Options by field.
        unseen: Use wording kept out of training.
        rng: Source of the random draws.
        pitch_share: Part of the captions that say the key or the pitch of a clip that has one; None leaves it to the
            frames.

    Returns:
        The captions, the main one first.
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
