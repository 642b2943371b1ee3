"""Editing of the bundled model, measured on the sound: what stays, what changes, and whether seams can be detected."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import arctone
from arctone.audio.loops import SeamScore, seam_score
from arctone.audio.regions import EXTEND_FADE_SECONDS, WINDOW_FADE_SECONDS
from arctone.audio.spectral.features import band_edges
from arctone.audio.spectral.stft import stft
from arctone.audio.waveform import Waveform, conform, resample
from arctone.inference.edit_plan import windows
from arctone.inference.engine import Model

RATE = 44_100
STEPS = 8


@pytest.fixture(scope="module")
def spark() -> Iterator[Model]:
    loaded = arctone.load("spark", threads=1)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def piano(spark: Model) -> Waveform:
    return made(spark, "solo piano melody", seed=1, duration_seconds=3.0)


@pytest.fixture(scope="module")
def drums(spark: Model) -> Waveform:
    return made(spark, "funky drum loop", seed=3, duration_seconds=3.0)


def made(model: Model, prompt: str, **fields: Any) -> Waveform:
    return model.generate(prompt, **{"steps": STEPS, **fields}).waveforms[0]


def are_inaudible(scores: list[SeamScore]) -> bool:
    """Whether seams are like other places of their sounds, where ranks are spread evenly from 0 to 1.

    A mean of such ranks lies two standard deviations above 0.5 with a chance of 2.3 %; of ranks above 0.97 as many are
    allowed as more of them have a chance below 2.5 %.
    """
    ranks, num = np.array([(score.step_rank, score.click_rank) for score in scores]), len(scores)
    chances = [math.comb(num, count) * 0.03**count * 0.97 ** (num - count) for count in range(num + 1)]
    allowed = next(count for count in range(num) if sum(chances[count + 1 :]) < 0.025)
    means_fit = ranks.mean(axis=0) < 0.5 + 2 / math.sqrt(12 * num)
    return bool(means_fit.all() and ((ranks > 0.97).sum(axis=0) <= allowed).all())


def distance_db(one: Waveform, two: Waveform) -> float:
    """Mean difference of 48 mel band levels in frames of 12 ms, without regard to the overall level."""
    bands = []
    for waveform in (one, two):
        padded = np.pad(waveform.samples, ((0, 0), (0, -waveform.num_samples % 512)))
        power = np.square(np.abs(stft(padded))).mean(axis=0)
        levels = 10 * np.log10(np.add.reduceat(power, band_edges()[:-1], axis=1) + 1e-6)
        bands.append(levels - levels.mean())
    return float(np.abs(bands[0] - bands[1]).mean())


@pytest.mark.parametrize("source", ["piano", "drums"])
def test_similarity_to_the_source_falls_with_the_noise_level(
    spark: Model, source: str, request: pytest.FixtureRequest
) -> None:
    sound = request.getfixturevalue(source)
    levels = (0.0, 0.25, 0.5, 0.75, 1.0)
    distances = [
        np.mean(
            [
                distance_db(sound, made(spark, "church organ", seed=seed, source=sound, init_noise_level=level))
                for seed in (5, 6, 7, 8)
            ]
        )
        for level in levels
    ]
    assert distances[0] == 0
    assert all(lower < higher for lower, higher in itertools.pairwise(distances)), distances


def test_noise_level_0_returns_the_source_bit_by_bit(spark: Model, piano: Waveform) -> None:
    assert np.array_equal(made(spark, "organ", source=piano, init_noise_level=0).samples, piano.samples)
    mono = Waveform(resample(piano, 32_000).samples[:1], 32_000)
    back = made(spark, "organ", source=mono, init_noise_level=0)
    assert np.array_equal(back.samples, conform(mono, RATE, 2).samples)


@pytest.mark.parametrize("sampler", ["euler", "ping_pong"])
def test_noise_level_1_forgets_the_source(spark: Model, piano: Waveform, drums: Waveform, sampler: str) -> None:
    fields: dict[str, Any] = {"seed": 9, "steps": 4, "sampler": sampler, "cfg_scale": 4}
    free = made(spark, "rain", duration_seconds=3.0, **fields)
    for source in (piano, drums):
        assert np.array_equal(made(spark, "rain", source=source, init_noise_level=1, **fields).samples, free.samples)


def test_noise_level_1_forgets_the_source_with_the_models_own_settings_too(spark: Model, piano: Waveform) -> None:
    free = made(spark, "rain", duration_seconds=3.0, seed=9)
    assert np.array_equal(made(spark, "rain", source=piano, init_noise_level=1, seed=9).samples, free.samples)


def test_a_low_noise_level_keeps_the_course_of_the_level(spark: Model, drums: Waveform) -> None:
    def course(sound: Waveform) -> np.ndarray:
        return np.log(np.square(sound.samples[:, : 60 * 2205]).mean(axis=0).reshape(60, -1).mean(axis=1) + 1e-6)

    edited = made(spark, "techno beat", seed=2, source=drums, init_noise_level=0.3)
    other = made(spark, "techno beat", seed=2, duration_seconds=3.0)
    assert np.corrcoef(course(edited), course(drums))[0, 1] > 0.9
    assert np.corrcoef(course(other), course(drums))[0, 1] < 0.7


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m", "ping_pong"])
def test_outside_the_regions_every_sample_stays(spark: Model, piano: Waveform, sampler: str) -> None:
    edited = made(spark, "church bells", seed=2, steps=4, sampler=sampler, source=piano, inpaint=("0.5:1.21", "2:2.4"))
    inside = np.zeros(piano.num_samples, bool)
    for first, end in ((0.5, 1.21), (2, 2.4)):
        inside[round(first * RATE) : round(end * RATE)] = True
    assert np.array_equal(edited.samples[:, ~inside], piano.samples[:, ~inside])
    assert np.mean(edited.samples[:, inside] != piano.samples[:, inside]) > 0.99


def test_what_is_made_in_a_region_does_not_depend_on_what_was_there(spark: Model, piano: Waveform) -> None:
    noisy = piano.samples.copy()
    middle = slice(round(1.1 * RATE), round(1.9 * RATE))
    noisy[:, middle] = np.random.default_rng(0).uniform(-0.9, 0.9, (2, middle.stop - middle.start))
    fields: dict[str, Any] = {"seed": 4, "steps": 4, "inpaint": ("1:2",)}
    one, two = (made(spark, "organ", source=Waveform(x, RATE), **fields) for x in (piano.samples, noisy))
    assert np.array_equal(one.samples, two.samples)
    # Unless it is asked to: below noise level 1 the region starts from what was there.
    one, two = (
        made(spark, "organ", source=Waveform(x, RATE), init_noise_level=0.5, **fields) for x in (piano.samples, noisy)
    )
    assert not np.array_equal(one.samples[:, middle], two.samples[:, middle])


def test_a_region_fits_its_surroundings(spark: Model) -> None:
    """The spectrum at the edges of what was made: within what the sound does elsewhere, on average."""
    ranks, clicks = [], []
    for prompt in ("rain on a tin roof", "wind howling", "solo piano melody"):
        source = made(spark, prompt, seed=1, duration_seconds=3.0)
        edited = made(spark, prompt, seed=7, source=source, inpaint=("1.03:2.11",))
        for edge in (1.03, 2.11):
            score = seam_score(edited, round(edge * RATE))
            ranks.append(score.step_rank)
            clicks.append(score.click_rank)
    assert np.mean(ranks) < 0.85
    assert np.mean(clicks) < 0.85


@pytest.mark.parametrize(("prompt", "seed"), [("rain on a tin roof", 3), ("a dark pad in C minor", 4)])
def test_a_continuation_keeps_the_source_and_its_level(spark: Model, prompt: str, seed: int) -> None:
    # The beginning of a longer sound: a whole one has ended after three seconds, and nothing goes on.
    whole = made(spark, prompt, seed=seed, duration_seconds=8.0)
    source = whole.with_samples(whole.samples[:, : 3 * RATE].copy())
    longer = made(spark, prompt, seed=5, source=source, extend=True, duration_seconds=8.0, normalize="off")
    kept = source.num_samples - round(EXTEND_FADE_SECONDS * RATE)
    assert longer.num_samples == 8 * RATE
    assert np.array_equal(longer.samples[:, :kept], source.samples[:, :kept])
    before, after = (20 * np.log10(longer.samples[:, i * RATE : (i + 1) * RATE].std()) for i in (2, 3))
    assert abs(after - before) < 3
    score = seam_score(longer, kept)
    assert score.step_rank < 0.99
    assert score.click_rank < 0.99


LONG_PROMPTS = ("rain on a tin roof", "a dark pad in C minor")
LONG_SECONDS = 14.0


@pytest.fixture(scope="module", params=LONG_PROMPTS)
def long_sounds(spark: Model, request: pytest.FixtureRequest) -> tuple[Waveform, ...]:
    """Twelve sounds of two windows, without levelling."""
    fields: dict[str, Any] = {"steps": 4, "duration_seconds": LONG_SECONDS, "normalize": "off"}
    return tuple(made(spark, request.param, seed=seed, **fields) for seed in range(3, 15))


def seam_between_windows(long: Waveform) -> int:
    """Return the sample that the second window's sound begins at."""
    assert long.num_samples == LONG_SECONDS * RATE
    (first, _) = windows(np.ones(-(-long.num_samples // 2048), bool), 256)
    return first.kept_stop * 2048


def test_seams_between_windows_are_inaudible(long_sounds: tuple[Waveform, ...]) -> None:
    scores, cuts = [], []
    for long in long_sounds:
        seam = seam_between_windows(long)
        scores += [seam_score(long, at) for at in (seam, seam + round(WINDOW_FADE_SECONDS / 2 * RATE))]
        # The same without care: another part of the sound, at another level, set hard against what was before.
        cut = np.concatenate([long.samples[:, :seam], 0.25 * long.samples[:, :seam]], axis=1)
        cuts.append(seam_score(Waveform(cut, RATE), seam))
    assert are_inaudible(scores)
    assert not are_inaudible(cuts)


def test_windows_go_on_at_the_level_of_the_one_before(long_sounds: tuple[Waveform, ...]) -> None:
    """Without matching, levels jumped by up to 13 dB; within one window they wander by 2 to 7 dB in the same time."""
    jumps = []
    for long in long_sounds[:4]:
        seam = seam_between_windows(long)
        before, after = (long.samples[:, at - RATE : at + RATE] for at in (seam - RATE, seam + 2 * RATE))
        jumps.append(abs(20 * np.log10(after.std() / before.std())))
    assert np.mean(jumps) < 3
    assert max(jumps) < 6


@pytest.mark.parametrize("prompt", ["rain on a tin roof", "techno loop", "solo piano melody"])
def test_the_seam_of_a_loop_is_no_louder_than_its_inside(spark: Model, prompt: str) -> None:
    loop = made(spark, prompt, seed=2, loop=True, bars=1, bpm=97)
    assert loop.num_samples == round(4 * 60 / 97 * RATE)
    # Loops are made by the flow model, so what they are compared with must be its own, too: guided.
    plain = made(spark, prompt, seed=2, bpm=97, duration_seconds=4 * 60 / 97, cfg_scale=4.0)
    with_seam, without = (seam_score(sound, 0, is_loop=True) for sound in (loop, plain))
    assert with_seam.step_rank < 0.97
    assert with_seam.click_rank < 1  # the seam lies on a beat, and a beat may click
    assert with_seam.step_db < without.step_db


@pytest.mark.parametrize("prompt", ["rain on a tin roof", "wind howling", "a dark pad in C minor"])
def test_the_seam_of_a_texture_is_inaudible(spark: Model, prompt: str) -> None:
    loops = [made(spark, prompt, seed=seed, loop=True, duration_seconds=2.5) for seed in range(2, 8)]
    assert are_inaudible([seam_score(loop, 0, is_loop=True) for loop in loops])


def test_a_recording_becomes_a_loop_that_changes_at_its_ends_only(spark: Model, piano: Waveform) -> None:
    loop = made(spark, "solo piano melody", seed=2, source=piano, init_noise_level=0, loop=True)
    inside = slice(round(0.51 * RATE), piano.num_samples - round(0.51 * RATE))
    assert np.array_equal(loop.samples[:, inside], piano.samples[:, inside])
    assert seam_score(loop, 0, is_loop=True).click_rank < 0.97


EDITS: list[dict[str, Any]] = [
    {"init_noise_level": 0.6},
    {"inpaint": ("1:2",)},
    {"extend": True, "duration_seconds": 4.0},
    {"loop": True, "init_noise_level": 0.8},
]


@pytest.mark.parametrize("fields", EDITS)
def test_each_variation_of_an_edit_equals_its_seed_alone(spark: Model, piano: Waveform, fields: dict[str, Any]) -> None:
    together = spark.generate("organ", source=piano, seed=7, steps=3, variations=2, **fields)
    first, second = (made(spark, "organ", source=piano, seed=seed, steps=3, **fields) for seed in (7, 8))
    assert np.array_equal(together.waveforms[0].samples, first.samples)
    assert np.array_equal(together.waveforms[1].samples, second.samples)
    assert not np.array_equal(first.samples, second.samples)


def test_the_threads_change_no_sample_of_a_long_sound(spark: Model) -> None:
    one, two = (made(spark, "rain", seed=1, steps=1, duration_seconds=14.0, threads=n) for n in (1, 2))
    assert np.array_equal(one.samples, two.samples)
