"""Draws a plan for each category. Only numpy's generator decides; nothing is rendered here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from arctone.data.corpus import noises
from arctone.data.corpus.captions import Fields, plain
from arctone.data.corpus.drums import GENRE_TEMPOS, Kit, genres
from arctone.data.corpus.instruments import Instrument, Preset
from arctone.data.corpus.library import FontSound, Library
from arctone.data.corpus.music import PROGRESSIONS, TEMPOS, TONICS, base_mode, choose, tempo_word
from arctone.data.corpus.plans import SAMPLE_RATE, DrumLayer, Layer, NotesLayer, Plan, SoundLayer
from arctone.data.corpus.recordings import Recording
from arctone.data.corpus.rooms import NUM_VARIANTS, ROOMS
from arctone.data.corpus.scores import Frame, tonic_pitch
from arctone.data.corpus.synonyms import (
    BEAT_WORDS,
    DYNAMICS_WORDS,
    FILL_WORDS,
    GENRE_WORDS,
    LOOP_WORDS,
    MOOD_WORDS,
    PACE_WORDS,
    REGISTER_WORDS,
    ROOM_PHRASES,
    ROOM_TAGS,
    STYLE_WORDS,
    tempo_options,
)

MIN_SECONDS, MAX_SECONDS = 2.0, 11.8
LEAD_FAMILIES = (
    "piano",
    "chromatic percussion",
    "organ",
    "guitar",
    "strings",
    "brass",
    "reed",
    "pipe",
    "synth lead",
    "ethnic",
    "voice",
)
BACKING_FAMILIES = ("synth pad", "piano", "organ", "strings", "guitar", "voice", "ethnic")
SHORT_STYLES = ("note", "staccato")
Draw = np.random.Generator
Choice = tuple[Instrument, Preset]


class Planner:
    """Plans clips from what a library holds."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._by_family: dict[str, list[tuple[Instrument, tuple[Preset, ...]]]] = {}
        for entry in library.instruments:
            self._by_family.setdefault(entry[0].family, []).append(entry)
        self._makers: dict[str, Callable[[Draw], Plan]] = {
            "note": self._note,
            "phrase": self._phrase,
            "duet": self._duet,
            "drums": self._drums,
            "music": self._music,
            "ambience": self._ambience,
            "effect": self._effect,
            "mixture": self._mixture,
        }

    def plan(self, category: str, rng: Draw) -> Plan:
        """One random plan. category: note, phrase, duet, drums, music, ambience, effect or mixture."""
        return self._makers[category](rng)

    # Notes and phrases

    def _note(self, rng: Draw) -> Plan:
        recorded = self._library.recordings.get("note", ())
        if recorded and rng.random() < 0.38:
            return self._recorded_note(recorded[int(rng.integers(len(recorded)))], rng)
        instrument, preset = self._instrument(rng)
        return self._played(instrument, preset, "note" if rng.random() < 0.78 else "staccato", "note", rng)

    def _phrase(self, rng: Draw) -> Plan:
        instrument, preset = self._instrument(rng)
        styles = tuple(style for style in instrument.styles if style not in SHORT_STYLES)
        return self._played(instrument, preset, choose(rng, styles), "phrase", rng)

    def _played(self, instrument: Instrument, preset: Preset, style: str, category: str, rng: Draw) -> Plan:
        bpm, tonic, mode = _tempo(rng), int(rng.integers(12)), _mode(rng)
        seconds = rng.uniform(2.0, 5.2) if category == "note" else rng.uniform(3.5, 10.5)
        if style in ("riff", "arpeggio", "chords", "ostinato", "melody") and category == "phrase":
            seconds = _bars_seconds(bpm, seconds)
        frame = self._frame(instrument, seconds, bpm, tonic, mode, rng)
        room, key = _room(rng), f"{TONICS[tonic]} {base_mode(mode)}"
        fields = _played_fields(instrument, style, frame, room, category)
        attributes = _attributes(category, instrument.family, instrument=instrument.name, style=style, room=room)
        attributes |= {"dynamics": frame.dynamics, "register": _register(frame)}
        unpitched = instrument.family == "percussion" and instrument.name != "timpani"
        if category == "phrase":
            fields |= _music_fields(key, bpm, frame.mode, style in ("trill", "tremolo", "drone"))
            attributes |= _key_attributes(key, bpm)
        elif not unpitched:
            pitch = _pitch_name(tonic_pitch(frame))
            fields["pitch"], attributes["pitch"] = (pitch, pitch, pitch.rstrip("0123456789")), pitch
        if unpitched:
            key = ""
            for name in ("key", "mode"):
                fields.pop(name, None)
                attributes.pop(name, None)
        timed = category == "phrase" and style not in ("trill", "tremolo", "drone")
        return Plan(
            category,
            "note" if category == "note" else "phrase",
            _samples(seconds),
            (NotesLayer(preset.id, style, frame, pan=_pan(rng, 0.15)),),
            fields,
            attributes,
            (("style", instrument.name, style), ("room", instrument.name, room)),
            bpm if timed else None,
            key if category == "phrase" and key else None,
            room,
            _variant(rng),
            _peak(rng),
        )

    def _recorded_note(self, recording: Recording, rng: Draw) -> Plan:
        seconds, room = float(np.clip(recording.seconds + rng.uniform(0.3, 1.2), MIN_SECONDS, 6.0)), _room(rng)
        fields: Fields = {"instrument": recording.wordings, "style": STYLE_WORDS["note"][:2], **_room_fields(room)}
        if "strum" in recording.wordings[0]:
            fields["style"] = ("strum",)
            fields["instrument"] = ("acoustic guitar", "steel string guitar")
            return self._sound_plan("effect", recording, seconds, room, rng, category="note", more={"style": "strum"})
        attributes = _attributes("note", recording.family, instrument=recording.instrument, style="note", room=room)
        if recording.pitch is not None:
            fields["pitch"] = (_pitch_name(recording.pitch),)
            attributes["pitch"] = _pitch_name(recording.pitch)
        return Plan(
            "note",
            "note",
            _samples(seconds),
            (SoundLayer(recording, rng.uniform(0.0, 0.08)),),
            fields,
            attributes,
            (("style", recording.instrument, "note"), ("room", recording.instrument, room)),
            room=room,
            room_variant=_variant(rng),
            peak_db=_peak(rng),
        )

    # Several instruments

    def _duet(self, rng: Draw) -> Plan:
        lead, lead_preset = self._instrument(rng, LEAD_FAMILIES)
        backing, backing_preset = self._instrument(rng, BACKING_FAMILIES, polyphonic=True)
        bpm, tonic, mode = _tempo(rng), int(rng.integers(12)), choose(rng, ("major", "minor"))
        seconds, room = _bars_seconds(bpm, rng.uniform(6.0, 11.0)), _room(rng)
        degrees = _degrees(mode, rng)
        style, style2 = (
            choose(rng, _shared(lead, ("melody", "riff", "arpeggio"))),
            choose(rng, ("chords", "chords", "arpeggio")),
        )
        frames = [self._frame(i, seconds, bpm, tonic, mode, rng, degrees) for i in (lead, backing)]
        key, pan = f"{TONICS[tonic]} {mode}", _pan(rng, 0.5)
        fields = _pair_fields(lead, backing) | _music_fields(key, bpm, mode, False) | _room_fields(room)
        fields |= {"style": STYLE_WORDS[style], "style2": STYLE_WORDS[style2]}
        attributes = _attributes(
            "duet", lead.family, instrument=lead.name, instrument2=backing.name, style=style, room=room
        )
        layers = (
            NotesLayer(lead_preset.id, style, frames[0], 0.0, pan),
            NotesLayer(backing_preset.id, style2, frames[1], rng.uniform(-9, -3), -pan),
        )
        pairs = tuple(("style", i.name, s) for i, s in ((lead, style), (backing, style2))) + tuple(
            ("room", i.name, room) for i in (lead, backing)
        )
        return Plan(
            "duet",
            "duet",
            _samples(seconds),
            layers,
            fields,
            attributes | _key_attributes(key, bpm),
            pairs,
            bpm,
            key,
            room,
            _variant(rng),
            _peak(rng),
        )

    def _drums(self, rng: Draw) -> Plan:
        genre = choose(rng, genres())
        kit, genre = self._kit_for(genre, rng)
        bpm = _genre_tempo(genre, rng)
        num_bars = _num_bars(bpm, rng.uniform(4.0, 11.0))
        fill, room = bool(rng.random() < 0.22), choose(rng, ("dry", "dry", "small room", "plate", "concert hall"))
        layer = self._drum_layer(kit, genre, bpm, num_bars, fill, 0.0, rng)
        fields: Fields = {
            "genre": GENRE_WORDS[genre],
            "kit": (kit.name, *kit.aliases),
            "beat": BEAT_WORDS,
            **_room_fields(room),
        }
        fields |= {"bpm": (str(bpm),), "tempo": tempo_options(bpm), "pace": PACE_WORDS[tempo_word(bpm)]}
        if fill:
            fields["fill"] = FILL_WORDS
        attributes = _attributes(
            "drums", "drums", genre=genre, kit=kit.name, room=room, bpm=str(bpm), tempo=tempo_word(bpm)
        )
        return Plan(
            "drums",
            "drums",
            _loop_samples(num_bars, bpm),
            (layer,),
            fields,
            attributes,
            (("genre", kit.name, genre),),
            bpm,
            None,
            room,
            _variant(rng),
            _peak(rng),
            True,
        )

    def _music(self, rng: Draw) -> Plan:
        genre = choose(rng, tuple(g for g in genres() if g != "march"))
        kit, _ = self._kit_for(genre, rng)
        bpm, tonic, mode = _genre_tempo(genre, rng), int(rng.integers(12)), choose(rng, ("major", "minor"))
        num_bars, room = (
            _num_bars(bpm, rng.uniform(6.5, 11.6)),
            choose(rng, ("dry", "small room", "plate", "concert hall")),
        )
        seconds = num_bars * 240.0 / bpm
        bass, bass_preset = self._instrument(rng, ("bass",))
        backing, backing_preset = self._instrument(rng, BACKING_FAMILIES, polyphonic=True)
        lead, lead_preset = self._instrument(rng, LEAD_FAMILIES)
        has_lead, style, feel = (
            bool(rng.random() < 0.65),
            choose(rng, _shared(lead, ("melody", "riff", "arpeggio"))),
            _bass_feel(genre, rng),
        )
        degrees = _degrees(mode, rng)
        frames = [self._frame(i, seconds, bpm, tonic, mode, rng, degrees) for i in (bass, backing, lead)]
        layers: list[Layer] = [
            self._drum_layer(kit, genre, bpm, num_bars, bool(rng.random() < 0.15), rng.uniform(-3, 1), rng),
            NotesLayer(bass_preset.id, f"bass:{feel}", frames[0], rng.uniform(-3, 0)),
            NotesLayer(
                backing_preset.id, choose(rng, ("chords", "arpeggio")), frames[1], rng.uniform(-9, -4), _pan(rng, 0.4)
            ),
        ]
        pairs = [("genre", kit.name, genre), ("style", backing.name, str(layers[2].style))]
        if has_lead:
            layers.append(NotesLayer(lead_preset.id, style, frames[2], rng.uniform(-4, 1), _pan(rng, 0.3)))
            pairs.append(("style", lead.name, style))
        first, second = (lead, backing) if has_lead else (backing, bass)
        key = f"{TONICS[tonic]} {mode}"
        fields = _pair_fields(first, second) | _music_fields(key, bpm, mode, False) | _room_fields(room)
        fields |= {"genre": GENRE_WORDS[genre], "kit": (kit.name, *kit.aliases), "loop": LOOP_WORDS}
        attributes = _attributes(
            "music", first.family, instrument=first.name, instrument2=second.name, genre=genre, kit=kit.name, room=room
        )
        pairs += [("room", name, room) for name in (first.name, second.name)]
        return Plan(
            "music",
            "music",
            _loop_samples(num_bars, bpm),
            tuple(layers),
            fields,
            attributes | _key_attributes(key, bpm),
            tuple(pairs),
            bpm,
            key,
            room,
            _variant(rng),
            _peak(rng),
            True,
        )

    # Noises

    def _ambience(self, rng: Draw) -> Plan:
        layer, wordings = self._ambience_layer(rng, 0.0)
        layers, seconds = [layer], rng.uniform(7.5, MAX_SECONDS)
        fields: Fields = {"sound": wordings, "plain": plain(wordings)}
        attributes = _attributes("ambience", "ambience", sound=wordings[0])
        if rng.random() < 0.18:
            other, more = self._ambience_layer(rng, rng.uniform(-8, -2))
            if not set(more) & set(wordings):
                layers.append(other)
                fields |= {"sound2": more, "plain2": plain(more)}
                attributes["sound2"] = more[0]
        far = rng.random() < 0.15
        if far:
            fields["distance"] = ("far away", "in the distance", "distant")
        room = "concert hall" if far else "dry"
        return Plan(
            "ambience",
            "ambience",
            _samples(seconds),
            tuple(layers),
            fields,
            attributes | {"room": room},
            room=room,
            room_variant=_variant(rng),
            peak_db=_peak(rng),
        )

    def _effect(self, rng: Draw) -> Plan:
        room = choose(rng, ("dry", "dry", "dry", "small room", "concert hall", "cathedral"))
        sound, wordings, seconds = self._effect_sound(rng)
        if seconds < 2.5 and rng.random() < 0.22:
            return self._sequence(sound, wordings, seconds, room, rng)
        return self._sound_plan("effect", sound, seconds, room, rng)

    def _sound_plan(
        self,
        frames: str,
        sound: Recording | FontSound | str,
        length: float,
        room: str,
        rng: Draw,
        category: str = "effect",
        more: dict[str, str] | None = None,
    ) -> Plan:
        wordings = _wordings(sound)
        fields: Fields = {"sound": wordings, "plain": plain(wordings), **(_room_fields(room) if room != "dry" else {})}
        times = int(rng.integers(2, 5)) if length < 1.5 and category == "effect" and rng.random() < 0.3 else 1
        period = length + rng.uniform(0.1, 0.6)
        start = rng.uniform(0.0, 0.12) if rng.random() < 0.5 else 0.0
        tail = min(2.0, ROOMS[room].decay_seconds) + rng.uniform(0.1, 0.7)
        seconds = float(np.clip(start + (times - 1) * period + length + tail, MIN_SECONDS, MAX_SECONDS))
        if times > 1:
            fields["times"] = ({2: "twice", 3: "three times", 4: "four times"}[times], "repeated", f"{times} times")
        family = sound.family if isinstance(sound, Recording) else "effect"
        attributes = _attributes(category, family, sound=wordings[0], room=room) | (more or {})
        instrument = sound.instrument if isinstance(sound, Recording) else ""
        if instrument:
            attributes["instrument"] = instrument
        layer = SoundLayer(sound, start, times, period, pan=_pan(rng, 0.4))
        pairs = (("room", instrument, room),) if instrument else ()
        return Plan(
            category,
            "effect",
            _samples(seconds),
            (layer,),
            fields,
            attributes,
            pairs,
            room=room,
            room_variant=_variant(rng),
            peak_db=_peak(rng),
        )

    def _sequence(
        self, sound: Recording | FontSound | str, wordings: tuple[str, ...], length: float, room: str, rng: Draw
    ) -> Plan:
        other, more, length2 = self._effect_sound(rng)
        gap = rng.uniform(0.05, 0.6)
        seconds = float(np.clip(length + gap + length2 + rng.uniform(0.2, 0.8), MIN_SECONDS, MAX_SECONDS))
        layers = (SoundLayer(sound), SoundLayer(other, length + gap))
        fields: Fields = {"sound": wordings, "sound2": more, **(_room_fields(room) if room != "dry" else {})}
        attributes = _attributes("effect", "effect", sound=wordings[0], sound2=more[0], room=room, style="sequence")
        return Plan(
            "effect",
            "sequence",
            _samples(seconds),
            layers,
            fields,
            attributes,
            room=room,
            room_variant=_variant(rng),
            peak_db=_peak(rng),
        )

    def _mixture(self, rng: Draw) -> Plan:
        seconds = rng.uniform(6.0, 10.5)
        ambience, background = self._ambience_layer(rng, rng.uniform(-16, -9))
        if rng.random() < 0.5:
            sound, wordings, length = self._effect_sound(rng)
            times = max(1, min(4, int((seconds - 1) / (length + 1.2)))) if length < 2 else 1
            front: Layer = SoundLayer(
                sound, rng.uniform(0.3, 1.2), times, length + rng.uniform(0.6, 1.4), pan=_pan(rng, 0.5)
            )
            attributes = _attributes("mixture", "effect", sound=wordings[0], sound2=background[0])
            pairs: tuple[tuple[str, str, str], ...] = ()
        else:
            instrument, preset = self._instrument(rng)
            style = choose(rng, tuple(s for s in instrument.styles if s not in SHORT_STYLES))
            frame = self._frame(
                instrument, seconds, _tempo(rng), int(rng.integers(12)), choose(rng, ("major", "minor")), rng
            )
            front = NotesLayer(preset.id, style, frame, pan=_pan(rng, 0.3))
            names = (instrument.name, *instrument.aliases)
            wordings = tuple(f"{name} {word}" for name in names for word in STYLE_WORDS[style][:2])
            attributes = _attributes(
                "mixture", instrument.family, instrument=instrument.name, style=style, sound2=background[0]
            )
            pairs = (("style", instrument.name, style),)
        bpm = front.frame.bpm if isinstance(front, NotesLayer) else None
        fields: Fields = {"sound": wordings, "sound2": background}
        return Plan(
            "mixture",
            "mixture",
            _samples(seconds),
            (front, ambience),
            fields,
            attributes,
            pairs,
            int(bpm) if bpm else None,
            peak_db=_peak(rng),
        )

    # Choices

    def _instrument(self, rng: Draw, families: tuple[str, ...] = (), polyphonic: bool = False) -> Choice:
        names = tuple(f for f in (families or tuple(self._by_family)) if f in self._by_family)
        weights = np.array([np.sqrt(len(self._by_family[f])) for f in names])
        pool = self._by_family[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
        pool = [entry for entry in pool if entry[0].polyphonic or not polyphonic] or self._polyphonic()
        instrument, presets = pool[int(rng.integers(len(pool)))]
        return instrument, presets[int(rng.integers(len(presets)))]

    def _polyphonic(self) -> list[tuple[Instrument, tuple[Preset, ...]]]:
        return [entry for entry in self._library.instruments if entry[0].polyphonic]

    def _frame(
        self,
        instrument: Instrument,
        seconds: float,
        bpm: int,
        tonic: int,
        mode: str,
        rng: Draw,
        degrees: tuple[int, ...] = (),
    ) -> Frame:
        width = min(24, instrument.high - instrument.low)
        low = instrument.low + int(rng.integers(0, instrument.high - instrument.low - width + 1))
        return Frame(
            seconds,
            bpm,
            tonic,
            mode,
            low,
            low + width,
            choose(rng, ("soft", "medium", "medium", "loud")),
            instrument.sustained,
            degrees,
        )

    def _kit_for(self, genre: str, rng: Draw) -> tuple[Kit, str]:
        kits = [kit for kit in self._library.kits if not kit.genres or genre in kit.genres]
        return kits[int(rng.integers(len(kits)))], genre

    def _drum_layer(
        self, kit: Kit, genre: str, bpm: int, num_bars: int, fill: bool, gain_db: float, rng: Draw
    ) -> DrumLayer:
        if kit.sampled:
            return DrumLayer("", genre, bpm, num_bars, fill, self._strokes(kit, rng), gain_db)
        presets = self._library.kit_presets(kit)
        return DrumLayer(presets[int(rng.integers(len(presets)))], genre, bpm, num_bars, fill, (), gain_db)

    def _strokes(self, kit: Kit, rng: Draw) -> tuple[Recording, ...]:
        pieces: dict[str, list[Recording]] = {}
        for recording in self._library.strokes[kit.sampled]:
            pieces.setdefault(recording.piece, []).append(recording)
        return tuple(options[int(rng.integers(len(options)))] for _, options in sorted(pieces.items()))

    def _ambience_layer(self, rng: Draw, gain_db: float) -> tuple[SoundLayer, tuple[str, ...]]:
        recorded = self._library.recordings.get("ambience", ())
        fonts = tuple(sound for sound in self._library.font_sounds if sound.kind == "ambience")
        draw = rng.random()
        if recorded and draw < 0.62:
            recording = self._by_wording(recorded, rng)
            crop = rng.uniform(0, max(0.0, recording.seconds - MAX_SECONDS)) if recording.seconds > MAX_SECONDS else 0.0
            return SoundLayer(recording, filling=True, crop_seconds=crop, gain_db=gain_db), recording.wordings
        if fonts and draw < 0.70:
            sound = fonts[int(rng.integers(len(fonts)))]
            return SoundLayer(sound, filling=True, gain_db=gain_db), sound.wordings
        index = int(rng.integers(len(noises.AMBIENCES)))
        return SoundLayer(f"AMBIENCES/{index}", gain_db=gain_db), noises.AMBIENCES[index].wordings

    def _by_wording(self, recorded: tuple[Recording, ...], rng: Draw) -> Recording:
        """Every sound type alike, so that a type with forty recordings does not drown one with a single recording."""
        types: dict[str, list[Recording]] = {}
        for recording in recorded:
            types.setdefault(recording.wordings[0], []).append(recording)
        names = list(types)
        weights = np.sqrt([len(types[name]) for name in names])
        options = types[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
        return options[int(rng.integers(len(options)))]

    def _effect_sound(self, rng: Draw) -> tuple[Recording | FontSound | str, tuple[str, ...], float]:
        recorded = self._library.recordings.get("effect", ())
        fonts = tuple(sound for sound in self._library.font_sounds if sound.kind == "effect")
        draw = rng.random()
        if recorded and draw < 0.6:
            esc = tuple(r for r in recorded if r.fold)
            pool = esc if esc and rng.random() < 0.3 else recorded
            recording = pool[int(rng.integers(len(pool)))]
            return recording, recording.wordings, min(recording.seconds, 8.0)
        if fonts and draw < 0.75:
            sound = fonts[int(rng.integers(len(fonts)))]
            return sound, sound.wordings, sound.seconds
        index = int(rng.integers(len(noises.EFFECTS)))
        return f"EFFECTS/{index}", noises.EFFECTS[index].wordings, float(rng.uniform(1.5, 4.0))


def _wordings(sound: Recording | FontSound | str) -> tuple[str, ...]:
    if isinstance(sound, str):
        return noises.EFFECTS[int(sound.partition("/")[2])].wordings
    return sound.wordings


def _tempo(rng: Draw) -> int:
    return TEMPOS[int(rng.integers(len(TEMPOS)))]


def _genre_tempo(genre: str, rng: Draw) -> int:
    if rng.random() < 0.25:
        return _tempo(rng)
    low, high = GENRE_TEMPOS[genre]
    usual = [bpm for bpm in TEMPOS if low <= bpm <= high]
    return usual[int(rng.integers(len(usual)))]


def _mode(rng: Draw) -> str:
    return choose(
        rng, ("major", "major", "minor", "minor", "dorian", "mixolydian", "pentatonic major", "pentatonic minor")
    )


def _degrees(mode: str, rng: Draw) -> tuple[int, ...]:
    options = PROGRESSIONS[base_mode(mode)]
    return options[int(rng.integers(len(options)))]


def _bars_seconds(bpm: int, wanted: float) -> float:
    return _num_bars(bpm, wanted) * 240.0 / bpm


def _num_bars(bpm: int, wanted: float) -> int:
    bar = 240.0 / bpm
    fewest, most = int(np.ceil(MIN_SECONDS / bar - 1e-9)), int(MAX_SECONDS / bar)
    num_bars = int(np.clip(round(wanted / bar), fewest, most))
    return num_bars - num_bars % 2 if num_bars > 2 and num_bars - 1 >= fewest else num_bars


def _loop_samples(num_bars: int, bpm: int) -> int:
    return round(num_bars * 240 * SAMPLE_RATE / bpm)


def _samples(seconds: float) -> int:
    return round(float(np.clip(seconds, MIN_SECONDS, MAX_SECONDS)) * SAMPLE_RATE)


def _room(rng: Draw) -> str:
    return choose(rng, ("dry", "dry", "small room", "plate", "concert hall", "cathedral"))


def _variant(rng: Draw) -> int:
    return int(rng.integers(NUM_VARIANTS))


def _peak(rng: Draw) -> float:
    return float(rng.uniform(-6.0, -0.3))


def _pan(rng: Draw, reach: float) -> float:
    return float(rng.uniform(-reach, reach)) if rng.random() < 0.6 else 0.0


def _bass_feel(genre: str, rng: Draw) -> str:
    usual = {
        "jazz swing": "walking",
        "shuffle": "walking",
        "house": "offbeat",
        "techno": "eighths",
        "disco": "offbeat",
        "metal": "eighths",
        "rock": "eighths",
        "ballad": "long",
        "trap": "long",
        "drum and bass": "long",
    }
    return usual.get(genre, "syncopated") if rng.random() < 0.75 else choose(rng, ("eighths", "syncopated", "long"))


def _shared(instrument: Instrument, styles: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(style for style in styles if style in instrument.styles)


def _register(frame: Frame) -> str:
    if frame.centre < 52:
        return "low"
    return "high" if frame.centre > 74 else "middle"


def _pitch_name(pitch: int) -> str:
    return f"{TONICS[pitch % 12]}{pitch // 12 - 1}".replace(" sharp", "#").replace(" flat", "b")


def _played_fields(instrument: Instrument, style: str, frame: Frame, room: str, category: str) -> Fields:
    fields: Fields = {
        "instrument": (instrument.name, instrument.name, *instrument.aliases),
        "style": STYLE_WORDS[style],
    }
    fields |= _room_fields(room)
    if frame.dynamics != "medium":
        fields["dynamics"] = DYNAMICS_WORDS[frame.dynamics]
    if category == "note":
        fields["register"] = REGISTER_WORDS[_register(frame)]
    return fields


def _pair_fields(first: Instrument, second: Instrument) -> Fields:
    return {
        "instrument": (first.name, first.name, *first.aliases),
        "instrument2": (second.name, second.name, *second.aliases),
    }


def _room_fields(room: str) -> Fields:
    return {"room": ROOM_TAGS[room], "in_room": ROOM_PHRASES[room]}


def _music_fields(key: str, bpm: int, mode: str, untimed: bool) -> Fields:
    fields: Fields = {"key": (key,), "mood": MOOD_WORDS[(base_mode(mode), tempo_word(bpm))]}
    if untimed:
        return {"key": (key,)}
    return fields | {"bpm": (str(bpm),), "tempo": tempo_options(bpm), "pace": PACE_WORDS[tempo_word(bpm)]}


def _key_attributes(key: str, bpm: int) -> dict[str, str]:
    return {"key": key, "mode": key.rsplit(" ", 1)[1], "bpm": str(bpm), "tempo": tempo_word(bpm)}


def _attributes(category: str, family: str, **more: str) -> dict[str, str]:
    return {"category": category, "family": family, **{name: value for name, value in more.items() if value}}
