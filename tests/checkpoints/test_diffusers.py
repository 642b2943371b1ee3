"""The layout of diffusers: what diffusers itself computed on the same weights, in one file and in shards.

Recorded by benchmarks/parity/record_diffusers.py from the folders that its `save_pretrained` writes.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from arctone.checkpoints.parts import DIT, openers
from arctone.checkpoints.published.convert import convert
from arctone.errors import ModelError
from arctone.flow.noise import item_noise
from arctone.inference.backends.torch import load_backend
from arctone.inference.loading import load
from arctone.model_folder.folder import read_model_config
from arctone.models.conditions import Conditions
from arctone.models.continuous_dit import ContinuousDiT
from benchmarks.parity.shapes import drawn_as_converted
from tests.checkpoints.published_folders import RECORDED, recorded
from tests.checkpoints.test_reference import assert_close

WEIGHTS = "diffusion_pytorch_model.safetensors"
SECONDS, SEED, TOKENS, FRAMES = 8.0, 7, 12, 16


def record() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDED / "diffusers.json").read_text())
    return found


def save_sharded(state: dict[str, Tensor], folder: Path, stem: str, count: int = 3) -> None:
    """Shards with their index, as both diffusers and transformers write them."""
    names, places = sorted(state), {}
    for index in range(count):
        file = f"{stem}-{index + 1:05d}-of-{count:05d}.safetensors"
        part = {name: state[name] for name in names[index::count]}
        save_file(part, folder / file)
        places |= dict.fromkeys(part, file)
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.fixture(scope="module")
def diffusers_folder(t5: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diffusers") / "model"
    for part, about in record().items():
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text(json.dumps(about["config"]))
        state = {
            name: torch.from_numpy(drawn_as_converted(name, tuple(shape))) for name, shape in about["shapes"].items()
        }
        save_file(state, folder / part / WEIGHTS)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableAudioPipeline"}))
    (folder / "text_encoder").mkdir()
    (folder / "tokenizer").mkdir()
    shutil.copyfile(t5 / "config.json", folder / "text_encoder" / "config.json")
    shutil.copyfile(t5 / "model.safetensors", folder / "text_encoder" / "model.safetensors")
    shutil.copyfile(t5 / "tokenizer.json", folder / "tokenizer" / "tokenizer.json")
    return folder


@pytest.fixture(scope="module")
def model(diffusers_folder: Path) -> Path:
    out = diffusers_folder.parent / "converted"
    convert(diffusers_folder, out, None)
    return out


@torch.inference_mode()
def test_conditioning_and_network_are_those_of_diffusers(model: Path) -> None:
    values = recorded("diffusers")
    dit = openers(model, read_model_config(model))[DIT]()
    assert isinstance(dit, ContinuousDiT)
    text = torch.from_numpy(item_noise(SEED, 5, (32, TOKENS)).T[None])
    ones = torch.ones(1, TOKENS)
    given = Conditions(
        text, ones, torch.zeros(1, 32), torch.tensor([SECONDS]), torch.zeros(1), torch.ones(1, FRAMES, dtype=torch.bool)
    )
    assert_close(dit.conditioning(given)[0][0].numpy(), values["context"])
    x = torch.from_numpy(item_noise(SEED, 0, (8, FRAMES)))[None]
    for level in (0.9, 0.3):
        assert_close(dit.output(x, torch.tensor([level]), given)[0].numpy(), values[f"output-{level}"])


def test_decoder_and_encoder_are_those_of_diffusers(model: Path) -> None:
    values, parts = recorded("diffusers"), load_backend(model, read_model_config(model))
    assert_close(parts.decode(item_noise(SEED, 0, (8, FRAMES))), values["decoded"])
    samples = 0.3 * np.random.default_rng(0).standard_normal((2, 64 * 6)).astype(np.float32)
    assert_close(parts.encode(samples), values["encoded"])


def test_shards_are_one_model(diffusers_folder: Path, model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(diffusers_folder, tmp_path / "sharded")
    for part, stem in (("transformer", "diffusion_pytorch_model"), ("text_encoder", "model")):
        whole = folder / part / f"{stem}.safetensors"
        save_sharded(load_file(whole), folder / part, stem)
        whole.unlink()
    convert(folder, tmp_path / "out", None)
    for part in ("dit", "text", "autoencoder"):
        assert (tmp_path / "out" / f"{part}.safetensors").read_bytes() == (model / f"{part}.safetensors").read_bytes()
    next((folder / "transformer").glob("*-00002-of-*")).unlink()
    with pytest.raises(ModelError, match="names the shard diffusion_pytorch_model-00002-of-00003"):
        convert(folder, tmp_path / "again", None)


def test_it_sounds(model: Path) -> None:
    sound = load(model, engine="torch").generate("rain", duration_seconds=0.02, seed=1, steps=2).waveforms[0]
    assert np.abs(sound.samples).max() > 1e-3


def test_a_missing_query_matrix_is_named(diffusers_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(diffusers_folder, tmp_path / "damaged")
    state = load_file(folder / "transformer" / WEIGHTS)
    del state["transformer_blocks.1.attn1.to_k.weight"]
    save_file(state, folder / "transformer" / WEIGHTS)
    with pytest.raises(ModelError, match=r"lacks model\.model\.transformer\.layers\.1\.self_attn\.to_qkv\.weight"):
        convert(folder, tmp_path / "out", None)
