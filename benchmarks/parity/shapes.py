"""Published configurations, in their true sizes and shrunken, and random weights that depend on a tensor's name alone.

Sizes: model_config.json of stable-audio-open-small (post-trained and base) and of stable-audio-open-1.0. "adaln" is no
published model; it has the other ways of conditioning that the published program knows. "inpaint" is the small one
with input channels for a mask and what it leaves, as the published program trains them.
"""

from __future__ import annotations

import re
import zlib
from typing import Any

import numpy as np

from arctone.flow.noise import item_noise

KINDS = ("small", "small-base", "1.0", "adaln", "inpaint")
T5_BASE = {"vocab_size": 32_128, "d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12}
T5_TINY = {"vocab_size": 96, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}


def model_config(kind: str, *, shrunken: bool = False) -> dict[str, Any]:
    """The content of a model_config.json."""
    is_first = kind == "1.0"
    latent, width = (8, 32) if shrunken else (64, 768)
    strides, frames = [2, 4, 4, 8, 8], 16 if shrunken else 1024 if is_first else 256
    shape = {"channels": 4 if shrunken else 128, "c_mults": [1, 2, 4, 8, 16], "strides": strides, "use_snake": True}
    autoencoder = {
        "encoder": {"type": "oobleck", "config": {"in_channels": 2, **shape, "latent_dim": 2 * latent}},
        "decoder": {
            "type": "oobleck",
            "config": {"out_channels": 2, **shape, "latent_dim": latent, "final_tanh": False},
        },
        "bottleneck": {"type": "vae"},
        "latent_dim": latent,
        "downsampling_ratio": 2048,
        "io_channels": 2,
    }
    longest = 512 if is_first else 256
    numbers = ["seconds_start", "seconds_total"] if is_first else ["seconds_total"]
    text = {"t5_model_name": "t5-base", "max_length": 12 if shrunken else 128 if is_first else 64}
    conditions = [{"id": "prompt", "type": "t5", "config": text}]
    conditions += [{"id": name, "type": "number", "config": {"min_val": 0, "max_val": longest}} for name in numbers]
    diffusion = {
        "cross_attention_cond_ids": ["prompt", *numbers],
        "global_cond_ids": numbers,
        "diffusion_objective": {"small": "rf_denoiser", "inpaint": "rf_denoiser", "1.0": "v"}.get(
            kind, "rectified_flow"
        ),
        "type": "dit",
        "config": _transformer(kind, latent, width, len(numbers), shrunken=shrunken),
    }
    is_inpainting = kind == "inpaint"
    if is_inpainting:
        diffusion["input_concat_ids"] = ["inpaint_mask", "inpaint_masked_input"]
    return {
        "model_type": "diffusion_cond_inpaint" if is_inpainting else "diffusion_cond",
        "sample_size": 2048 * frames,
        "sample_rate": 44_100,
        "audio_channels": 2,
        "model": {
            "pretransform": {"type": "autoencoder", "iterate_batch": True, "config": autoencoder},
            "conditioning": {"configs": conditions, "cond_dim": width},
            "diffusion": diffusion,
            "io_channels": latent,
        },
    }


def _transformer(kind: str, latent: int, width: int, num_numbers: int, *, shrunken: bool) -> dict[str, Any]:
    true = {"embed_dim": 1536, "depth": 24, "num_heads": 24} if kind == "1.0" else {}
    sizes = true or {"embed_dim": 1024, "depth": 16, "num_heads": 8}
    if shrunken:
        sizes = {"embed_dim": 64, "depth": 2, "num_heads": 2}
    special = {
        "1.0": {"project_cond_tokens": False},
        "inpaint": {"input_concat_dim": latent + 1, "attn_kwargs": {"qk_norm": "ln"}},
        "adaln": {"global_cond_type": "adaLN", "num_memory_tokens": 3, "attn_kwargs": {"qk_norm": "l2"}},
    }
    return {
        "io_channels": latent,
        **sizes,
        "cond_token_dim": width,
        "global_cond_dim": width * num_numbers,
        "transformer_type": "continuous_transformer",
        **special.get(kind, {"attn_kwargs": {"qk_norm": "ln"}}),
    }


def inpaint_example() -> np.ndarray:
    """A mask with a gap in it and what it leaves of some latents, of the shrunken sizes: [1 + 8, 16]."""
    known = np.ones((1, 16), np.float32)
    known[:, 5:11] = 0
    return np.concatenate([known, known * item_noise(7, 100, (8, 16))])


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Random values for a tensor of that name: matrices that keep the level, gains near 1, the rest small."""
    generator = np.random.Generator(np.random.Philox(key=zlib.crc32(name.encode())))
    values = generator.standard_normal(shape, dtype=np.float32)
    if name.endswith(("timestep_features.weight", ".weights")):
        return values
    if name.endswith("weight_g"):
        return 0.6 + 0.1 * values
    if name.endswith(("gamma", "norm.weight", "norm.alpha", "running_std", "scaling_factor")):
        return 1 + 0.1 * values
    if len(shape) < 2:
        return 0.1 * values
    fan_in = int(np.prod(shape[1:]))
    return values / np.float32(fan_in**0.5)


def drawn_as_converted(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """This function draws a tensor of diffusers; the published norms have no bias, so there it is zero."""
    return np.zeros(shape, np.float32) if re.search(r"norm\d\.bias$", name) else drawn(name, shape)
