"""A plan: everything that was decided about a clip before any sound is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from arctone.data.corpus.captions import Fields
from arctone.data.corpus.library import FontSound
from arctone.data.corpus.recordings import Recording
from arctone.data.corpus.scores import Frame

SAMPLE_RATE = 44_100
Sound = Recording | FontSound | str


@dataclass(frozen=True)
class NotesLayer:
    """One instrument. preset: id. style: of playing, or "bass:" and a feel. pan: -1 left to 1 right."""

    preset: str
    style: str
    frame: Frame
    gain_db: float = 0.0
    pan: float = 0.0


@dataclass(frozen=True)
class DrumLayer:
    """A drum loop of whole bars. preset: id, "" for sampled kits, whose strokes are `strokes` by piece."""

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

    start_seconds: where it begins; times: repetitions every period_seconds; filling: repeat and crossfade to the end;
    crop_seconds: first second of the recording that is used. semitones, stretch, tilt_db: as in `variation.varied`.
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
    """pairs: (kind, first, second) for the held-out rules. fields: wordings for the captions.

    trimmed: silence before the sound is left out. fade_seconds: how long the sound falls to nothing at its end; 0 only
    has the edge of 5 ms that every clip has.
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
