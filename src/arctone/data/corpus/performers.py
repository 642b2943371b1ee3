"""Who plays: instruments, their ranges, and drum kits, drawn from a library."""

from __future__ import annotations

import numpy as np

from arctone.data.corpus.draws import Draw
from arctone.data.corpus.drums import Kit
from arctone.data.corpus.instruments import Instrument, Preset
from arctone.data.corpus.library import Library
from arctone.data.corpus.music import choose
from arctone.data.corpus.plans import DrumLayer
from arctone.data.corpus.recordings import Recording
from arctone.data.corpus.scores import Frame

MELODIC_STYLES = ("melody", "riff", "arpeggio")
SHORT_STYLES = ("note", "staccato")
LEAD_FAMILIES = (
    "piano", "chromatic percussion", "organ", "guitar", "strings", "brass", "reed", "pipe", "synth lead", "ethnic",
    "voice",
)  # fmt: skip
BACKING_FAMILIES = ("synth pad", "piano", "organ", "strings", "guitar", "voice", "ethnic")
Choice = tuple[Instrument, Preset]


class Performers:
    """Draws instruments and kits."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._by_family: dict[str, list[tuple[Instrument, tuple[Preset, ...]]]] = {}
        for entry in library.instruments:
            self._by_family.setdefault(entry[0].family, []).append(entry)

    def instrument(self, rng: Draw, families: tuple[str, ...] = (), polyphonic: bool = False) -> Choice:
        """An instrument and one of its presets; large families come up more often, by the root of their size."""
        names = tuple(f for f in (families or tuple(self._by_family)) if f in self._by_family)
        weights = np.array([np.sqrt(len(self._by_family[f])) for f in names])
        pool = self._by_family[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
        pool = [entry for entry in pool if entry[0].polyphonic or not polyphonic] or self._polyphonic()
        instrument, presets = pool[int(rng.integers(len(pool)))]
        return instrument, presets[int(rng.integers(len(presets)))]

    def _polyphonic(self) -> list[tuple[Instrument, tuple[Preset, ...]]]:
        return [entry for entry in self._library.instruments if entry[0].polyphonic]

    def kit(self, genre: str, rng: Draw) -> Kit:
        """A kit that may play a genre."""
        kits = [kit for kit in self._library.kits if not kit.genres or genre in kit.genres]
        return kits[int(rng.integers(len(kits)))]

    def drum_layer(
        self, kit: Kit, genre: str, bpm: int, num_bars: int, fill: bool, gain_db: float, rng: Draw
    ) -> DrumLayer:
        """A loop on one of the kit's presets, or on one recording for each of its pieces."""
        if kit.sampled:
            return DrumLayer("", genre, bpm, num_bars, fill, self._strokes(kit, rng), gain_db)
        presets = self._library.kit_presets(kit)
        return DrumLayer(presets[int(rng.integers(len(presets)))], genre, bpm, num_bars, fill, (), gain_db)

    def _strokes(self, kit: Kit, rng: Draw) -> tuple[Recording, ...]:
        pieces: dict[str, list[Recording]] = {}
        for recording in self._library.strokes[kit.sampled]:
            pieces.setdefault(recording.piece, []).append(recording)
        return tuple(options[int(rng.integers(len(options)))] for _, options in sorted(pieces.items()))


def drawn_frame(
    instrument: Instrument,
    seconds: float,
    bpm: int,
    tonic: int,
    mode: str,
    rng: Draw,
    degrees: tuple[int, ...] = (),
) -> Frame:
    """Frame for an instrument: at most two octaves somewhere in its range, and a loudness."""
    width = min(24, instrument.high - instrument.low)
    low = instrument.low + int(rng.integers(0, instrument.high - instrument.low - width + 1))
    dynamics = choose(rng, ("soft", "medium", "medium", "loud"))
    return Frame(seconds, bpm, tonic, mode, low, low + width, dynamics, instrument.sustained, degrees)


def shared_styles(instrument: Instrument, styles: tuple[str, ...]) -> tuple[str, ...]:
    """The styles that the instrument can play."""
    return tuple(style for style in styles if style in instrument.styles)


def phrase_styles(instrument: Instrument) -> tuple[str, ...]:
    """Styles longer than a single note."""
    return tuple(style for style in instrument.styles if style not in SHORT_STYLES)
