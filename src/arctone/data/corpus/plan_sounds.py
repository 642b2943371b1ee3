"""Plans of ambiences, effects, recorded notes and mixtures."""

from __future__ import annotations

from arctone.data.corpus.captions import Fields, plain
from arctone.data.corpus.draws import (
    EFFECT_ROOMS,
    MAX_SECONDS,
    MUSIC_ROOMS,
    Draw,
    clip_samples,
    clip_seconds,
    draw_pan,
    draw_peak_db,
    draw_tempo,
    draw_tonic,
    draw_variant,
)
from arctone.data.corpus.facts import attributes_of, pitch_name, room_fields
from arctone.data.corpus.music import choose
from arctone.data.corpus.performers import Performers, drawn_frame, phrase_styles
from arctone.data.corpus.plans import NotesLayer, Plan, SoundLayer
from arctone.data.corpus.recordings import Recording
from arctone.data.corpus.rooms import ROOMS
from arctone.data.corpus.sounds import DrawnSound, Sounds
from arctone.data.corpus.synonyms import STYLE_WORDS

_TIMES = {2: "twice", 3: "three times", 4: "four times"}


def plan_ambience(sounds: Sounds, rng: Draw) -> Plan:
    """One or two continuous sounds, sometimes far away."""
    layer, wordings = sounds.ambience(rng, 0.0)
    layers, seconds = [layer], rng.uniform(7.5, MAX_SECONDS)
    fields: Fields = {"sound": wordings, "plain": plain(wordings)}
    attributes = attributes_of("ambience", "ambience", sound=wordings[0])
    if rng.random() < 0.18:
        other, more = sounds.ambience(rng, rng.uniform(-8, -2))
        if not set(more) & set(wordings):
            layers.append(other)
            fields |= {"sound2": more, "plain2": plain(more)}
            attributes["sound2"] = more[0]
    far = rng.random() < 0.15
    if far:
        fields["distance"] = ("far away", "in the distance", "distant")
    room = "concert hall" if far else "dry"
    return Plan(
        "ambience", "ambience", clip_samples(seconds), tuple(layers), fields, attributes | {"room": room},
        room=room, room_variant=draw_variant(rng), peak_db=draw_peak_db(rng),
    )  # fmt: skip


def plan_effect(sounds: Sounds, rng: Draw) -> Plan:
    """An effect once or repeated, or two in a row."""
    room = choose(rng, EFFECT_ROOMS)
    drawn = sounds.effect(rng)
    if drawn.seconds < 2.5 and rng.random() < 0.22:
        return _sequence(drawn, sounds, room, rng)
    return _repeated(drawn, room, rng)


def _repeated(drawn: DrawnSound, room: str, rng: Draw) -> Plan:
    fields: Fields = {"sound": drawn.wordings, "plain": plain(drawn.wordings), **_heard_room(room)}
    times = int(rng.integers(2, 5)) if drawn.seconds < 1.5 and rng.random() < 0.3 else 1
    layer, seconds = _placed(drawn, times, room, rng)
    if times > 1:
        fields["times"] = (_TIMES[times], "repeated", f"{times} times")
    family = drawn.sound.family if isinstance(drawn.sound, Recording) else "effect"
    attributes = attributes_of("effect", family, sound=drawn.wordings[0], room=room)
    return Plan(
        "effect", "effect", clip_samples(seconds), (layer,), fields, attributes,
        room=room, room_variant=draw_variant(rng), peak_db=draw_peak_db(rng),
    )  # fmt: skip


def _placed(drawn: DrawnSound, times: int, room: str, rng: Draw) -> tuple[SoundLayer, float]:
    """The layer, and the seconds that the sound, its repetitions and the tail of the room need."""
    period = drawn.seconds + rng.uniform(0.1, 0.6)
    start = rng.uniform(0.0, 0.12) if rng.random() < 0.5 else 0.0
    tail = min(2.0, ROOMS[room].decay_seconds) + rng.uniform(0.1, 0.7)
    seconds = clip_seconds(start + (times - 1) * period + drawn.seconds + tail)
    return SoundLayer(drawn.sound, start, times, period, pan=draw_pan(rng, 0.4)), seconds


def _sequence(first: DrawnSound, sounds: Sounds, room: str, rng: Draw) -> Plan:
    second, gap = sounds.effect(rng), rng.uniform(0.05, 0.6)
    seconds = first.seconds + gap + second.seconds + rng.uniform(0.2, 0.8)
    layers = (SoundLayer(first.sound), SoundLayer(second.sound, first.seconds + gap))
    fields: Fields = {"sound": first.wordings, "sound2": second.wordings, **_heard_room(room)}
    names = {"sound": first.wordings[0], "sound2": second.wordings[0]}
    return Plan(
        "effect", "sequence", clip_samples(seconds), layers, fields,
        attributes_of("effect", "effect", **names, room=room, style="sequence"),
        room=room, room_variant=draw_variant(rng), peak_db=draw_peak_db(rng),
    )  # fmt: skip


