"""A post-trained model with its flow model next to it: guided requests are the flow's, all others its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

import arctone
from arctone.audio.waveform import Waveform
from arctone.inference.backends.base import VelocityInputs
from arctone.inference.backends.litert import LiteRTBackend
from arctone.inference.engine import Model
from arctone.inference.request import GenerationResult
from arctone.model_folder.config import DiTConfig, SamplingConfig, of_type
from arctone.model_folder.folder import DIT, FLOW, read_model_config

torch = pytest.importorskip("torch")

OWN = SamplingConfig("ping_pong", 3, 1.0, duration_seconds=1.0, post_trained=True)
FLOWS = SamplingConfig("euler", 5, 3.0, duration_seconds=1.0)


SOURCE = Waveform(np.random.default_rng(0).uniform(-0.1, 0.1, (2, 44_100)).astype(np.float32), 44_100)


def _post_trained(flow_model: Path, folder: Path) -> Path:
    """The tiny model as the flow model of itself: what differs is who is asked, and how it is sampled."""
    shutil.copytree(flow_model, folder)
    shutil.copy(folder / DIT, folder / FLOW)
    (folder / "hashes.json").unlink()
    config = msgspec.structs.replace(read_model_config(folder), sampling=OWN, flow_sampling=FLOWS)
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    return folder


@pytest.fixture(scope="module")
def folder(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _post_trained(tiny_model_folder, tmp_path_factory.mktemp("post-trained") / "tiny")


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[Model]:
    loaded = arctone.load(folder, engine="native", threads=1)
    yield loaded
    loaded.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Which transformers are asked."""
    names: set[str] = set()
    graph = LiteRTBackend._graph

    def noting(parts: LiteRTBackend, file: str) -> object:
        names.add(file)
        return graph(parts, file)

    monkeypatch.setattr(LiteRTBackend, "_graph", noting)
    return names


def _how(result: GenerationResult) -> tuple[object, ...]:
    return result.request.sampler, result.request.steps, result.request.cfg_scale


def test_without_guidance_the_model_is_asked_itself(model: Model, asked: set[str]) -> None:
    assert _how(model.generate("rain", seed=1)) == ("ping_pong", 3, 1.0)
    assert DIT in asked
    assert FLOW not in asked


@pytest.mark.parametrize(
    ("fields", "scale"),
    [
        ({"cfg_scale": 2.5}, 2.5),
        ({"negative_prompt": "wind"}, 3.0),
        ({"cfg_scale": 0}, 0),
        ({"loop": True}, 3.0),
        ({"duration_seconds": 4.0}, 3.0),  # more than one window
        ({"bars": 2, "bpm": 60}, 3.0),
        ({"source": SOURCE, "init_noise_level": 0.5}, 3.0),
        ({"source": SOURCE, "inpaint": ("0.2:0.4",)}, 3.0),
    ],
)
def test_with_guidance_the_flow_is_asked_as_it_is_sampled(
    model: Model, asked: set[str], fields: dict[str, object], scale: float
) -> None:
    result = model.generate("rain", seed=1, **fields)
    assert _how(result) == ("euler", 5, scale)
    assert FLOW in asked
    assert DIT not in asked
    assert result.warnings == ()


def test_what_the_flow_makes_is_what_the_flow_model_makes(model: Model, tiny_model_folder: Path) -> None:
    flow = arctone.load(tiny_model_folder, engine="native", threads=1)
    wanted = {"seed": 3, "cfg_scale": 3.0, "negative_prompt": "wind"}
    made = model.generate("rain", **wanted)
    direct = flow.generate("rain", steps=5, sampler="euler", duration_seconds=1.0, **wanted)
    flow.close()
    assert made.waveforms[0].samples.tobytes() == direct.waveforms[0].samples.tobytes()
    again = model.engine.generate(made.request)
    assert again.waveforms[0].samples.tobytes() == made.waveforms[0].samples.tobytes()


@pytest.mark.parametrize(
    "fields", [{"loop": True}, {"duration_seconds": 4.0}, {"source": SOURCE, "inpaint": ("0.2:0.4",)}]
)
def test_edits_at_a_stated_scale_of_one_are_the_models_own(
    model: Model, asked: set[str], fields: dict[str, object]
) -> None:
    assert _how(model.generate("rain", seed=1, cfg_scale=1, **fields)) == ("ping_pong", 3, 1.0)
    assert FLOW not in asked


def test_a_stated_scale_of_one_stays_the_models_own(model: Model) -> None:
    result = model.generate("rain", seed=1, cfg_scale=1, negative_prompt="wind")
    assert _how(result) == ("ping_pong", 3, 1.0)
    assert result.warnings == ("negative_prompt has no effect at cfg_scale 1.",)


def test_without_the_flow_a_post_trained_model_warns(folder: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(folder, tmp_path / "bare")
    (bare / FLOW).unlink()
    model = arctone.load(bare, engine="native", threads=1)
    result = model.generate("rain", seed=1, cfg_scale=2)
    model.close()
    assert _how(result) == ("ping_pong", 3, 2.0)
    assert ["has its guidance built in" in warning for warning in result.warnings] == [True]


def test_a_flow_next_to_a_flow_model_is_not_used(tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model_folder, tmp_path / "flow")
    (folder / "hashes.json").unlink()
    (folder / FLOW).write_bytes(b"no graph at all")
    model = arctone.load(folder, engine="native", threads=1)
    model.generate("rain", seed=1, cfg_scale=2, duration_seconds=1.0)
    model.close()


def test_torch_asks_the_flow_too(tiny_model_folder: Path) -> None:
    from arctone.inference.backends.torch import TorchBackend
    from arctone.models.dit import DiT

    torch.manual_seed(1)
    config = msgspec.structs.replace(read_model_config(tiny_model_folder), sampling=OWN, flow_sampling=FLOWS)
    own, flow = (DiT(of_type(config.dit, DiTConfig)).eval() for _ in range(2))
    for network in (own, flow):
        torch.nn.init.normal_(network.leave.weight, std=0.1)
    parts = TorchBackend(config, {"dit": lambda: own, "flow": lambda: flow})
    alone = TorchBackend(config, {"dit": lambda: flow})
    x, mask = (
        np.random.default_rng(0).standard_normal((config.dit.latent_channels, 20)).astype(np.float32),
        np.ones(20, bool),
    )
    made = [
        one.velocity(VelocityInputs(x, 0.5, None, 0.9, 0.0, mask), network)
        for one, network in ((parts, "flow"), (parts, "dit"), (alone, "dit"))
    ]
    assert parts.has_flow
    assert not alone.has_flow
    assert np.array_equal(made[0], made[2])
    assert np.abs(made[0] - made[1]).max() > 0.01


def test_the_record_of_a_guided_sound_tells_how_it_was_made(model: Model) -> None:
    request = json.loads(msgspec.json.encode(model.generate("rain", seed=1, cfg_scale=2).request))
    assert {name: request[name] for name in ("steps", "sampler", "cfg_scale")} == {
        "steps": 5,
        "sampler": "euler",
        "cfg_scale": 2.0,
    }
