"""Record what diffusers computes with a shrunken Stable Audio Open 1.0, for tests that run without it.

    PYTHONPATH=src:. python -m benchmarks.parity.record_diffusers tests/checkpoints/reference

Only values, configs and the names and shapes of the tensors that `save_pretrained` writes are kept: weights are drawn
again from each tensor's name (shapes.py). Needs diffusers, installed without its dependencies.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderOobleck
from diffusers.models.embeddings import get_1d_rotary_pos_embed
from diffusers.models.transformers.stable_audio_transformer import StableAudioDiTModel
from diffusers.pipelines.stable_audio.modeling_stable_audio import StableAudioProjectionModel
from safetensors import safe_open

from arctone.flow.noise import item_noise
from benchmarks.parity.shapes import drawn_as_converted

NAME, SEED = "diffusers", 7
TEXT_WIDTH, TOKENS, FRAMES, SECONDS = 32, 12, 16, 8.0
LEVELS = (0.9, 0.3)
SIZES: dict[str, tuple[Any, dict[str, Any]]] = {
    "transformer": (
        StableAudioDiTModel,
        {
            "sample_size": FRAMES,
            "in_channels": 8,
            "out_channels": 8,
            "num_layers": 2,
            "attention_head_dim": 64,
            "num_attention_heads": 2,
            "num_key_value_attention_heads": 1,
            "cross_attention_dim": 64,
            "cross_attention_input_dim": TEXT_WIDTH,
            "global_states_input_dim": 2 * TEXT_WIDTH,
        },
    ),
    "vae": (
        AutoencoderOobleck,
        {
            "encoder_hidden_size": 16,
            "decoder_channels": 16,
            "decoder_input_channels": 8,
            "audio_channels": 2,
            "sampling_rate": 44_100,
            "channel_multiples": [1, 2, 4],
            "downsampling_ratios": [2, 4, 8],
        },
    ),
    "projection_model": (
        StableAudioProjectionModel,
        {"text_encoder_dim": TEXT_WIDTH, "conditioning_dim": TEXT_WIDTH, "min_value": 0, "max_value": 512},
    ),
}


@torch.no_grad()
def saved(folder: Path) -> dict[str, Any]:
    """This function builds the parts and writes them as `save_pretrained` does, with the index of a pipeline."""
    made: dict[str, Any] = {}
    for part, (kind, sizes) in SIZES.items():
        module = kind(**sizes).eval()
        for name, value in module.named_parameters():
            value.copy_(torch.from_numpy(drawn_as_converted(name, tuple(value.shape))))
        module.save_pretrained(folder / part)
        made[part] = module
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableAudioPipeline"}))
    return made


def described(folder: Path) -> dict[str, dict[str, object]]:
    """This function gives the config, and the names and shapes of all tensors, of each part of a folder."""
    found: dict[str, dict[str, object]] = {}
    for part in SIZES:
        config = json.loads((folder / part / "config.json").read_text())
        with safe_open(folder / part / "diffusion_pytorch_model.safetensors", framework="np") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        found[part] = {"config": config, "shapes": shapes}
    return found


@torch.no_grad()
def answers(made: dict[str, Any]) -> dict[str, Any]:
    """This function computes what is compared."""
    text = torch.from_numpy(item_noise(SEED, 5, (TEXT_WIDTH, TOKENS)).T[None])
    seconds = {"start_seconds": torch.tensor([0.0]), "end_seconds": torch.tensor([SECONDS])}
    given = made["projection_model"](text_hidden_states=text, **seconds)
    numbers = (given.seconds_start_hidden_states, given.seconds_end_hidden_states)
    context, everywhere = torch.cat([given.text_hidden_states, *numbers], dim=1), torch.cat(numbers, dim=2)
    turn = get_1d_rotary_pos_embed(32, FRAMES + 1, use_real=True, repeat_interleave_real=False)
    x = item_noise(SEED, 0, (8, FRAMES))
    values: dict[str, Any] = {"context": context[0].numpy()}
    for level in LEVELS:
        found = made["transformer"](
            torch.from_numpy(x[None]),
            torch.tensor([level]),
            encoder_hidden_states=context,
            global_hidden_states=everywhere,
            rotary_embedding=turn,
            return_dict=False,
        )
        values[f"output-{level}"] = found[0][0].numpy()
    values["decoded"] = made["vae"].decode(torch.from_numpy(x[None])).sample[0].numpy()
    samples = 0.3 * np.random.default_rng(0).standard_normal((2, 64 * 6)).astype(np.float32)
    values["encoded"] = made["vae"].encode(torch.from_numpy(samples[None])).latent_dist.mean[0].numpy()
    return values


def main(out: Path) -> None:
    """This function writes one npz, and one JSON of configs and shapes."""
    with tempfile.TemporaryDirectory() as folder:
        values = answers(saved(Path(folder)))
        record = described(Path(folder))
    np.savez_compressed(out / f"{NAME}.npz", **values)
    (out / f"{NAME}.json").write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
