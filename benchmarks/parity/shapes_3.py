"""Configurations of Stable Audio 3 with every key that the published ones have, in true sizes and shrunken.

"3-small" is small-music and small-sfx; "3-base" their bases, which receive the noise level as log-SNR where shrunken,
because the public package knows that besides; "3-medium" has differential attention and SAME-L.
"""

from __future__ import annotations

from typing import Any

KINDS_3 = ("3-small", "3-base", "3-medium")
# What is recorded of the shrunken kinds.
PROMPT, SECONDS, STEPS, SEED = "rain", 0.1, 8, 7
FRAMES, WINDOW, HOP = 16, 32, 256
TRUE = {"latent": 256, "width": 768, "tokens": 256, "patch": 256}
SHRUNKEN = {"latent": 8, "width": 32, "tokens": 12, "patch": 16}
# Longest sound in samples; width, depth and heads of the transformer; channels, multiplier and depth of the
# autoencoder, and the blocks of its decoder that have sines.
SIZES = {
    "3-small": (5_292_032, (1024, 20, 16), (128, 6, 6, 0)),
    "3-base": (5_324_800, (1024, 20, 16), (128, 6, 6, 0)),
    "3-medium": (16_777_216, (1536, 24, 24), (256, 6, 12, 8)),
}
SHRUNKEN_SIZES = {
    "3-small": (8192, (64, 2, 2), (48, 1, 4, 0)),
    "3-base": (8192, (64, 2, 2), (48, 1, 4, 0)),
    "3-medium": (8192, (64, 2, 2), (24, 2, 4, 3)),
}
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
    """This function gives the content of a model_config.json."""
    sizes: dict[str, Any] = SHRUNKEN if shrunken else TRUE
    samples, (embed, depth, heads), _ = (SHRUNKEN_SIZES if shrunken else SIZES)[kind]
    latent, width = sizes["latent"], sizes["width"]
    is_medium = kind == "3-medium"
    text = {
        "max_length": sizes["tokens"],
        "padding_mode": "learned",
        "repo_id": "stabilityai/stable-audio-3-medium" if is_medium else "stabilityai/stable-audio-3-small-music",
        "subfolder": "t5gemma-b-b-ul2",
    }
    number = {"min_val": 0, "max_val": 384, "fourier_features_type": "expo"}
    grads = {} if is_medium else {"enable_grad": False}
    pretransform = {"type": "autoencoder", "chunked": True, "iterate_batch": False, **grads}
    shift = {"min_length": 256, "max_length": 4096}
    transformer = {
        "io_channels": latent,
        "embed_dim": embed,
        "depth": depth,
        "num_heads": heads,
        "cond_token_dim": width,
        "global_cond_dim": width,
        "global_cond_type": "adaLN",
        "timestep_features_type": "expo",
        "num_memory_tokens": 3 if shrunken else 64,
        "local_add_cond_dim": latent + 1,
        "norm_type": "rms_norm",
        "norm_kwargs": {"force_fp32": True},
        "attn_kwargs": {"qk_norm": "rms", "differential": is_medium},
        "ff_kwargs": {"mult": 4.0},
    }
    if not is_medium:
        transformer["timestep_features_logsnr"] = shrunken and kind == "3-base"
    return {
        "model_type": "diffusion_cond_inpaint",
        "sample_size": samples,
        "sample_rate": 44_100,
        "audio_channels": 2,
        "svd_bases_path": None,
        "model": {
            "pretransform": {**pretransform, "config": _autoencoder(kind, shrunken=shrunken)},
            "conditioning": {
                "configs": [
                    {"id": "prompt", "type": "t5gemma", "config": text},
                    {"id": "seconds_total", "type": "number", "config": number},
                ],
                "cond_dim": width,
            },
            "diffusion": {
                "type": "dit",
                "config": transformer,
                "diffusion_objective": "rectified_flow" if kind == "3-base" else "rf_denoiser",
                "cross_attention_cond_ids": ["prompt", "seconds_total"],
                "global_cond_ids": ["seconds_total"],
                "local_add_cond_ids": ["inpaint_mask", "inpaint_masked_input"],
                "input_concat_ids": [],
                "prepend_cond_ids": [],
                "modular_local_cond_configs": [],
                "mask_padding_attention": True,
                "use_effective_length_for_schedule": True,
                "distribution_shift_options": shift if is_medium else {**shift, "type": "full"},
                "sampling_distribution_shift_options": None,
            },
            "io_channels": latent,
        },
    }


def _autoencoder(kind: str, *, shrunken: bool) -> dict[str, Any]:
    sizes: dict[str, Any] = SHRUNKEN if shrunken else TRUE
    latent, patch = sizes["latent"], sizes["patch"]
    channels, multiplier, depth, sines = (SHRUNKEN_SIZES if shrunken else SIZES)[kind][2]
    half = {
        "channels": channels,
        "c_mults": [multiplier],
        "strides": [16],
        "transformer_depths": [depth],
        "latent_dim": latent,
        "dim_heads": 16 if shrunken else 64,
        "differential": True,
        "variable_stride": True,
        "mapping_style": "none",
        "use_flash": True,
        "checkpointing": False,
    }
    encoder = {**half, "in_channels": 2 * patch}
    decoder = {**half, "out_channels": 2 * patch, "sinusoidal_blocks": [sines]}
    bottleneck: dict[str, Any] = {"type": "softnorm"}
    patches: dict[str, Any] = {"type": "patched"}
    if kind == "3-medium":
        unused = (
            "conformer",
            "conv_bias",
            "enable_inner_layer_dropout",
            "layer_scale",
            "use_dilated_conv",
            "use_snake",
        )
        more = {"sliding_window": [1, 1], **dict.fromkeys(unused, False)}
        encoder |= {**more, "checkpointing": True, "mask_noise": 0.001}
        decoder |= {**more, "mask_noise": 0.1}
    else:
        more = {"chunk_size": 32, "chunk_midpoint_shift": True, "dyt": True}
        encoder |= {**more, "conv_mapping": False, "mask_noise": 0.0}
        decoder |= {**more, "conv_mapping": True, "freeze_backbone": False, "mask_noise": 0.01}
        bottleneck["requires_grad"] = False
        patches["enable_grad"] = False
    norm = {"dim": latent, "auto_scale": True, "freeze": True, "noise_augment_dim": 0, "noise_regularize": True}
    return {
        "encoder": {"type": "taae_v2", "requires_grad": False, "config": encoder},
        "decoder": {"type": "taae_v2", "requires_grad": False, "config": decoder},
        "bottleneck": {**bottleneck, "config": norm},
        "pretransform": {**patches, "config": {"channels": 2, "patch_size": patch}},
        "latent_dim": latent,
        "downsampling_ratio": 16 * patch,
        "io_channels": 2,
    }
