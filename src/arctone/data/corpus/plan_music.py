"""Plans of notes, phrases, duets, drum loops and small bands."""

from __future__ import annotations

from arctone.data.corpus.draws import (
    BAND_ROOMS,
    DRUM_ROOMS,
    MODES,
    MUSIC_ROOMS,
    Draw,
    bars_seconds,
    clip_samples,
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
from arctone.data.corpus.facts import (
    UNTIMED_STYLES,
    attributes_of,
    genre_fields,
    is_unpitched,
    key_attributes,
    key_name,
    music_fields,
    note_facts,
    pair_fields,
    phrase_facts,
    played_fields,
    register_of,
    room_fields,
    tempo_fields,
)
from arctone.data.corpus.music import choose, tempo_word
from arctone.data.corpus.performers import (
    BACKING_FAMILIES,
    LEAD_FAMILIES,
    MELODIC_STYLES,
    Choice,
    Performers,
    drawn_frame,
    phrase_styles,
    shared_styles,
)
from arctone.data.corpus.plans import Layer, NotesLayer, Plan
from arctone.data.corpus.synonyms import BEAT_WORDS, FILL_WORDS, LOOP_WORDS, STYLE_WORDS

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
    style = choose(rng, shared_styles(lead, MELODIC_STYLES))
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
    style, feel = choose(rng, shared_styles(lead, MELODIC_STYLES)), draw_bass_feel(genre, rng)
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
