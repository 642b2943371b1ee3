"""Draw the plan of a clip: music, single notes, effects and ambiences."""

from __future__ import annotations

from collections.abc import Callable

from arctone.data.corpus.captions import Fields, plain
from arctone.data.corpus.draws import (
    BAND_ROOMS,
    DRUM_ROOMS,
    EFFECT_ROOMS,
    MAX_SECONDS,
    MODES,
    MUSIC_ROOMS,
    Draw,
    bars_seconds,
    clip_samples,
    clip_seconds,
    draw_bass_feel,
    draw_degrees,
    draw_genre_tempo,
    draw_pan,
    draw_peak_db,
    draw_tempo,
    draw_tonic,
    draw_variant,
    fitting_bars,
    loop_samples,
)
from arctone.data.corpus.drums import genres
from arctone.data.corpus.library import Library
from arctone.data.corpus.music import choose, tempo_word
from arctone.data.corpus.performers import (
    BACKING_FAMILIES,
    LEAD_FAMILIES,
    MELODIC_STYLES,
    Choice,
    Performers,
    drawn_frame,
    list_shared_styles,
    phrase_styles,
)
from arctone.data.corpus.plans import (
    UNTIMED_STYLES,
    Layer,
    NotesLayer,
    Plan,
    SoundLayer,
    attributes_of,
    genre_fields,
    is_unpitched,
    key_attributes,
    key_name,
    music_fields,
    note_facts,
    pair_fields,
    phrase_facts,
    pitch_name,
    played_fields,
    register_of,
    room_fields,
    tempo_fields,
)
from arctone.data.corpus.recordings import Recording
from arctone.data.corpus.rooms import ROOMS
from arctone.data.corpus.synonyms import BEAT_WORDS, FILL_WORDS, LOOP_WORDS, STYLE_WORDS
from arctone.data.corpus.tones import DrawnSound, Sounds

_BARRED_STYLES = ("riff", "arpeggio", "chords", "ostinato", "melody")


def plan_note(performers: Performers, rng: Draw) -> Plan:
    """One note of one instrument."""
    choice = performers.instrument(rng)
    return _played(choice, "note" if rng.random() < 0.78 else "staccato", "note", rng)


def plan_phrase(performers: Performers, rng: Draw) -> Plan:
    """One instrument in one style."""
    choice = performers.instrument(rng)
    return _played(choice, choose(rng, phrase_styles(choice[0])), "phrase", rng)


def _played(choice: Choice, style: str, category: str, rng: Draw) -> Plan:
    (instrument, preset), is_phrase = choice, category == "phrase"
    bpm, tonic, mode = draw_tempo(rng), draw_tonic(rng), choose(rng, MODES)
    seconds = rng.uniform(3.5, 10.5) if is_phrase else rng.uniform(2.0, 5.2)
    if style in _BARRED_STYLES:
        seconds = bars_seconds(bpm, seconds)
    frame = drawn_frame(instrument, seconds, bpm, tonic, mode, rng)
    room, key = choose(rng, MUSIC_ROOMS), key_name(tonic, mode)
    facts = {"instrument": instrument.name, "style": style, "room": room}
    facts |= {"dynamics": frame.dynamics, "register": register_of(frame)}
    more = phrase_facts(instrument, style, frame, key) if is_phrase else note_facts(instrument, frame)
    return Plan(
        category, "phrase" if is_phrase else "note", clip_samples(seconds),
        (NotesLayer(preset.id, style, frame, pan=draw_pan(rng, 0.15)),),
        played_fields(instrument, style, frame, room) | more[0],
        attributes_of(category, instrument.family, **facts) | more[1],
        (("style", instrument.name, style), ("room", instrument.name, room)),
        bpm if is_phrase and style not in UNTIMED_STYLES else None,
        key if is_phrase and not is_unpitched(instrument) else None,
        room, draw_variant(rng), draw_peak_db(rng),
    )  # fmt: skip


