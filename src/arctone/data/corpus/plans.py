"""Plans of corpus clips: layers, notes, and the facts that captions state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from arctone.data.corpus.captions import Fields
from arctone.data.corpus.drums import Kit
from arctone.data.corpus.instruments import Instrument
from arctone.data.corpus.library import FontSound
from arctone.data.corpus.music import TONICS, base_mode, tempo_word
from arctone.data.corpus.recordings import Recording
from arctone.data.corpus.scores import Frame, tonic_pitch
from arctone.data.corpus.synonyms import (
    DYNAMICS_WORDS,
    GENRE_WORDS,
    MOOD_WORDS,
    PACE_WORDS,
    REGISTER_WORDS,
    ROOM_PHRASES,
    ROOM_TAGS,
    STYLE_WORDS,
    tempo_options,
)

UNTIMED_STYLES = ("trill", "tremolo", "drone")


def key_name(tonic: int, mode: str) -> str:
    """Name such as "C sharp minor"."""
    return f"{TONICS[tonic]} {base_mode(mode)}"


def pitch_name(pitch: int) -> str:
    """Name such as "C#4" of a MIDI number; 60 is C4."""
    return f"{TONICS[pitch % 12]}{pitch // 12 - 1}".replace(" sharp", "#").replace(" flat", "b")


def register_of(frame: Frame) -> str:
    """low, middle or high."""
    if frame.centre < 52:
        return "low"
    return "high" if frame.centre > 74 else "middle"


def names_of(thing: Instrument | Kit) -> tuple[str, ...]:
    """All names of an instrument or a kit; an instrument's own name counts twice."""
    return (thing.name, thing.name, *thing.aliases) if isinstance(thing, Instrument) else (thing.name, *thing.aliases)


def room_fields(room: str) -> Fields:
    """As a tag and as a phrase."""
    return {"room": ROOM_TAGS[room], "in_room": ROOM_PHRASES[room]}


def tempo_fields(bpm: int) -> Fields:
    """Number, tag and adjective."""
    return {"bpm": (str(bpm),), "tempo": tempo_options(bpm), "pace": PACE_WORDS[tempo_word(bpm)]}


def music_fields(key: str, bpm: int, mode: str) -> Fields:
    """Key, mood and tempo."""
    return {"key": (key,), "mood": MOOD_WORDS[(base_mode(mode), tempo_word(bpm))], **tempo_fields(bpm)}


def pair_fields(first: Instrument, second: Instrument) -> Fields:
    """Two instruments."""
    return {"instrument": names_of(first), "instrument2": names_of(second)}


def genre_fields(genre: str, kit: Kit) -> Fields:
    """Genre and drum kit."""
    return {"genre": GENRE_WORDS[genre], "kit": names_of(kit)}


def played_fields(instrument: Instrument, style: str, frame: Frame, room: str) -> Fields:
    """One instrument, its style, room and, unless medium, its loudness."""
    fields: Fields = {"instrument": names_of(instrument), "style": STYLE_WORDS[style], **room_fields(room)}
    if frame.dynamics != "medium":
        fields["dynamics"] = DYNAMICS_WORDS[frame.dynamics]
    return fields


def note_facts(instrument: Instrument, frame: Frame) -> tuple[Fields, dict[str, str]]:
    """Fields and attributes that only single notes have: register, and pitch where there is one."""
    fields: Fields = {"register": REGISTER_WORDS[register_of(frame)]}
    if is_unpitched(instrument):
        return fields, {}
    pitch = pitch_name(tonic_pitch(frame))
    return fields | {"pitch": (pitch, pitch, pitch.rstrip("0123456789"))}, {"pitch": pitch}


def phrase_facts(instrument: Instrument, style: str, frame: Frame, key: str) -> tuple[Fields, dict[str, str]]:
    """Fields and attributes of a phrase: tempo and mood where there is a beat, key where there is a pitch."""
    bpm = int(frame.bpm)
    fields: Fields = {"key": (key,)} if style in UNTIMED_STYLES else music_fields(key, bpm, frame.mode)
    attributes = key_attributes(key, bpm)
    if is_unpitched(instrument):
        fields = {name: words for name, words in fields.items() if name != "key"}
        attributes = {name: value for name, value in attributes.items() if name not in ("key", "mode")}
    return fields, attributes


