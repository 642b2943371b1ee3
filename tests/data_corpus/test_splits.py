"""Nothing that is held out reaches training; single values of held-out pairs do."""

from __future__ import annotations

from collections import Counter

import pytest

from arctone.data.corpus import Corpus
from arctone.data.corpus.captions import FRAMES, HELD_OUT_FRAMES, write_captions
from arctone.data.corpus.drums import KITS, genres
from arctone.data.corpus.instruments import FLUID, MUSESCORE, instruments, presets_of
from arctone.data.corpus.library import open_library
from arctone.data.corpus.music import TEMPOS
from arctone.data.corpus.planner import Planner
from arctone.data.corpus.rooms import ROOMS
from arctone.data.corpus.splits import (
    HELD_OUT_PRESETS,
    HELD_OUT_TEMPOS,
    INSTRUMENT_ROOM_PAIRS,
    INSTRUMENT_STYLE_PAIRS,
    KIT_GENRE_PAIRS,
    RULES,
    SKIPPED_TEMPOS,
    find_broken_rules,
    recording_is_held_out,
)
from arctone.data.corpus.synonyms import HELD_OUT_SYNONYMS, allowed


@pytest.mark.parametrize("name", ["synthetic", "with_fonts"])
def test_no_training_clip_breaks_a_rule(name: str, request: pytest.FixtureRequest) -> None:
    corpus: Corpus = request.getfixturevalue(name)
    for index in range(len(corpus)):
        info, plan = corpus.info(index), corpus.plan(index)
        broken = find_broken_rules(
            plan.pairs, plan.bpm, [(r.source, r.fold) for r in plan.recordings()], plan.presets()
        )
        if info.split == "test":
            assert info.held_out == (broken or ("unseen_wording",))
        else:
            assert info.held_out == broken == ()
            assert info.bpm not in HELD_OUT_TEMPOS
            assert (info.attributes.get("instrument"), info.attributes.get("style")) not in INSTRUMENT_STYLE_PAIRS
            assert (info.attributes.get("kit"), info.attributes.get("genre")) not in KIT_GENRE_PAIRS
            assert (info.attributes.get("instrument"), info.attributes.get("room")) not in INSTRUMENT_ROOM_PAIRS


def test_splits_have_their_shares_and_every_rule_occurs(with_fonts: Corpus) -> None:
    infos = [with_fonts.info(k) for k in range(len(with_fonts))]
    shares = Counter(info.split for info in infos)
    assert 0.04 < shares["test"] / 600 < 0.11
    assert 0.005 < shares["valid"] / 600 < 0.04
    # This fixture holds no recordings, so there is nothing of that kind to hold out.
    assert {rule for info in infos for rule in info.held_out} >= set(RULES) - {"unseen_recording"}


def test_training_captions_hold_no_held_out_synonym() -> None:
    import numpy as np

    planner, rng = Planner(open_library((), None, None, None)), np.random.default_rng(0)
    for category in ("note", "phrase", "drums", "effect"):
        for _ in range(20):
            plan = planner.plan(category, rng)
            for options in plan.fields.values():
                assert not set(allowed(options, False)) & HELD_OUT_SYNONYMS
                assert set(allowed(options, True)) <= set(options)


def test_unseen_captions_use_held_out_frames_only() -> None:
    import numpy as np

    fields = {"sound": ("a dog barking", "a dog bark"), "sound2": ("rain",)}
    unseen = write_captions("sequence", fields, True, np.random.default_rng(1))
    assert set(unseen[:2]) <= {"a dog bark, after that rain", "start with a dog bark and end with rain"}
    assert all("dog bark" in c and "barking" not in c for c in unseen)


def test_held_out_names_exist() -> None:
    by_name = {instrument.name: instrument for instrument in instruments()}
    assert all(style in by_name[name].styles for name, style in INSTRUMENT_STYLE_PAIRS)
    assert all(name in by_name and room in ROOMS for name, room in INSTRUMENT_ROOM_PAIRS)
    assert all(kit in {k.name for k in KITS} and genre in genres() for kit, genre in KIT_GENRE_PAIRS)
    presets = {p.id for i in by_name.values() for p in presets_of(i, (FLUID, MUSESCORE))}
    assert presets >= HELD_OUT_PRESETS
    assert len(INSTRUMENT_STYLE_PAIRS) == 40
    assert (len(KIT_GENRE_PAIRS), len(INSTRUMENT_ROOM_PAIRS), len(HELD_OUT_PRESETS)) == (10, 12, 10)


def test_held_out_presets_have_a_twin_in_training() -> None:
    for instrument in instruments():
        ids = [preset.id for preset in presets_of(instrument, (FLUID, MUSESCORE))]
        assert any(preset not in HELD_OUT_PRESETS for preset in ids)


def test_held_out_tempos_are_possible_and_their_neighbours_are_not() -> None:
    assert {95, 155} == HELD_OUT_TEMPOS
    assert set(TEMPOS) >= HELD_OUT_TEMPOS
    assert not SKIPPED_TEMPOS & set(TEMPOS)


def test_each_category_has_twelve_frames_and_two_held_out() -> None:
    assert all(len(set(frames)) >= 12 for frames in FRAMES.values())
    assert all(
        len(HELD_OUT_FRAMES[name]) == 2 and not set(HELD_OUT_FRAMES[name]) & set(FRAMES[name]) for name in FRAMES
    )


def test_recordings_are_held_out_by_fold_or_by_hash() -> None:
    assert recording_is_held_out("any", fold="5")
    assert not recording_is_held_out("any", fold="4")
    share = sum(recording_is_held_out(f"pack/file{k}.wav") for k in range(2_000)) / 2_000
    assert 0.08 < share < 0.12