def plan_duet(performers: Performers, rng: Draw) -> Plan:
    """A melodic instrument over another one's chords."""
    lead, lead_preset = performers.instrument(rng, LEAD_FAMILIES)
    backing, backing_preset = performers.instrument(rng, BACKING_FAMILIES, polyphonic=True)
    bpm, tonic, mode = draw_tempo(rng), draw_tonic(rng), choose(rng, ("major", "minor"))
    seconds, room = bars_seconds(bpm, rng.uniform(6.0, 11.0)), choose(rng, MUSIC_ROOMS)
    degrees = draw_degrees(mode, rng)
    style = choose(rng, list_shared_styles(lead, MELODIC_STYLES))
    style2 = choose(rng, ("chords", "chords", "arpeggio"))
    frames = [drawn_frame(i, seconds, bpm, tonic, mode, rng, degrees) for i in (lead, backing)]
    key, pan = key_name(tonic, mode), draw_pan(rng, 0.5)
    layers = (
        NotesLayer(lead_preset.id, style, frames[0], 0.0, pan),
        NotesLayer(backing_preset.id, style2, frames[1], rng.uniform(-9, -3), -pan),
    )
    fields = pair_fields(lead, backing) | music_fields(key, bpm, mode) | room_fields(room)
    fields |= {"style": STYLE_WORDS[style], "style2": STYLE_WORDS[style2]}
    facts = {"instrument": lead.name, "instrument2": backing.name, "style": style, "room": room}
    pairs = (
        ("style", lead.name, style), ("style", backing.name, style2),
        ("room", lead.name, room), ("room", backing.name, room),
    )  # fmt: skip
    return Plan(
        "duet", "duet", clip_samples(seconds), layers, fields,
        attributes_of("duet", lead.family, **facts) | key_attributes(key, bpm),
        pairs, bpm, key, room, draw_variant(rng), draw_peak_db(rng),
    )  # fmt: skip


def plan_drums(performers: Performers, rng: Draw) -> Plan:
    """A drum loop of whole bars."""
    genre = choose(rng, genres())
    kit = performers.kit(genre, rng)
    bpm = draw_genre_tempo(genre, rng)
    num_bars = fitting_bars(bpm, rng.uniform(4.0, 11.0))
    fill, room = bool(rng.random() < 0.22), choose(rng, DRUM_ROOMS)
    layer = performers.drum_layer(kit, genre, bpm, num_bars, fill, 0.0, rng)
    fields = genre_fields(genre, kit) | {"beat": BEAT_WORDS} | room_fields(room) | tempo_fields(bpm)
    if fill:
        fields["fill"] = FILL_WORDS
    facts = {"genre": genre, "kit": kit.name, "room": room, "bpm": str(bpm), "tempo": tempo_word(bpm)}
    return Plan(
        "drums", "drums", loop_samples(num_bars, bpm), (layer,), fields, attributes_of("drums", "drums", **facts),
        (("genre", kit.name, genre),), bpm, None, room, draw_variant(rng), draw_peak_db(rng),
    )  # fmt: skip


