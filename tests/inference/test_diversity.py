"""Diverse requests: the choice by latents, and its way through the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import arctone
from arctone.errors import UsageError
from arctone.inference.diversity import farthest_points, latent_statistics, order_by_diversity, standardised
from arctone.inference.engine import Model
from arctone.inference.request import (
    CANDIDATES_PER_SOUND,
    Defaults,
    GenerationRequest,
    GenerationResult,
    from_metadata,
    validate,
)
from arctone.inference.resolution import resolve
from tests.inference.test_controls import FakeBackend, generate_with

CHANNELS, FRAMES = 4, 30


def _latents(means: np.ndarray[Any, Any], seed: int = 0) -> list[np.ndarray[Any, Any]]:
    """Noise [C, T] around a mean for each candidate; means: [K, C]."""
    rng = np.random.default_rng(seed)
    noise = 0.05 * rng.standard_normal((len(means), CHANNELS, FRAMES))
    return list((means[:, :, None] + noise).astype(np.float32))


def test_one_of_each_kind_is_chosen() -> None:
    kinds = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0]], np.float64)
    order = order_by_diversity(_latents(kinds[np.arange(12) % 3]), 3)
    assert sorted(order) == list(range(12))
    assert sorted(number % 3 for number in order[:3]) == [0, 1, 2]


def test_outliers_come_last_and_are_not_chosen() -> None:
    means = np.random.default_rng(1).standard_normal((16, CHANNELS))
    means[5] += 30
    means[11] -= 30
    assert set(order_by_diversity(_latents(means), 4)[-2:]) == {5, 11}


def test_all_are_kept_where_there_are_no_more() -> None:
    means = np.random.default_rng(1).standard_normal((8, CHANNELS))
    means[5] += 30
    assert sorted(order_by_diversity(_latents(means), 8)) == list(range(8))


def test_the_scale_of_a_channel_decides_nothing() -> None:
    latents = _latents(np.random.default_rng(2).standard_normal((12, CHANNELS)))
    louder = [one * np.array([[1000], [1], [1], [1]], np.float32) for one in latents]
    assert order_by_diversity(latents, 4) == order_by_diversity(louder, 4)


def test_sounds_that_differ_only_in_their_movement_differ() -> None:
    rng = np.random.default_rng(3)
    still, rough = np.ones((6, CHANNELS, FRAMES)), np.ones((6, CHANNELS, FRAMES))
    rough += np.tile([1.0, -1.0], FRAMES // 2)
    latents = [one + 0.01 * rng.standard_normal((CHANNELS, FRAMES)) for one in (*still, *rough)]
    first, second = order_by_diversity(latents, 2)[:2]
    assert (first < 6) != (second < 6)


@pytest.mark.parametrize("num_frames", [0, 1, 5])
def test_equal_candidates_of_any_length_are_ordered(num_frames: int) -> None:
    order = order_by_diversity([np.ones((CHANNELS, num_frames), np.float32)] * 6, 2)
    assert sorted(order) == list(range(6))


def test_the_statistics_are_those_of_the_formula() -> None:
    found = latent_statistics(np.array([[1.0, 3.0, 1.0, 3.0]], np.float32))
    assert found.tolist() == [2.0, 1.0, 2.0]
    points = standardised(np.array([[1.0, 7.0], [3.0, 7.0]]))
    assert points.tolist() == [[-1.0, 0.0], [1.0, 0.0]]


def test_farthest_points_on_a_line() -> None:
    assert farthest_points(np.array([[0.0], [1.0], [4.9], [10.0], [9.0]])) == [0, 3, 2, 1, 4]


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> Model:
    return arctone.load(tiny_model_folder)


def _same(one: GenerationResult, item: int, other: GenerationResult) -> bool:
    return bool(np.array_equal(one.waveforms[item].samples, other.waveforms[0].samples))


@pytest.mark.parametrize("fields", [{"duration_seconds": 0.5}, {"duration_seconds": 3.5, "steps": 2}])
def test_each_kept_take_is_that_of_its_seed_alone(model: Model, fields: dict[str, Any]) -> None:
    result = model.generate("rain", variations=2, diverse=True, seed=40, **fields)
    assert result.selection is not None
    assert (result.selection.num_candidates, result.selection.first_seed) == (2 * CANDIDATES_PER_SOUND, 40)
    assert result.selection.kept == result.seeds == tuple(sorted(set(result.seeds)))
    assert set(result.seeds) <= set(range(40, 40 + 2 * CANDIDATES_PER_SOUND))
    for item, seed in enumerate(result.seeds):
        assert _same(result, item, model.generate("rain", seed=seed, **fields))
        record = result.to_metadata(item)
        assert record["selection"] == {"num_candidates": 8, "first_seed": 40, "kept": list(result.seeds)}
        alone = from_metadata(record)
        assert (alone.seed, alone.variations, alone.diverse) == (seed, 1, False)
        assert _same(result, item, model.engine.generate(alone))
    again = model.engine.generate(from_metadata(result.to_record()))
    assert again.seeds == result.seeds


def test_a_diverse_loop_is_a_loop(model: Model) -> None:
    result = model.generate("rain", variations=2, diverse=True, seed=1, duration_seconds=1.0, loop=True)
    assert _same(result, 1, model.generate("rain", seed=result.seeds[1], duration_seconds=1.0, loop=True))


def test_a_plain_request_has_no_selection(model: Model) -> None:
    result = model.generate("rain", variations=2, seed=1, duration_seconds=0.5)
    assert result.selection is None
    assert "selection" not in result.to_metadata(0)
    assert result.seeds == (1, 2)


@pytest.mark.parametrize("loop", [False, True])
def test_progress_only_grows_and_ends_where_it_should(loop: bool) -> None:
    events = [
        event
        for event in generate_with(FakeBackend(), variations=3, diverse=True, loop=loop, seed=1)
        if not isinstance(event, GenerationResult) and event.stage in ("sampling", "decoding")
    ]
    assert all(0 <= event.step <= event.num_steps for event in events)
    assert [event.item for event in events] == sorted(event.item for event in events)
    last = [event for event in events if event.item == 2]
    for stage in ("sampling", "decoding"):
        steps = [event.step for event in last if event.stage == stage]
        assert steps == sorted(steps)
        assert steps[-1] == next(event.num_steps for event in last if event.stage == stage)
    assert {event.stage for event in events if event.item < 2} == {"sampling"}


def test_silent_candidates_give_way_to_others() -> None:
    result = [*generate_with(FakeBackend(num_silent=2), variations=2, diverse=True, seed=1, normalize="off")][-1]
    assert isinstance(result, GenerationResult)
    assert all(np.abs(sound.samples).max() > 0.1 for sound in result.waveforms)


def test_where_all_are_silent_silence_is_kept() -> None:
    result = [*generate_with(FakeBackend(num_silent=99), variations=2, diverse=True, seed=1)][-1]
    assert isinstance(result, GenerationResult)
    assert len(result.waveforms) == 2


def test_what_cannot_be_diverse_is_refused() -> None:
    with pytest.raises(UsageError, match="diverse needs at least 2 variations"):
        validate(GenerationRequest(prompt="rain", diverse=True))
    with pytest.raises(UsageError, match="seed must leave room for 8 candidates below"):
        validate(GenerationRequest(prompt="rain", diverse=True, variations=2, seed=2**63 - 7))
    long = GenerationRequest(prompt="rain", diverse=True, variations=8, duration_seconds=60)
    defaults = Defaults(duration_seconds=8, max_duration_seconds=300, steps=8, cfg_scale=1, sampler="euler")
    with pytest.raises(UsageError, match="got 32 candidates of 60 seconds"):
        resolve(long, defaults)
