"""What sounds apart from music: ambiences and effects, drawn from recordings, soundfonts and our own synthesis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arctone.data.corpus import noises
from arctone.data.corpus.draws import MAX_SECONDS, Draw
from arctone.data.corpus.library import Library
from arctone.data.corpus.plans import Sound, SoundLayer
from arctone.data.corpus.recordings import Recording


@dataclass(frozen=True)
class DrawnSound:
    """An effect with its wordings and the length to plan for."""

    sound: Sound
    wordings: tuple[str, ...]
    seconds: float


class Sounds:
    """Draws ambiences and effects."""

    def __init__(self, library: Library) -> None:
        self._recorded = {kind: library.recordings.get(kind, ()) for kind in ("ambience", "effect")}
        self._fonts = {k: tuple(s for s in library.font_sounds if s.kind == k) for k in ("ambience", "effect")}
        self._folded = tuple(recording for recording in self._recorded["effect"] if recording.fold)
        self._types: dict[str, list[Recording]] = {}
        for recording in self._recorded["ambience"]:
            self._types.setdefault(recording.wordings[0], []).append(recording)

    def ambience(self, rng: Draw, gain_db: float) -> tuple[SoundLayer, tuple[str, ...]]:
        """A layer that fills the clip, and its wordings."""
        fonts, draw = self._fonts["ambience"], rng.random()
        if self._types and draw < 0.62:
            recording = self._recorded_ambience(rng)
            spare = recording.seconds - MAX_SECONDS
            crop = rng.uniform(0, spare) if spare > 0 else 0.0
            return SoundLayer(recording, filling=True, crop_seconds=crop, gain_db=gain_db), recording.wordings
        if fonts and draw < 0.70:
            sound = fonts[int(rng.integers(len(fonts)))]
            return SoundLayer(sound, filling=True, gain_db=gain_db), sound.wordings
        index = int(rng.integers(len(noises.AMBIENCES)))
        return SoundLayer(f"AMBIENCES/{index}", gain_db=gain_db), noises.AMBIENCES[index].wordings

    def _recorded_ambience(self, rng: Draw) -> Recording:
        """By the root of their number, so that forty recordings of one type do not drown a single one of another."""
        names = list(self._types)
        weights = np.sqrt([len(self._types[name]) for name in names])
        options = self._types[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
        return options[int(rng.integers(len(options)))]

    def effect(self, rng: Draw) -> DrawnSound:
        """An effect: recorded three times in five; every third recording is one of ESC-10."""
        recorded, fonts, draw = self._recorded["effect"], self._fonts["effect"], rng.random()
        if recorded and draw < 0.6:
            pool = self._folded if self._folded and rng.random() < 0.3 else recorded
            recording = pool[int(rng.integers(len(pool)))]
            return DrawnSound(recording, recording.wordings, min(recording.seconds, 8.0))
        if fonts and draw < 0.75:
            sound = fonts[int(rng.integers(len(fonts)))]
            return DrawnSound(sound, sound.wordings, sound.seconds)
        index = int(rng.integers(len(noises.EFFECTS)))
        return DrawnSound(f"EFFECTS/{index}", noises.EFFECTS[index].wordings, float(rng.uniform(1.5, 4.0)))