def is_unpitched(instrument: Instrument) -> bool:
    """Whether a key would mean nothing: drums and the like, but not timpani."""
    return instrument.family == "percussion" and instrument.name != "timpani"


def key_attributes(key: str, bpm: int) -> dict[str, str]:
    """Key, mode and tempo."""
    return {"key": key, "mode": key.rsplit(" ", 1)[1], "bpm": str(bpm), "tempo": tempo_word(bpm)}


def attributes_of(category: str, family: str, **more: str) -> dict[str, str]:
    """Attributes of a clip without the empty ones."""
    return {"category": category, "family": family, **{name: value for name, value in more.items() if value}}


SAMPLE_RATE = 44_100
Sound = Recording | FontSound | str


@dataclass(frozen=True)
class NotesLayer:
    """One instrument.

    Args:
        preset: Id.
        style: Of playing, or "bass:" and a feel.
        pan: -1 left to 1 right.
    """

    preset: str
    style: str
    frame: Frame
    gain_db: float = 0.0
    pan: float = 0.0


@dataclass(frozen=True)
class DrumLayer:
    """A drum loop of whole bars.

    Args:
        preset: Id, "" for sampled kits, whose strokes are `strokes` by piece.
    """

    preset: str
    genre: str
    bpm: int
    num_bars: int
    fill: bool
    strokes: tuple[Recording, ...] = ()
    gain_db: float = 0.0
    pan: float = 0.0


@dataclass(frozen=True)
class SoundLayer:
    """A recording, a font's effect or a synthesised sound ("AMBIENCES/3", "EFFECTS/0", "STROKES/1:kick").

    Args:
        start_seconds: Where it begins.
        times: Repetitions every period_seconds.
        filling: Repeat and crossfade to the end.
        crop_seconds: First second of the recording that is used.
        semitones: As in `variation.varied`.
        stretch: As in `variation.varied`.
        tilt_db: As in `variation.varied`.
    """

    sound: Sound
    start_seconds: float = 0.0
    times: int = 1
    period_seconds: float = 0.0
    filling: bool = False
    crop_seconds: float = 0.0
    gain_db: float = 0.0
    pan: float = 0.0
    semitones: float = 0.0
    stretch: float = 1.0
    tilt_db: float = 0.0


Layer = NotesLayer | DrumLayer | SoundLayer
FrameSet = Literal["note", "phrase", "duet", "drums", "music", "ambience", "effect", "sequence", "mixture"]


@dataclass(frozen=True)
class Plan:
    """Everything decided about a clip.

    trimmed: silence before the sound is left out. fade_seconds: how long the sound falls to nothing at its end; 0 only
    has the edge of 5 ms that every clip has.

    Args:
        fields: Wordings for the captions.
        pairs: (kind, first, second) for the held-out rules.
    """

    category: str
    frames: FrameSet
    num_samples: int
    layers: tuple[Layer, ...]
    fields: Fields
    attributes: dict[str, str]
    pairs: tuple[tuple[str, str, str], ...] = ()
    bpm: int | None = None
    key: str | None = None
    room: str = "dry"
    room_variant: int = 0
    peak_db: float = -3.0
    trimmed: bool = False
    fade_seconds: float = 0.0

    def presets(self) -> tuple[str, ...]:
        """Ids of the soundfont presets that sound."""
        ids = [layer.preset for layer in self.layers if isinstance(layer, NotesLayer | DrumLayer) and layer.preset]
        sounds = [layer.sound for layer in self.layers if isinstance(layer, SoundLayer)]
        return tuple(ids + [f"{s.font}/{s.bank}:{s.program}" for s in sounds if isinstance(s, FontSound)])

    def recordings(self) -> tuple[Recording, ...]:
        """Recordings that sound."""
        sounds = [layer.sound for layer in self.layers if isinstance(layer, SoundLayer)]
        strokes = [r for layer in self.layers if isinstance(layer, DrumLayer) for r in layer.strokes]
        return tuple([s for s in sounds if isinstance(s, Recording)] + strokes)
