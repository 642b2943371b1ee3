"""Requests near a seed: the text form, the noise on the sphere, and its way through the engine."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import arctone
from arctone.errors import UsageError
from arctone.flow.noise import item_noise, mixed_noise
from arctone.inference.engine import Model
from arctone.inference.near import MAX_NEAR_LENGTH, MAX_PARENTS, PATTERN, parse_near, write_near
from arctone.inference.request import GenerationRequest, GenerationResult, from_metadata, validate
from tests.inference.test_controls import FakeBackend, generate_with

HALF = math.sqrt(0.5)


@pytest.mark.parametrize(("text", "parents", "amount"), [
    ("7:0.3", {7: 1.0}, 0.3),
    ("7+12:0.5", {7: HALF, 12: HALF}, 0.5),
    (" 7*3 + 12*4 : 1 ", {7: 0.6, 12: 0.8}, 1.0),
    ("7+7+12*2:0", {7: HALF, 12: HALF}, 0.0),
    (f"{2**63 - 1}:0", {2**63 - 1: 1.0}, 0.0),
])  # fmt: skip
def test_the_text_form_is_read(text: str, parents: dict[int, float], amount: float) -> None:
    assert " " in text or len(text) > 18 or re.fullmatch(PATTERN, text)
    near = parse_near(text)
    assert dict(near.parents) == pytest.approx(parents)
    assert near.amount == amount


@pytest.mark.parametrize("text", [
    "", "7", "7:", ":0.3", "7:1.1", "7:-0.1", "7:nan", "x:0.3", "-7:0.3", "7*0:0.3", "7*-1:0.3", "7+:0.3", "7:0.3:0.3",
    f"{2**63}:0.3", "7:1e-3", "+".join(map(str, range(MAX_PARENTS + 1))) + ":0.3",
])  # fmt: skip
def test_anything_else_is_refused_in_one_sentence(text: str) -> None:
    assert not re.fullmatch(PATTERN, text)
    with pytest.raises(UsageError, match=r'near must be SEED:AMOUNT such as "7:0\.3"') as caught:
        validate(GenerationRequest(prompt="rain", near=text))
    assert caught.value.field == "near"


@given(
    st.dictionaries(st.integers(0, 2**63 - 1), st.floats(0.01, 1), min_size=1, max_size=MAX_PARENTS + 8),
    st.floats(0, 1),
    st.integers(0, 2**63 - 1),
)
def test_what_is_written_is_read_and_variance_is_kept(weights: dict[int, float], amount: float, seed: int) -> None:
    text = write_near(weights, amount)
    assert len(text) <= MAX_NEAR_LENGTH
    near = parse_near(text)
    assert len(near.parents) == min(len(weights), MAX_PARENTS)
    for found in (dict(near.parents), near.weights(seed)):
        assert sum(weight**2 for weight in found.values()) == pytest.approx(1)


def test_a_parent_that_is_the_fresh_seed_keeps_the_variance_too() -> None:
    assert parse_near("7:0.5").weights(7) == {7: 1.0}


def test_amounts_are_angles_on_the_sphere() -> None:
    shape = (64, 200)
    parent, fresh = item_noise(7, 3, shape), item_noise(8, 3, shape)
    for amount in (0.0, 0.25, 0.5, 1.0):
        mixed = mixed_noise(parse_near(f"7:{amount}").weights(8), 3, shape)
        cosine = float(np.sum(mixed * parent) / np.linalg.norm(mixed) / np.linalg.norm(parent))
        assert cosine == pytest.approx(math.cos(amount * math.pi / 2), abs=0.02)
        assert float(mixed.std()) == pytest.approx(1, abs=0.02)
    assert np.array_equal(mixed_noise(parse_near("7:0").weights(8), 3, shape), parent)
    assert np.allclose(mixed_noise(parse_near("7:1").weights(8), 3, shape), fresh)


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> Model:
    return arctone.load(tiny_model_folder)


def _samples(result: GenerationResult, item: int = 0) -> Any:
    return result.waveforms[item].samples


@pytest.mark.parametrize("fields", [{"duration_seconds": 0.5}, {"duration_seconds": 3.5, "steps": 2}])
def test_nothing_away_from_a_seed_is_its_sound(model: Model, fields: dict[str, Any]) -> None:
    own = model.generate("rain", seed=7, **fields)
    assert np.array_equal(_samples(model.generate("rain", near="7:0", seed=9, **fields)), _samples(own))


def test_the_further_away_the_more_a_sound_differs(model: Model) -> None:
    fields: dict[str, Any] = {"duration_seconds": 0.5, "normalize": "off"}
    own = _samples(model.generate("rain", seed=7, **fields))
    found = [
        float(np.abs(_samples(model.generate("rain", near=f"7:{amount}", seed=9, **fields)) - own).mean())
        for amount in (0, 0.1, 0.5, 1)
    ]
    assert found == sorted(found)
    assert found[0] == 0 < found[1]


def test_variations_near_a_seed_are_those_of_their_records(model: Model) -> None:
    result = model.generate("rain", near="7+12:0.3", seed=3, variations=2, duration_seconds=0.5)
    assert not np.array_equal(_samples(result, 0), _samples(result, 1))
    alone = from_metadata(result.to_metadata(1))
    assert (alone.near, alone.seed) == ("7+12:0.3", 4)
    assert np.array_equal(_samples(model.engine.generate(alone)), _samples(result, 1))


def test_the_network_starts_from_the_mixed_noise() -> None:
    backend = FakeBackend()
    list(generate_with(backend, near="7+12:0.3", seed=3))
    inputs = backend.calls[0][0]
    expected = mixed_noise(parse_near("7+12:0.3").weights(3), 0, inputs.x.shape)
    assert np.allclose(inputs.x, expected * inputs.t, atol=1e-6)
