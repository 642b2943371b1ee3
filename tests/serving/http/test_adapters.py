"""Adapters by request: their effect, several at once, and refusals in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from starlette.testclient import TestClient

import arctone
from arctone.audio.files import encode_audio
from arctone.audio.tags import read_metadata
from arctone.checkpoints.folder import DIT, part_hash
from arctone.checkpoints.lora import Origin, save_adapter
from arctone.errors import UsageError
from arctone.models.lora import BLOCK_MATRICES, LoraConfig
from arctone.serving.http.adapters import AdaptedEngine, parse_named_folders
from tests.serving.http.conftest import QUICK, Client, error_of, finished, order, take_of
from tests.tiny_model import write_checkpoint


def write_adapter(folder: Path, checkpoint: Path, seed: int) -> Path:
    """An adapter with random weights, large enough to change the sound."""
    generator = torch.Generator().manual_seed(seed)
    pairs = {}
    with safe_open(checkpoint / f"{DIT}.safetensors", "pt") as file:
        for name in file.keys():  # noqa: SIM118
            layer = name.removesuffix(".weight")
            if name.endswith(".weight") and any(layer.endswith(f".{matrix}") for matrix in BLOCK_MATRICES):
                rows, columns = file.get_slice(name).get_shape()
                pairs[layer] = (
                    torch.randn(2, columns, generator=generator) / 4,
                    torch.randn(rows, 2, generator=generator) / 4,
                )
    assert pairs
    save_adapter(
        folder, pairs, LoraConfig(rank=2, alpha=2), Origin(base_name="tiny", base_hash=part_hash(checkpoint, DIT))
    )
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("adapters")
    base = write_checkpoint(root / "tiny")
    return {"base": base, **{name: write_adapter(root / name, base, n) for n, name in enumerate(("dogs", "birds"))}}


@pytest.fixture
def client(serve: Client, folders: dict[str, Path]) -> TestClient:
    def open_with(pairs: tuple[tuple[Path, float], ...]) -> Any:
        return arctone.load(folders["base"], engine="torch", threads=1, adapters=pairs).engine

    named = {name: folder for name, folder in folders.items() if name != "base"}
    return serve(AdaptedEngine(open_with(()), named, open_with))


@pytest.fixture
def direct(folders: dict[str, Path]) -> Callable[..., bytes]:
    """The file that the engine itself makes with adapters."""

    def make(**strengths: float) -> bytes:
        pairs = tuple((folders[name], strength) for name, strength in strengths.items())
        model = arctone.load(folders["base"], engine="torch", threads=1, adapters=pairs)
        result = model.generate(**QUICK, seed=7)
        return encode_audio(result.waveforms[0], metadata=result.to_metadata(0))

    return make


def test_each_request_has_its_own_adapters(client: TestClient, direct: Callable[..., bytes], tmp_path: Path) -> None:
    wanted: list[dict[str, float]] = [{}, {"dogs": 1.0}, {"dogs": 0.5, "birds": 1.0}, {"birds": 1.0}, {"dogs": 1.0}, {}]
    jobs = [order(client, seed=7, **({"lora": one} if one else {})) for one in wanted]
    sounds = [take_of(client, job) for job in jobs]
    assert sounds == [direct(**one) for one in wanted]
    assert len(set(sounds)) == 4
    done = finished(client, jobs[2])
    assert done["request"]["lora"] == {"dogs": 0.5, "birds": 1.0}
    (tmp_path / "take.wav").write_bytes(sounds[2])
    record = read_metadata(tmp_path / "take.wav")
    assert record is not None
    assert [(use["name"], use["strength"]) for use in record["adapters"]] == [("dogs", 0.5), ("birds", 1.0)]


def test_strength_0_is_the_model_itself(client: TestClient) -> None:
    plain = take_of(client, order(client, seed=7))
    assert take_of(client, order(client, seed=7, lora={"dogs": 0})) == plain
    assert take_of(client, order(client, seed=7, lora=None)) == plain


def test_models_tell_their_adapters(client: TestClient) -> None:
    (model,) = client.get("/v1/models").json()["models"]
    assert model["adapters"] == ["dogs", "birds"]
    schema = client.get("/openapi.json").json()["components"]["schemas"]["JobRequest"]["properties"]["lora"]
    assert set(schema["properties"]) == {"dogs", "birds"}


@pytest.mark.parametrize("value", ["dogs", {"cats": 1}, {"dogs": -1}, {"dogs": 3}, {"dogs": "1"}, {"dogs": True}])
def test_a_wrong_adapter_is_refused_by_name(client: TestClient, value: Any) -> None:
    error = error_of(client.post("/v1/jobs", json={**QUICK, "lora": value}), 400, "invalid_request")
    assert error["parameter"] == "lora"
    assert error["message"].startswith("lora")


def test_without_adapters_the_way_to_them_is_named(serve: Client) -> None:
    error = error_of(serve().post("/v1/jobs", json={**QUICK, "lora": {"dogs": 1}}), 400, "invalid_request")
    assert "--lora NAME=FOLDER" in error["message"]


@pytest.mark.parametrize("words", [["dogs"], ["=x"], ["a/b=x"], ["dogs="], ["dogs=x", "dogs=y"]])
def test_options_that_name_no_folder_are_refused(words: list[str]) -> None:
    with pytest.raises(UsageError, match="lora"):
        parse_named_folders(words)


def test_strengths_are_audible(direct: Callable[..., bytes]) -> None:
    weak, strong = (np.frombuffer(direct(dogs=value)[-8000:], "<i2").astype(float) for value in (0.1, 1.5))
    assert np.abs(weak - strong).max() > 100
