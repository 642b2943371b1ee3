"""Clips are functions of seed and number, have their promised length and level, and know their origin."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from contextlib import closing

import numpy as np
import pytest

from arctone.data.corpus import Corpus, library
from arctone.data.corpus.corpus import CATEGORY_SHARES, category_of
from arctone.data.encode import render_in_order
from arctone.data.sound import ClipSource
from arctone.errors import ArctoneError, UsageError


def _small() -> Corpus:
    return Corpus(seed=3, size=40, soundfonts=(), sonic_pi=None)


def _samples(index: int) -> bytes:
    return _small().waveform(index).samples.tobytes()


def test_corpus_is_a_clip_source(synthetic: Corpus) -> None:
    assert isinstance(synthetic, ClipSource)
    assert len(synthetic) == 600


def test_same_seed_same_clip_other_seed_other_clip() -> None:
    clip = _small().waveform(5).samples
    other = Corpus(seed=4, size=40, soundfonts=(), sonic_pi=None)
    assert np.array_equal(clip, _small().waveform(5).samples)
    assert other.info(5).captions != _small().info(5).captions


def test_a_clip_does_not_depend_on_what_was_made_before() -> None:
    alone = {index: _small().waveform(index).samples for index in (5, 6, 9)}
    corpus = _small()
    in_turn = {index: corpus.waveform(index).samples for index in (9, 8, 6, 5)}
    assert all(np.array_equal(alone[index], in_turn[index]) for index in alone)


def test_soundfont_clips_do_not_depend_on_what_was_made_before(with_fonts: Corpus) -> None:
    musical = [k for k in range(40) if with_fonts.info(k).category in ("phrase", "drums", "music")][:6]
    first = [with_fonts.waveform(k).samples.copy() for k in musical]
    again = [with_fonts.waveform(k).samples for k in reversed(musical)]
    assert all(np.array_equal(a, b) for a, b in zip(first, reversed(again), strict=True))


def test_workers_use_the_soundfonts_that_were_loaded_before_and_make_the_same_clips(
    with_fonts: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    musical = [k for k in range(40) if with_fonts.info(k).category in ("phrase", "drums", "music")][:4]
    wanted = [with_fonts.waveform(k).samples for k in musical]
    with_fonts.prepare(musical)
    monkeypatch.setattr(library, "_load", lambda path: pytest.fail(f"{path} is loaded again"))
    with closing(render_in_order(with_fonts, musical, 2)) as rendered:
        found = [one.samples for one in rendered if not isinstance(one, ArctoneError)]
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_two_processes_make_the_same_clips() -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        elsewhere = pool.map(_samples, [2, 7])
    assert elsewhere == [_samples(2), _samples(7)]


def test_a_clip_does_not_depend_on_the_size_of_the_corpus(synthetic: Corpus) -> None:
    assert synthetic.info(11) == _small().info(11)


def test_waveforms_keep_their_promises(synthetic: Corpus) -> None:
    for index in range(24):
        info, waveform = synthetic.info(index), synthetic.waveform(index)
        assert waveform.sample_rate == 44_100
        assert waveform.samples.shape == (2, round(info.duration_seconds * 44_100))
        assert waveform.duration_seconds == info.duration_seconds
        assert 10 ** (-6.1 / 20) <= np.abs(waveform.samples).max() < 10 ** (-0.2 / 20), info.caption
        assert np.all(waveform.samples[:, -1] == 0)


def test_durations_lie_in_the_range_and_average_about_six_seconds(synthetic: Corpus) -> None:
    seconds = [synthetic.info(k).duration_seconds for k in range(600)]
    assert min(seconds) >= 2.0
    assert max(seconds) <= 11.81
    assert 5.5 < np.mean(seconds) < 7.5


def test_loops_are_whole_bars(synthetic: Corpus) -> None:
    loops = [info for k in range(600) if (info := synthetic.info(k)).category in ("drums", "music")]
    assert len(loops) > 100
    for info in loops:
        assert info.bpm is not None
        bars = info.duration_seconds * info.bpm / 240
        assert bars == pytest.approx(round(bars), abs=2e-4)
        assert round(bars) >= 1


def test_shares_of_categories_hold_in_every_stretch() -> None:
    total = sum(CATEGORY_SHARES.values())
    for start in (0, 5_000, 123_456):
        counts = Counter(category_of(k) for k in range(start, start + 2_000))
        assert all(abs(counts[c] / 2_000 - share / total) < 0.005 for c, share in CATEGORY_SHARES.items())


def test_every_clip_names_licence_source_and_family(synthetic: Corpus) -> None:
    infos = [synthetic.info(k) for k in range(600)]
    assert {info.licence for info in infos} == {"CC0-1.0"}
    assert {info.source for info in infos} == {"arctone synth"}
    assert all(info.attributes["family"] and info.attributes["category"] == info.category for info in infos)
    assert len({info.id for info in infos}) == 600


def test_soundfont_clips_carry_the_licence_of_the_font(with_fonts: Corpus) -> None:
    infos = [with_fonts.info(k) for k in range(200)]
    fluid = [info for info in infos if "FluidR3_GM" in info.source]
    assert len(fluid) > 100
    assert all("MIT" in info.licence for info in fluid)


def test_missing_sources_are_reported_and_left_out() -> None:
    corpus = Corpus(size=4, soundfonts=["/nowhere/FluidR3_GM.sf2"], sonic_pi=None, pack="/nowhere/pack")
    assert len(corpus.missing) == 2
    assert "FluidR3_GM" in corpus.missing[0]
    assert corpus.info(0).source == "arctone synth"


def test_splits_partition_the_corpus() -> None:
    parts = {s: Corpus(seed=3, size=200, soundfonts=(), sonic_pi=None, split=s) for s in ("train", "valid", "test")}
    ids = [part.info(k).id for part in parts.values() for k in range(len(part))]
    assert sorted(ids) == [f"corpus-3-{k:06d}" for k in range(200)]
    assert all(part.info(k).split == split for split, part in parts.items() for k in range(len(part)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"seed": -1}, "seed must be from 0"),
        ({"split": "dev"}, "split must be all, train, valid or test, got 'dev'"),
        ({"soundfonts": ["other.sf2"]}, "soundfonts: other.sf2 is unknown"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Corpus(**{"soundfonts": (), "sonic_pi": None, **arguments})  # type: ignore[arg-type]


def test_numbers_outside_are_refused(synthetic: Corpus) -> None:
    with pytest.raises(IndexError, match="index must be from 0 to 599, got 600"):
        synthetic.info(600)
