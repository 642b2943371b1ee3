"""Version 2 of the corpus: plans of version 1, revised, and single drum strokes.

A quarter of the clips last less than two seconds, from 0.2 s on; single sounds begin within 20 ms; every clip ends in
a fade or digital silence; recordings come at other pitches, lengths and brightness. The held-out lists are those of
version 1: a revision changes neither instruments, styles, genres, tempi nor sources.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from arctone.data.corpus.captions import Fields
from arctone.data.corpus.draws import EFFECT_ROOMS, Draw, draw_pan, draw_peak_db, draw_variant
from arctone.data.corpus.drums import GENERAL_MIDI_NOTES, Kit
from arctone.data.corpus.effect_names import with_article
from arctone.data.corpus.instruments import SYNTH
from arctone.data.corpus.library import FontSound, Library
from arctone.data.corpus.music import choose
from arctone.data.corpus.performers import length_factor
from arctone.data.corpus.planner import Planner
from arctone.data.corpus.plans import (
    SAMPLE_RATE,
    Layer,
    NotesLayer,
    Plan,
    SoundLayer,
    attributes_of,
    pitch_name,
    room_fields,
)
from arctone.data.corpus.recordings import Recording
from arctone.data.corpus.rooms import ROOMS
from arctone.data.corpus.tones import Sounds

# Parts per thousand.
SECOND_SHARES: dict[str, int] = {
    "note": 190,
    "phrase": 220,
    "duet": 65,
    "drums": 115,
    "music": 115,
    "ambience": 65,
    "effect": 180,
    "mixture": 50,
}
# Part of the captions that say the key or the pitch of a clip that has one.
PITCH_SHARE = 0.5
SHORTEST_SECONDS, SHORT_SECONDS = 0.2, 1.95
_SHORT_NOTES, _SHORT_EFFECTS, _SHORT_AMBIENCES = 0.66, 0.65, 0.12
_STROKE_SHARE, _LAYERED_SHARE = 0.15, 0.25
_LOOP_FADE_SECONDS = 0.03
_BARRED = ("riff", "arpeggio", "chords", "ostinato", "melody")
_STROKE_WORDS = {
    "kick": ("kick drum", "bass drum"),
    "snare": ("snare drum", "snare hit"),
    "rim": ("rim shot", "rim click"),
    "clap": ("clap", "hand clap"),
    "closed hat": ("closed hi-hat", "hi-hat"),
    "open hat": ("open hi-hat",),
    "ride": ("ride cymbal",),
    "crash": ("crash cymbal", "cymbal crash"),
    "low tom": ("low tom", "floor tom"),
    "high tom": ("high tom",),
    "cowbell": ("cowbell",),
    "tambourine": ("tambourine",),
    "shaker": ("shaker",),
    "high conga": ("high conga",),
    "low conga": ("low conga",),
    "claves": ("claves",),
}


class SecondPlanner(Planner):
    """Plans clips of version 2 from what a library holds."""

    def __init__(self, library: Library) -> None:
        super().__init__(library)
        self._library, self._sounds = library, Sounds(library)
        self._planners["effect"] = self._effect
        self._planners["mixture"] = self._mixture
        self._first_effect, self._first_mixture = (
            Planner(library)._planners["effect"],
            Planner(library)._planners["mixture"],
        )

    def plan(self, category: str, rng: Draw) -> Plan:
        """One random plan, revised."""
        return revised(super().plan(category, rng), rng)

    def _effect(self, rng: Draw) -> Plan:
        return self._stroke(rng) if rng.random() < _STROKE_SHARE else self._first_effect(rng)

    def _mixture(self, rng: Draw) -> Plan:
        return self._layered(rng) if rng.random() < _LAYERED_SHARE else self._first_mixture(rng)

    def _stroke(self, rng: Draw) -> Plan:
        """One stroke of a piece of a drum kit."""
        kits = [kit for kit in self._library.kits if not kit.genres]
        kit = kits[int(rng.integers(len(kits)))]
        sound, piece = self._stroke_sound(kit, rng)
        names = _STROKE_WORDS[piece]
        plain_words = (*names, *(f"{kit.name} {word}" for word in names))
        fields: Fields = {"sound": tuple(with_article(words) for words in plain_words), "plain": plain_words}
        room = choose(rng, EFFECT_ROOMS[:4])
        return Plan(
            "effect", "effect", round(rng.uniform(0.25, 1.4) * SAMPLE_RATE),
            (SoundLayer(sound, pan=draw_pan(rng, 0.2)),),
            fields | _effect_room(room), attributes_of("effect", "drums", sound=names[0], kit=kit.name, room=room),
            room=room, room_variant=draw_variant(rng), peak_db=draw_peak_db(rng),
        )  # fmt: skip

    def _stroke_sound(self, kit: Kit, rng: Draw) -> tuple[Recording | FontSound | str, str]:
        if kit.sampled:
            recordings = [r for r in self._library.strokes[kit.sampled] if r.piece in _STROKE_WORDS]
            recording = recordings[int(rng.integers(len(recordings)))]
            return recording, recording.piece
        presets, piece = self._library.kit_presets(kit), choose(rng, tuple(_STROKE_WORDS))
        font, _, number = presets[int(rng.integers(len(presets)))].partition("/")
        bank, _, program = number.partition(":")
        if font == SYNTH:
            return f"STROKES/{program}:{piece}", piece
        pitch = GENERAL_MIDI_NOTES[piece]
        return FontSound(font, int(bank), int(program), (_STROKE_WORDS[piece][0],), "effect", pitch, 0.3), piece

    def _layered(self, rng: Draw) -> Plan:
        """Two effects at once, the second one quieter."""
        first, second = self._sounds.effect(rng), self._sounds.effect(rng)
        seconds = max(0.5, min(8.0, max(first.seconds, second.seconds) + rng.uniform(0.2, 0.6)))
        late = rng.uniform(0.0, max(0.0, min(1.0, seconds - second.seconds)))
        layers = (
            SoundLayer(first.sound, pan=draw_pan(rng, 0.4)),
            SoundLayer(second.sound, late, gain_db=rng.uniform(-9, -3), pan=draw_pan(rng, 0.4)),
        )
        fields: Fields = {"sound": first.wordings, "sound2": second.wordings}
        names = {"sound": first.wordings[0], "sound2": second.wordings[0]}
        return Plan(
            "mixture", "mixture", round(seconds * SAMPLE_RATE), layers, fields,
            attributes_of("mixture", "effect", **names), peak_db=draw_peak_db(rng),
        )  # fmt: skip


def revised(plan: Plan, rng: Draw) -> Plan:
    """A plan of version 1 with the lengths, ends and variations of version 2."""
    if plan.category in ("drums", "music", "duet") or (
        plan.attributes.get("style") in _BARRED and len(plan.layers) == 1
    ):
        return replace(plan, fade_seconds=_LOOP_FADE_SECONDS)
    if plan.category == "phrase":
        return replace(plan, trimmed=True, fade_seconds=rng.uniform(0.08, 0.5))
    if plan.category in ("ambience", "mixture"):
        return _background(plan, rng)
    if len(plan.layers) > 1 or (isinstance(plan.layers[0], SoundLayer) and plan.layers[0].times > 1):
        return replace(plan, trimmed=True, fade_seconds=rng.uniform(0.05, 0.25))
    return _note(plan, rng) if isinstance(plan.layers[0], NotesLayer) else _sound(plan, rng)


def draw_short(rng: Draw, low: float = SHORTEST_SECONDS) -> float:
    """Seconds below two, as many in each octave."""
    return float(np.exp(rng.uniform(np.log(low), np.log(SHORT_SECONDS))))


def _background(plan: Plan, rng: Draw) -> Plan:
    """An ambience or a mixture: varied recordings, a fade, now and then a short one."""
    layers = tuple(_varied_layer(layer, rng) if isinstance(layer, SoundLayer) else layer for layer in plan.layers)
    num_samples = plan.num_samples
    if plan.category == "ambience" and rng.random() < _SHORT_AMBIENCES:
        num_samples = round(draw_short(rng, 0.3) * SAMPLE_RATE)
    seconds = num_samples / SAMPLE_RATE
    fade = min(rng.uniform(0.1, 0.8), 0.25 * seconds)
    return replace(plan, layers=layers, num_samples=num_samples, fade_seconds=fade)


def _note(plan: Plan, rng: Draw) -> Plan:
    """A note of a soundfont or of our own synthesis: short three times in five, and released before its end."""
    layer = plan.layers[0]
    assert isinstance(layer, NotesLayer)
    if rng.random() >= _SHORT_NOTES:
        return replace(plan, trimmed=True, fade_seconds=rng.uniform(0.1, 0.4))
    seconds = draw_short(rng)
    # The frame's seconds are how long the key is held; what is left is for the release.
    frame = replace(layer.frame, seconds=seconds * rng.uniform(0.5, 0.85))
    return replace(
        _dry(plan), num_samples=round(seconds * SAMPLE_RATE), layers=(replace(layer, frame=frame),), trimmed=True,
        fade_seconds=seconds * rng.uniform(0.15, 0.4),
    )  # fmt: skip


def _sound(plan: Plan, rng: Draw) -> Plan:
    """One effect, recorded note or strum: varied, from its first moment, as long as it sounds or shorter."""
    layer = plan.layers[0]
    assert isinstance(layer, SoundLayer)
    plan, layer = _varied_sound(plan, replace(layer, start_seconds=0.0), rng)
    whole = _sounding_seconds(layer, plan) * length_factor(layer.semitones, layer.stretch)
    if whole < SHORT_SECONDS and rng.random() < 0.8:
        seconds = max(SHORTEST_SECONDS, whole + rng.uniform(0.03, 0.2))
    elif rng.random() < _SHORT_EFFECTS:
        seconds = draw_short(rng, 0.3)
    else:
        return replace(plan, layers=(layer,), trimmed=True, fade_seconds=rng.uniform(0.05, 0.3))
    plan = _dry(plan) if ROOMS[plan.room].decay_seconds > 0.5 else plan
    fade = min(seconds * rng.uniform(0.1, 0.3), 0.25)
    return replace(plan, layers=(layer,), num_samples=round(seconds * SAMPLE_RATE), trimmed=True, fade_seconds=fade)


def _varied_sound(plan: Plan, layer: SoundLayer, rng: Draw) -> tuple[Plan, SoundLayer]:
    """A recorded note moves by whole semitones and says its new pitch; a strum, which names its chord, by none."""
    sound = layer.sound
    if not isinstance(sound, Recording) or plan.category != "note":
        return plan, _varied_layer(layer, rng)
    varied = _varied_layer(layer, rng)
    if "strum" in sound.wordings[0]:
        return plan, replace(varied, semitones=0.0)
    steps = int(rng.integers(-4, 5)) if rng.random() < 0.6 else 0
    if sound.pitch is not None:
        pitch = pitch_name(sound.pitch + steps)
        words = (pitch, pitch.rstrip("-0123456789"))
        plan = replace(plan, fields=plan.fields | {"pitch": words}, attributes=plan.attributes | {"pitch": pitch})
    return plan, replace(varied, semitones=float(steps))


def _varied_layer(layer: SoundLayer, rng: Draw) -> SoundLayer:
    """A recording at another pitch every second time, another length every fourth, another brightness two in five."""
    semitones = rng.uniform(-5.0, 5.0) if rng.random() < 0.5 else 0.0
    stretch = rng.uniform(0.75, 1.35) if rng.random() < 0.25 else 1.0
    tilt_db = rng.uniform(-6.0, 6.0) if rng.random() < 0.4 else 0.0
    if isinstance(layer.sound, Recording):
        return replace(layer, semitones=semitones, stretch=stretch, tilt_db=tilt_db)
    if isinstance(layer.sound, FontSound) and layer.sound.bank != 128:
        return replace(layer, sound=replace(layer.sound, pitch=layer.sound.pitch + round(semitones)))
    return layer


def _sounding_seconds(layer: Layer, plan: Plan) -> float:
    """How long the sound of a layer is, before it is varied."""
    sound = layer.sound if isinstance(layer, SoundLayer) else ""
    return min(sound.seconds, 8.0) if isinstance(sound, Recording | FontSound) else plan.num_samples / SAMPLE_RATE


def _dry(plan: Plan) -> Plan:
    """The plan without its room, whose tail a short clip would cut."""
    fields = {name: words for name, words in plan.fields.items() if name not in ("room", "in_room")}
    fields |= room_fields("dry") if plan.category == "note" and "instrument" in plan.fields else {}
    pairs = tuple((kind, first, "dry" if kind == "room" else second) for kind, first, second in plan.pairs)
    return replace(plan, room="dry", fields=fields, pairs=pairs, attributes=plan.attributes | {"room": "dry"})


def _effect_room(room: str) -> Fields:
    return room_fields(room) if room != "dry" else {}