def _heard_room(room: str) -> Fields:
    return room_fields(room) if room != "dry" else {}


def plan_recorded_note(recording: Recording, rng: Draw) -> Plan:
    """A recorded note of an instrument or a singer, or a guitar strum."""
    length = min(6.0, max(2.0, recording.seconds + rng.uniform(0.3, 1.2)))
    room = choose(rng, MUSIC_ROOMS)
    if "strum" in recording.wordings[0]:
        return _strum(recording, length, room, rng)
    fields: Fields = {"instrument": recording.wordings, "style": STYLE_WORDS["note"][:2], **room_fields(room)}
    pitch = pitch_name(recording.pitch) if recording.pitch is not None else ""
    if pitch:
        fields["pitch"] = (pitch,)
    facts = {"instrument": recording.instrument, "style": "note", "room": room, "pitch": pitch}
    return Plan(
        "note", "note", clip_samples(length), (SoundLayer(recording, rng.uniform(0.0, 0.08)),), fields,
        attributes_of("note", recording.family, **facts),
        (("style", recording.instrument, "note"), ("room", recording.instrument, room)),
        room=room, room_variant=draw_variant(rng), peak_db=draw_peak_db(rng),
    )  # fmt: skip


def _strum(recording: Recording, length: float, room: str, rng: Draw) -> Plan:
    fields: Fields = {"sound": recording.wordings, "plain": plain(recording.wordings), **_heard_room(room)}
    layer, seconds = _placed(DrawnSound(recording, recording.wordings, length), 1, room, rng)
    facts = {"sound": recording.wordings[0], "room": room, "style": "strum", "instrument": recording.instrument}
    return Plan(
        "note", "effect", clip_samples(seconds), (layer,), fields, attributes_of("note", recording.family, **facts),
        (("room", recording.instrument, room),),
        room=room, room_variant=draw_variant(rng), peak_db=draw_peak_db(rng),
    )  # fmt: skip


def plan_mixture(performers: Performers, sounds: Sounds, rng: Draw) -> Plan:
    """An effect or an instrument over an ambience."""
    seconds = rng.uniform(6.0, 10.5)
    ambience, background = sounds.ambience(rng, rng.uniform(-16, -9))
    if rng.random() < 0.5:
        return _effect_over(ambience, background, seconds, sounds.effect(rng), rng)
    return _instrument_over(ambience, background, seconds, performers, rng)


def _effect_over(
    ambience: SoundLayer, background: tuple[str, ...], seconds: float, drawn: DrawnSound, rng: Draw
) -> Plan:
    times = max(1, min(4, int((seconds - 1) / (drawn.seconds + 1.2)))) if drawn.seconds < 2 else 1
    start, period = rng.uniform(0.3, 1.2), drawn.seconds + rng.uniform(0.6, 1.4)
    front = SoundLayer(drawn.sound, start, times, period, pan=draw_pan(rng, 0.5))
    fields: Fields = {"sound": drawn.wordings, "sound2": background}
    attributes = attributes_of("mixture", "effect", sound=drawn.wordings[0], sound2=background[0])
    layers = (front, ambience)
    return Plan("mixture", "mixture", clip_samples(seconds), layers, fields, attributes, peak_db=draw_peak_db(rng))


def _instrument_over(
    ambience: SoundLayer, background: tuple[str, ...], seconds: float, performers: Performers, rng: Draw
) -> Plan:
    instrument, preset = performers.instrument(rng)
    style = choose(rng, phrase_styles(instrument))
    bpm, tonic, mode = draw_tempo(rng), draw_tonic(rng), choose(rng, ("major", "minor"))
    frame = drawn_frame(instrument, seconds, bpm, tonic, mode, rng)
    front = NotesLayer(preset.id, style, frame, pan=draw_pan(rng, 0.3))
    names = (instrument.name, *instrument.aliases)
    fields: Fields = {
        "sound": tuple(f"{name} {word}" for name in names for word in STYLE_WORDS[style][:2]),
        "sound2": background,
    }
    facts = {"instrument": instrument.name, "style": style, "sound2": background[0]}
    return Plan(
        "mixture", "mixture", clip_samples(seconds), (front, ambience), fields,
        attributes_of("mixture", instrument.family, **facts), (("style", instrument.name, style),), bpm,
        peak_db=draw_peak_db(rng),
    )  # fmt: skip
