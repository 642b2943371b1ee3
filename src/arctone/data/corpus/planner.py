"""Draws a plan for each category. Only numpy's generator decides; nothing is rendered here."""

from __future__ import annotations

from collections.abc import Callable

from arctone.data.corpus.draws import Draw
from arctone.data.corpus.library import Library
from arctone.data.corpus.performers import Performers
from arctone.data.corpus.plan_music import plan_drums, plan_duet, plan_music, plan_note, plan_phrase
from arctone.data.corpus.plan_sounds import plan_ambience, plan_effect, plan_mixture, plan_recorded_note
from arctone.data.corpus.plans import Plan
from arctone.data.corpus.sounds import Sounds

RECORDED_NOTE_SHARE = 0.38


class Planner:
    """Plans clips from what a library holds."""

    def __init__(self, library: Library) -> None:
        performers, sounds = Performers(library), Sounds(library)
        self._performers = performers
        self._recorded_notes = library.recordings.get("note", ())
        self._makers: dict[str, Callable[[Draw], Plan]] = {
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
        return self._makers[category](rng)

    def _note(self, rng: Draw) -> Plan:
        recorded = self._recorded_notes
        if recorded and rng.random() < RECORDED_NOTE_SHARE:
            return plan_recorded_note(recorded[int(rng.integers(len(recorded)))], rng)
        return plan_note(self._performers, rng)
