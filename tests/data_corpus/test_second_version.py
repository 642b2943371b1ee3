"""Version 2 of the corpus: short clips, clean ends, keys that are said; version 1 stays what it was."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from arctone.data.corpus import Corpus
from arctone.data.corpus.corpus import category_of
from arctone.data.corpus.performers import begun, faded, length_factor, stretched, tilted, transposed
from arctone.data.corpus.plans import NotesLayer, Plan, SoundLayer
from arctone.data.corpus.second_version import SECOND_SHARES, revised
from arctone.data.corpus.splits import find_broken_rules
from arctone.data.sources import open_source
from arctone.errors import UsageError

RATE = 44_100


@pytest.fixture(scope="module")
def second() -> Corpus:
    """600 clips of version 2 without soundfonts and recordings."""
    return Corpus(seed=3, size=600, soundfonts=(), sonic_pi=None, version=2)


def test_version_1_is_what_it_was() -> None:
    """Published tables refer to these clips; the facts of the first 120 were hashed before version 2 existed."""
    corpus = Corpus(seed=3, size=300, soundfonts=(), sonic_pi=None)
    digest = hashlib.sha256(b"".join(msgspec.json.encode(corpus.info(index)) for index in range(120)))
    assert digest.hexdigest() == "915be755b123178c881f4f1e11f150c2d333584076c41dec769abe8a6dcc94ca"


def test_a_quarter_of_the_clips_is_short(second: Corpus) -> None:
    seconds = np.array([second.info(index).duration_seconds for index in range(len(second))])
    assert 0.2 <= (seconds < 2).mean() <= 0.32
    assert seconds.min() >= 0.2
    assert (seconds < 0.5).mean() > 0.03


def test_clips_end_without_a_cut_and_short_ones_begin_at_once(second: Corpus) -> None:
    short = [index for index in range(len(second)) if second.info(index).duration_seconds < 2]
    for index in [*short[:24], *range(0, 60, 5)]:
        sound = np.abs(second.waveform(index).samples).max(axis=0)
        assert sound.max() > 0.4
        assert sound[-RATE // 1000 :].max() < 0.01
        if index in short and second.info(index).category != "ambience":
            assert np.argmax(sound > 0.01 * sound.max()) < 0.02 * RATE


def test_half_of_the_captions_that_can_say_a_key_do(second: Corpus) -> None:
    infos = [second.info(index) for index in range(len(second))]
    said = [info.key in caption for info in infos if info.key for caption in info.captions]
    assert 0.42 < np.mean(said) < 0.58
    assert all(info.category != "mixture" for info in infos if info.key)


def test_no_training_clip_breaks_a_rule(second: Corpus) -> None:
    for index in range(len(second)):
        info, plan = second.info(index), second.plan(index)
        broken = find_broken_rules(
            plan.pairs, plan.bpm, [(r.source, r.fold) for r in plan.recordings()], plan.presets()
        )
        assert info.held_out == (broken if info.split != "test" else broken or ("unseen_wording",))


def test_shares_of_categories_hold() -> None:
    counts = dict.fromkeys(SECOND_SHARES, 0)
    for number in range(1000):
        counts[category_of(number, SECOND_SHARES)] += 1
    assert all(abs(counts[category] - share) <= 2 for category, share in SECOND_SHARES.items())


def test_loops_keep_their_bars(second: Corpus) -> None:
    for index in range(len(second)):
        plan = second.plan(index)
        if plan.category in ("drums", "music"):
            bars = plan.num_samples / RATE * (plan.bpm or 0) / 240
            assert bars == pytest.approx(round(bars), abs=1e-4)
            assert not plan.trimmed


def test_the_version_is_an_option_of_the_source() -> None:
    source = open_source("corpus:version=2,seed=3,size=20")
    assert source.info(0).id.startswith("corpus2-3-")
    with pytest.raises(UsageError, match="version must be 1 or 2, got 3"):
        Corpus(version=3)


def test_transposing_multiplies_frequencies_and_divides_the_length() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)[None].repeat(2, axis=0)
    octave = transposed(tone, 12.0)
    assert octave.shape[1] == pytest.approx(RATE / 2, abs=2)
    assert _frequency(octave) == pytest.approx(880, rel=0.002)
    assert length_factor(12.0, 1.5) == pytest.approx(0.75)


@pytest.mark.parametrize("factor", [0.75, 1.3])
def test_stretching_keeps_pitch_and_level(factor: float) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)[None].repeat(2, axis=0)
    longer = stretched(tone, factor)
    assert longer.shape[1] == pytest.approx(factor * RATE, abs=2048)
    assert _frequency(longer) == pytest.approx(440, rel=0.003)
    middle = longer[:, 4096:-4096]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(np.sqrt(0.5), rel=0.03)


def test_tilting_has_its_decibels() -> None:
    noise = np.random.default_rng(0).standard_normal((2, RATE)).astype(np.float32)
    gain = np.abs(np.fft.rfft(tilted(noise, 6.0))) / np.abs(np.fft.rfft(noise))
    assert 20 * np.log10(gain[0, [100, 1414, 12_000]]) == pytest.approx([-3.0, 0.0, 3.0], abs=0.05)


def test_beginnings_are_found_and_ends_fade() -> None:
    sound = np.zeros((2, RATE), np.float32)
    sound[:, 10_000:] = 0.5
    assert np.argmax(begun(sound, 5_000)[0] > 0) == 88
    assert begun(sound, RATE).shape == (2, RATE)
    ending = faded(sound - sound.mean(), 0.5)
    assert np.abs(ending[:, -40:]).max() < 1e-4
    assert np.abs(begun(np.zeros((2, 100), np.float32), 50)).max() == 0


def test_a_short_note_leaves_its_room_and_its_pair(second: Corpus) -> None:
    plan = next(
        second.plan(index)
        for index in range(len(second))
        if second.plan(index).category == "note" and second.plan(index).num_samples < 2 * RATE
    )
    assert plan.room == plan.attributes["room"] == "dry"
    assert all(second_value == "dry" for kind, _, second_value in plan.pairs if kind == "room")
    layer = plan.layers[0]
    assert isinstance(layer, NotesLayer)
    assert layer.frame.seconds < plan.num_samples / RATE


def test_a_repeated_effect_keeps_its_times() -> None:
    layer = SoundLayer("EFFECTS/0", 0.0, 3, 0.8)
    plan = Plan("effect", "effect", 3 * RATE, (layer,), {}, {})
    assert revised(plan, np.random.default_rng(0)).layers == (replace(layer),)


def _frequency(audio: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(audio[0] * np.hanning(audio.shape[1])))
    return float(np.argmax(spectrum) * RATE / audio.shape[1])
