"""The layout of diffusers gives the very model that the layout of stable-audio-tools gives."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from arctone.checkpoints.published.convert import convert, read
from arctone.errors import ModelError

BLOCK = (
    ("transformer.layers", "transformer_blocks"),
    ("self_attn", "attn1"),
    ("cross_attn", "attn2"),
    ("ff.ff", "ff.net"),
    ("pre_norm", "norm1"),
    ("cross_attend_norm", "norm2"),
    ("ff_norm", "norm3"),
    ("to_out", "to_out.0"),
    ("gamma", "weight"),
    ("beta", "bias"),
    ("transformer.project", "proj"),
    ("to_timestep_embed", "timestep_proj"),
    ("to_global_embed", "global_proj"),
    ("to_cond_embed", "cross_attention_proj"),
)
UNIT = {"0": "snake1", "1": "conv1", "2": "snake2", "3": "conv2"}


def transformer(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """By the renaming that diffusers' own conversion script describes."""
    found = {}
    for key, value in state.items():
        if not key.startswith("model.model.") or key.endswith("inv_freq"):
            continue
        name = key.removeprefix("model.model.")
        for old, new in BLOCK:
            name = name.replace(old, new)
        letters = {"to_qkv": "qkv", "to_kv": "kv"}
        fused = next((fused for fused in letters if f".{fused}." in name), None)
        if fused is None:
            found[name] = value.squeeze(1) if name == "timestep_features.weight" else value
            continue
        for letter, part in zip(letters[fused], value.chunk(len(letters[fused])), strict=True):
            found[name.replace(fused, f"to_{letter}")] = part.contiguous()
    return found


def autoencoder(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Layers get names instead of numbers, and snakes two more axes."""
    found = {}
    for key, value in state.items():
        if not key.startswith("pretransform.model."):
            continue
        half, _, index, *rest = key.removeprefix("pretransform.model.").split(".")
        ends = {"0": "conv1", "6": "snake1", "7": "conv2"}
        if index in ends:
            name = ".".join([half, ends[index], *rest])
        else:
            _, inner, *rest = rest
            units = {"encoder": "012", "decoder": "234"}[half]
            others = {"encoder": {"3": "snake1", "4": "conv1"}, "decoder": {"0": "snake1", "1": "conv_t1"}}[half]
            if inner in units:
                _, unit, *rest = rest
                words = [f"res_unit{units.index(inner) + 1}", UNIT[unit], *rest]
            else:
                words = [others[inner], *rest]
            name = ".".join([half, "block", str(int(index) - 1), *words])
        found[name] = value[None, :, None] if rest[-1] in ("alpha", "beta") else value
    return found


def numbers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    start = "conditioner.conditioners."
    names = {"seconds_start": "start_number_conditioner", "seconds_total": "end_number_conditioner"}
    found = {}
    for key, value in state.items():
        if key.startswith(start):
            number, _, rest = key.removeprefix(start).partition(".")
            found[f"{names[number]}.{rest.replace('embedder.embedding', 'time_positional_embedding')}"] = value
    return found


@pytest.fixture
def diffusers_folder(published: dict[str, Path], tmp_path: Path) -> Path:
    folder, state = tmp_path / "diffusers", load_file(published["1.0"] / "model.safetensors")
    configs = {
        "transformer": {
            "sample_size": 16.0,
            "in_channels": 8,
            "num_layers": 2,
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "num_key_value_attention_heads": 1,
            "cross_attention_dim": 32,
            "cross_attention_input_dim": 32,
            "global_states_input_dim": 64,
        },
        "vae": {
            "encoder_hidden_size": 4,
            "decoder_channels": 4,
            "decoder_input_channels": 8,
            "audio_channels": 2,
            "sampling_rate": 44_100,
            "channel_multiples": [1, 2, 4, 8, 16],
            "downsampling_ratios": [2, 4, 4, 8, 8],
        },
        "projection_model": {"conditioning_dim": 32, "min_value": 0, "max_value": 512, "text_encoder_dim": 32},
    }
    makers = {"transformer": transformer, "vae": autoencoder, "projection_model": numbers}
    for part, config in configs.items():
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text(json.dumps(config))
        save_file(makers[part](state), folder / part / "diffusion_pytorch_model.safetensors")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableAudioPipeline"}))
    return folder


def test_the_same_tensors_and_the_same_model(diffusers_folder: Path, published: dict[str, Path]) -> None:
    theirs, ours = read(diffusers_folder, "same"), read(published["1.0"], "same")
    assert theirs.config.dit == ours.config.dit
    assert theirs.config.autoencoder == ours.config.autoencoder
    assert theirs.config.sampling == ours.config.sampling
    assert theirs.state.keys() == ours.state.keys()
    for name, value in ours.state.items():
        assert torch.equal(theirs.state[name], value), name


def test_a_missing_query_matrix_is_named(diffusers_folder: Path, t5: Path, tmp_path: Path) -> None:
    path = diffusers_folder / "transformer" / "diffusion_pytorch_model.safetensors"
    state = load_file(path)
    del state["transformer_blocks.1.attn1.to_k.weight"]
    save_file(state, path)
    with pytest.raises(ModelError, match=r"lacks model\.model\.transformer\.layers\.1\.self_attn\.to_qkv\.weight"):
        convert(diffusers_folder, tmp_path / "out", t5)
