"""Adapters of other programs: the weights they give are those of the formula, and what cannot be applied is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import arctone
from arctone.checkpoints.adoption import adopt
from arctone.checkpoints.folder import DIT, load_state
from arctone.checkpoints.lora import CONFIG, WEIGHTS, applied, load_adapter
from arctone.errors import ModelError, UsageError
from arctone.model_folder.folder import read_model_config

# The published names of two layers of the network and of one that embeds the duration, and ours.
LAYERS = {
    "model.transformer.layers.0.self_attn.to_qkv": "blocks.0.self_attention.to_qkv",
    "model.transformer.layers.1.ff.ff.2": "blocks.1.mlp.leave",
    "conditioners.seconds_total.embedder.embedding.1": "numbers.seconds_total.project",
}


def matrices(model: Path, rank: int) -> dict[str, tuple[Tensor, Tensor]]:
    """For each layer, by its published name, A [rank, in] and B [out, rank]."""
    state, made = load_state(model, DIT), torch.Generator().manual_seed(3)
    found = {}
    for theirs, ours in LAYERS.items():
        wide_out, wide_in = state[f"{ours}.weight"].shape
        found[theirs] = torch.randn(rank, wide_in, generator=made), torch.randn(wide_out, rank, generator=made)
    return found


def third_file(path: Path, tensors: dict[str, Tensor], **settings: Any) -> Path:
    """A file as Stable Audio 3's training writes it."""
    named = {name.replace("|", ".parametrizations.weight.0."): value.contiguous() for name, value in tensors.items()}
    save_file(named, path, metadata={"lora_config": json.dumps(settings)})
    return path


def added(model: Path, adapter: Path) -> dict[str, Tensor]:
    """What an adopted adapter adds, by layer."""
    state = load_state(model, DIT)
    changed = applied(state, [(load_adapter(adapter), 1.0)], origin="model")
    moved = {name: changed[name] - value for name, value in state.items() if not torch.equal(changed[name], value)}
    return {name.removesuffix(".weight"): value for name, value in moved.items()}


@pytest.fixture
def model(converted: dict[str, Path]) -> Path:
    return converted["3-small"]


def test_a_lora_file_of_stable_audio_3(model: Path, tmp_path: Path) -> None:
    pairs = matrices(model, 2)
    tensors = {f"{name}|lora_A": down.half() for name, (down, _) in pairs.items()}
    tensors |= {f"{name}|lora_B": up.half() for name, (_, up) in pairs.items()}
    path = third_file(tmp_path / "style.safetensors", tensors, rank=2, alpha=6, adapter_type="lora")
    assert adopt(path, model, tmp_path / "adopted") == len(LAYERS)
    moved = added(model, tmp_path / "adopted")
    assert set(moved) == set(LAYERS.values())
    for theirs, (down, up) in pairs.items():
        wanted = 3 * (up.half().double() @ down.half().double())
        assert torch.allclose(moved[LAYERS[theirs]].double(), wanted, atol=1e-4)
    sounds = [
        arctone.load(model, engine="torch", adapters=laid).generate("rain", duration_seconds=0.1, seed=1, steps=2)
        for laid in ([], [(tmp_path / "adopted", 0.5)])
    ]
    plain, styled = (sound.waveforms[0].samples for sound in sounds)
    assert np.abs(plain - styled).max() > 1e-3


def test_lora_xs_has_the_weights_own_singular_vectors(model: Path, tmp_path: Path) -> None:
    core = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
    path = third_file(
        tmp_path / "xs.safetensors", {f"{next(iter(LAYERS))}|M_xs": core}, rank=2, alpha=2, adapter_type="lora-xs"
    )
    adopt(path, model, tmp_path / "adopted")
    ((layer, moved),) = added(model, tmp_path / "adopted").items()
    left, _, right = np.linalg.svd(load_state(model, DIT)[f"{layer}.weight"].double().numpy(), full_matrices=False)
    signs = np.sign(left[np.abs(left).argmax(axis=0), np.arange(left.shape[1])])
    wanted = (left * signs)[:, :2] @ core.double().numpy() @ (right * signs[:, None])[:2]
    assert np.allclose(moved.numpy(), wanted, atol=1e-4)


def test_peft_with_ranks_of_their_own_and_published_names(model: Path, tmp_path: Path) -> None:
    first, second = list(LAYERS)[:2]
    pairs = {first: matrices(model, 2)[first], second: matrices(model, 4)[second]}
    folder = tmp_path / "peft"
    folder.mkdir()
    settings = {
        "r": 2,
        "lora_alpha": 8,
        "use_rslora": True,
        "rank_pattern": {"ff.ff.2": 4},
        "alpha_pattern": {"ff.ff.2": 1},
    }
    (folder / CONFIG).write_text(json.dumps({**settings, "peft_type": "LORA", "peft_version": "0.21.2"}))
    tensors = {f"base_model.model.{name}.lora_A.weight": pair[0] for name, pair in pairs.items()}
    tensors |= {f"base_model.model.{name}.lora_B.weight": pair[1] for name, pair in pairs.items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="name its model with arctone lora adopt"):
        load_adapter(folder)
    adopt(folder, model, tmp_path / "adopted")
    moved = added(model, tmp_path / "adopted")
    for name, scale in ((first, 8 / 2**0.5), (second, 1 / 4**0.5)):
        down, up = pairs[name]
        assert torch.allclose(moved[LAYERS[name]], scale * (up @ down), atol=1e-4)
    with pytest.raises(UsageError, match="already exists"):
        adopt(folder, model, tmp_path / "adopted")


A, B = "model.transformer.layers.0.self_attn.to_out|lora_A", "model.transformer.layers.0.self_attn.to_out|lora_B"
REFUSED = [
    ({A: torch.ones(1, 64), B: torch.ones(64, 1)}, {"adapter_type": "dora-rows"}, "adapter_type is 'dora-rows', which"),
    ({A: torch.ones(1, 64), B: torch.ones(64, 1)}, {"adapter_type": "bora-xs"}, "adapter_type is 'bora-xs', which"),
    ({A: torch.ones(1, 64)}, {}, "holds lora_A for .*, but lora needs lora_A, lora_B"),
    ({A: torch.ones(1, 32), B: torch.ones(64, 1)}, {}, r"changes blocks.0.self_attention.to_out \[64, 32\], but in"),
    ({A.replace("to_out", "to_in"): torch.ones(1, 64)}, {}, "changes the layer .*to_in, which 3-small has not"),
    ({"other": torch.ones(1)}, {}, "holds other, which is no part of a LoRA"),
    ({A: torch.full((1, 64), torch.nan), B: torch.ones(64, 1)}, {}, "not finite"),
]


@pytest.mark.parametrize(("tensors", "settings", "sentence"), REFUSED, ids=lambda each: str(each)[-30:])
def test_what_cannot_be_applied_is_named(
    tensors: dict[str, Tensor], settings: dict[str, Any], sentence: str, model: Path, tmp_path: Path
) -> None:
    path = third_file(tmp_path / "bad.safetensors", tensors, **settings)
    with pytest.raises(ModelError, match=sentence):
        adopt(path, model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_peft_asks_a_network_for_its_config_as_a_mapping(model: Path) -> None:
    config = read_model_config(model).dit
    assert config.to_dict()["width"] == config.width
    assert json.loads(json.dumps(config.to_dict())) == json.loads(json.dumps(dict(config.to_dict())))