def plan_music(performers: Performers, rng: Draw) -> Plan:
    """Drums, bass, chords and, two times in three, a lead: whole bars."""
    genre = choose(rng, tuple(g for g in genres() if g != "march"))
    kit = performers.kit(genre, rng)
    bpm, tonic, mode = draw_genre_tempo(genre, rng), draw_tonic(rng), choose(rng, ("major", "minor"))
    num_bars, room = fitting_bars(bpm, rng.uniform(6.5, 11.6)), choose(rng, BAND_ROOMS)
    bass, bass_preset = performers.instrument(rng, ("bass",))
    backing, backing_preset = performers.instrument(rng, BACKING_FAMILIES, polyphonic=True)
    lead, lead_preset = performers.instrument(rng, LEAD_FAMILIES)
    has_lead = bool(rng.random() < 0.65)
    style, feel = choose(rng, list_shared_styles(lead, MELODIC_STYLES)), draw_bass_feel(genre, rng)
    degrees, seconds = draw_degrees(mode, rng), num_bars * 240.0 / bpm
    frames = [drawn_frame(i, seconds, bpm, tonic, mode, rng, degrees) for i in (bass, backing, lead)]
    drums = performers.drum_layer(kit, genre, bpm, num_bars, bool(rng.random() < 0.15), rng.uniform(-3, 1), rng)
    low = NotesLayer(bass_preset.id, f"bass:{feel}", frames[0], rng.uniform(-3, 0))
    style2 = choose(rng, ("chords", "arpeggio"))
    chords = NotesLayer(backing_preset.id, style2, frames[1], rng.uniform(-9, -4), draw_pan(rng, 0.4))
    layers: tuple[Layer, ...] = (drums, low, chords)
    pairs = [("genre", kit.name, genre), ("style", backing.name, style2)]
    first, second = (lead, backing) if has_lead else (backing, bass)
    if has_lead:
        layers += (NotesLayer(lead_preset.id, style, frames[2], rng.uniform(-4, 1), draw_pan(rng, 0.3)),)
        pairs.append(("style", lead.name, style))
    pairs += [("room", first.name, room), ("room", second.name, room)]
    key = key_name(tonic, mode)
    fields = pair_fields(first, second) | music_fields(key, bpm, mode) | room_fields(room) | genre_fields(genre, kit)
    facts = {"instrument": first.name, "instrument2": second.name, "genre": genre, "kit": kit.name, "room": room}
    return Plan(
        "music", "music", loop_samples(num_bars, bpm), layers, fields | {"loop": LOOP_WORDS},
        attributes_of("music", first.family, **facts) | key_attributes(key, bpm),
        tuple(pairs), bpm, key, room, draw_variant(rng), draw_peak_db(rng),
    )  # fmt: skip


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
    fields: Fields = {"sound": drawn.wordings, "plain": plain(drawn.wordings), **_audible_room(room)}
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
    fields: Fields = {"sound": first.wordings, "sound2": second.wordings, **_audible_room(room)}
    names = {"sound": first.wordings[0], "sound2": second.wordings[0]}
    return Plan(
        "effect", "sequence", clip_samples(seconds), layers, fields,
        attributes_of("effect", "effect", **names, room=room, style="sequence"),
        room=room, room_variant=draw_variant(rng), peak_db=draw_peak_db(rng),
    )  # fmt: skip


def _audible_room(room: str) -> Fields:
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
    fields: Fields = {"sound": recording.wordings, "plain": plain(recording.wordings), **_audible_room(room)}
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


RECORDED_NOTE_SHARE = 0.38


class Planner:
    """Plans clips from what a library holds."""

    def __init__(self, library: Library) -> None:
        performers, sounds = Performers(library), Sounds(library)
        self._performers = performers
        self._recorded_notes = library.recordings.get("note", ())
        self._planners: dict[str, Callable[[Draw], Plan]] = {
            "note": self._note,
            "phrase": lambda rng: plan_phrase(performers, rng),
            "duet": lambda rng: plan_duet(performers, rng),
            "drums": lambda rng: plan_drums(performers, rng),
            "music": lambda rng: plan_music(performers, rng),
            "ambience": lambda rng: plan_ambience(sounds, rng),
            "effect": lambda rng: plan_effect(sounds, rng),
            "mixture": lambda rng: plan_mixture(performers, sounds, rng),
        }

    def plan(self, category: str, rng: Draw) -> Plan:
        """One random plan. category: note, phrase, duet, drums, music, ambience, effect or mixture."""
        return self._planners[category](rng)

    def _note(self, rng: Draw) -> Plan:
        recorded = self._recorded_notes
        if recorded and rng.random() < RECORDED_NOTE_SHARE:
            return plan_recorded_note(recorded[int(rng.integers(len(recorded)))], rng)
        return plan_note(self._performers, rng)
