"""A network with controls and known latents on the native engine: a tiny export, against torch and against itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import arctone
from arctone.audio.waveform import Waveform
from arctone.export.graphs import snr_db
from arctone.inference.backends.base import Floats, TextEmbedding, VelocityInputs
from arctone.inference.backends.litert import LiteRTBackend
from arctone.inference.backends.litert_graph import load_graph
from arctone.inference.engine import Model
from arctone.model_folder.config import CURVE_CONTROLS, NUMBER_CONTROLS
from arctone.model_folder.folder import DIT, read_model_config
from tests.tiny_model import PLAIN_DIT

NUM_FRAMES = 40
NUMBERS = {"key": 10.0, "note": 60.0, "steps": 4.0}


@pytest.fixture(scope="module")
def native(tiny_controls_folder: Path) -> Iterator[Model]:
    loaded = arctone.load(tiny_controls_folder, engine="native", threads=1)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def torch_model(tiny_controls_folder: Path) -> Iterator[Model]:
    pytest.importorskip("torch")
    loaded = arctone.load(tiny_controls_folder, engine="torch", device="cpu")
    yield loaded
    loaded.close()


def _curve(scale: float = 1.0) -> Floats:
    return np.stack([np.linspace(0.2, 0.8, NUM_FRAMES) * scale, np.ones(NUM_FRAMES)]).astype(np.float32)


GIVEN: dict[str, Any] = {**NUMBERS, **{name: _curve(100 if name == "pitch" else 1) for name in CURVE_CONTROLS}}


def _call(model: Model, **fields: Any) -> Floats:
    """Compute one velocity for fixed latents and text."""
    config, rng = model.engine.config, np.random.default_rng(3)
    text = TextEmbedding(
        rng.standard_normal((config.text.max_tokens, config.text.width)).astype(np.float32),
        np.arange(config.text.max_tokens) < 6,
        rng.standard_normal(config.text.width).astype(np.float32) / 6,
    )
    x = rng.standard_normal((config.dit.latent_channels, NUM_FRAMES)).astype(np.float32)
    nothing = np.zeros((config.dit.inpaint_channels, NUM_FRAMES), np.float32)
    call = VelocityInputs(x, 0.6, text, 1.5, 120.0, np.ones(NUM_FRAMES, bool), nothing)
    return model.engine.backend.velocity(call._replace(**fields))


def _known() -> Floats:
    latents = np.random.default_rng(5).standard_normal((8, NUM_FRAMES)).astype(np.float32)
    mask = (np.arange(NUM_FRAMES) < 12).astype(np.float32)
    return np.concatenate([mask[None], latents * mask])


CASES = [*((name, value) for name, value in GIVEN.items()), ("inpaint", _known())]


@pytest.mark.parametrize(("name", "value"), CASES, ids=[name for name, _ in CASES])
def test_each_condition_changes_the_sound_as_it_does_in_torch(
    native: Model, torch_model: Model, name: str, value: Any
) -> None:
    """The weights are the same; activations are rounded to 8 bit here and not there."""
    with_it, without = (
        [_call(model, **given) for model in (native, torch_model)] for given in ({name: value}, dict[str, Any]())
    )
    assert snr_db(with_it[1], with_it[0]) > 25
    changes = [after - before for after, before in zip(with_it, without, strict=True)]
    assert np.abs(changes[1]).max() > 1e-3
    assert np.corrcoef(changes[0].ravel(), changes[1].ravel())[0, 1] > 0.7


def test_controls_that_are_not_given_change_no_bit(tiny_controls_folder: Path) -> None:
    """The graph of the same network that never had their inputs and weights gives the same numbers."""
    config = read_model_config(tiny_controls_folder)
    graphs = [load_graph(tiny_controls_folder / name, threads=1) for name in (DIT, PLAIN_DIT)]
    rng = np.random.default_rng(1)
    inputs = {
        "x": rng.standard_normal((1, config.dit.latent_channels, 64)).astype(np.float32),
        "t": np.array([0.4], np.float32),
        "text_tokens": rng.standard_normal((1, config.text.max_tokens, config.text.width)).astype(np.float32),
        "text_mask": np.ones((1, config.text.max_tokens), np.float32),
        "text_pooled": rng.standard_normal((1, config.text.width)).astype(np.float32),
        "seconds": np.array([2.0], np.float32),
        "bpm": np.array([0.0], np.float32),
        "frame_mask": np.ones((1, 64), np.float32),
        "inpaint": rng.standard_normal((1, config.dit.inpaint_channels, 64)).astype(np.float32),
    }
    zeros = {name: np.zeros(1, np.float32) for name in NUMBER_CONTROLS}
    zeros |= {name: np.zeros((1, 2, 64), np.float32) for name in CURVE_CONTROLS}
    controlled, plain = graphs[0].run("T64", inputs | zeros), graphs[1].run("T64", inputs)
    assert np.array_equal(controlled["velocity"], plain["velocity"])
    assert np.abs(plain["velocity"]).max() > 0.01
    for graph in graphs:
        graph.close()


def test_a_curve_may_be_longer_than_it_is_given_for(native: Model) -> None:
    """Where the mask is 0 the value does not count."""
    hidden = _curve()
    hidden[1, 20:] = 0
    other = hidden.copy()
    other[0, 20:] = 0.9
    assert np.array_equal(_call(native, loudness=hidden), _call(native, loudness=other))
    assert not np.array_equal(_call(native, loudness=hidden), _call(native, loudness=_curve()))


SOURCE = Waveform(np.random.default_rng(0).uniform(-0.1, 0.1, (2, 44_100)).astype(np.float32), 44_100)


@pytest.mark.parametrize(("fields", "num_windows"), [
    ({}, 1), ({"prompt": "piano in C minor"}, 1), ({"duration_seconds": 4.0}, 2), ({"loop": True}, 2),
    ({"source": SOURCE, "inpaint": ("0.3:0.6",)}, 1), ({"source": SOURCE, "extend": True, "duration_seconds": 2.0}, 1),
    ({"source": SOURCE, "init_noise_level": 0.6}, 1),
])  # fmt: skip
def test_one_network_does_everything_in_its_own_number_of_calls(
    native: Model, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], num_windows: int
) -> None:
    calls: list[VelocityInputs] = []
    velocity = LiteRTBackend._velocity

    def noting(backend: LiteRTBackend, inputs: VelocityInputs, network: str) -> Floats:
        assert network == "dit"
        calls.append(inputs)
        return velocity(backend, inputs, network)

    monkeypatch.setattr(LiteRTBackend, "_velocity", noting)
    result = native.generate(fields.get("prompt", "rain"), seed=1, **{k: v for k, v in fields.items() if k != "prompt"})
    assert len(calls) == 4 * num_windows
    assert result.request.steps == 4
    assert {call.steps for call in calls} == {4.0}
    assert {call.key for call in calls} == {13.0 if "prompt" in fields else 0.0}
    sound = result.waveforms[0].samples
    assert np.isfinite(sound).all()
    if "inpaint" in fields:
        assert np.array_equal(sound[:, : round(0.28 * 44_100)], SOURCE.samples[:, : round(0.28 * 44_100)])
        assert not np.array_equal(sound, SOURCE.samples)
