"""Configurations of Stable Audio 3, in true sizes and shrunken.

Sizes: those that the public repository states for its small models (optimized/mlx/models/defs) and the defaults of its
package; the published model_config.json itself was not seen. "3-base" is a model before post-training,
and told its noise level as log-SNR, which the package knows besides.
"""

from __future__ import annotations

from typing import Any

KINDS_3 = ("3-small", "3-base")
# What is recorded of the shrunken kinds.
PROMPT, SECONDS, STEPS, SEED = "rain", 0.1, 8, 7
FRAMES, WINDOW, HOP = 16, 32, 256
TRUE = {"latent": 256, "width": 768, "tokens": 256, "frames": 1292, "patch": 256, "audio": (128, 6, 64)}
SHRUNKEN = {"latent": 8, "width": 32, "tokens": 12, "frames": 32, "patch": 16, "audio": (48, 1, 16)}
GEMMA_BASE = {
    "vocab_size": 256_000,
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "head_dim": 64,
    "query_pre_attn_scalar": 64,
}
GEMMA_TINY = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "query_pre_attn_scalar": 8,
}


def model_config_3(kind: str, *, shrunken: bool = False) -> dict[str, Any]:
    """The content of a model_config.json."""
    sizes: dict[str, Any] = SHRUNKEN if shrunken else TRUE
    latent, width, patch = sizes["latent"], sizes["width"], sizes["patch"]
    text = {"max_length": sizes["tokens"], "padding_mode": "learned", "subfolder": "t5gemma-b-b-ul2"}
    number = {"min_val": 0, "max_val": 384, "fourier_features_type": "expo"}
    return {
        "model_type": "diffusion_cond_inpaint",
        "sample_size": 16 * patch * sizes["frames"],
        "sample_rate": 44_100,
        "audio_channels": 2,
        "model": {
            "pretransform": {"type": "autoencoder", "iterate_batch": True, "config": _autoencoder(sizes)},
            "conditioning": {
                "configs": [
                    {"id": "prompt", "type": "t5gemma", "config": text},
                    {"id": "seconds_total", "type": "number", "config": number},
                ],
                "cond_dim": width,
            },
            "diffusion": {
                "type": "dit",
                "diffusion_objective": "rf_denoiser" if kind == "3-small" else "rectified_flow",
                "cross_attention_cond_ids": ["prompt", "seconds_total"],
                "global_cond_ids": ["seconds_total"],
                "local_add_cond_ids": ["inpaint_mask", "inpaint_masked_input"],
                "mask_padding_attention": True,
                "config": {
                    "io_channels": latent,
                    **({"embed_dim": 64, "depth": 2, "num_heads": 2} if shrunken else {}),
                    **({} if shrunken else {"embed_dim": 1024, "depth": 20, "num_heads": 16}),
                    "cond_token_dim": width,
                    "global_cond_dim": width,
                    "transformer_type": "continuous_transformer",
                    "global_cond_type": "adaLN",
                    "timestep_features_type": "expo",
                    "timestep_features_logsnr": kind == "3-base",
                    "num_memory_tokens": 3 if shrunken else 64,
                    "local_add_cond_dim": latent + 1,
                    "norm_type": "rms_norm",
                    "attn_kwargs": {"qk_norm": "rms"},
                },
            },
            "io_channels": latent,
        },
    }


def _autoencoder(sizes: dict[str, Any]) -> dict[str, Any]:
    latent, patch = sizes["latent"], sizes["patch"]
    channels, multiplier, head = sizes["audio"]
    half = {
        "channels": channels,
        "c_mults": [multiplier],
        "strides": [16],
        "transformer_depths": [6 if head == 64 else 4],
        "latent_dim": latent,
        "chunk_size": 32,
        "chunk_midpoint_shift": True,
        "dim_heads": head,
        "variable_stride": True,
    }
    return {
        "encoder": {"type": "same", "config": {**half, "in_channels": 2 * patch}},
        "decoder": {
            "type": "same",
            "config": {**half, "out_channels": 2 * patch, "conv_mapping": True, "sinusoidal_blocks": [0]},
        },
        "bottleneck": {"type": "softnorm", "config": {"dim": latent, "auto_scale": True}},
        "pretransform": {"type": "patched", "config": {"channels": 2, "patch_size": patch}},
        "latent_dim": latent,
        "downsampling_ratio": 16 * patch,
        "io_channels": 2,
    }
