"""Keys of published configs that change no sound, and keys that are read at the public programs' default only.

Configs on the hub spell out many defaults. A key that concerns training or speed is left out; a key at its default is
left out as well; one that would change the sound is refused by name.

Source: the constructors of stable-audio-tools (revision 50049e3) and stable-audio-3 (revision 636f906).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from arctone.errors import ModelError

# Of training (gradients, starts, checkpointing) or of speed (kernels, the precision of norms in 16 bit).
FREE: Final = frozenset(
    {
        "requires_grad",
        "enable_grad",
        "checkpointing",
        "freeze",
        "freeze_backbone",
        "use_flash",
        "force_fp32",
        "fix_scale",
        "zero_init_branch_outputs",
        "zero_init_output",
        "iterate_batch",
        "chunked",
        "model_half",
    }
)

_AUTOENCODER = "model.pretransform.config"
_CODEC = {
    # Read by earlier programs, and ignored by stable-audio-3.
    "mapping_style": "none",
    "conv_bias": False,
    "use_dilated_conv": False,
    "use_snake": False,
    "enable_inner_layer_dropout": False,
    # Read, but no published model uses them.
    "conformer": False,
    "feat_scale": False,
    "cross_attn": False,
    "causal": False,
    "dyt": True,
    "mapping_bias": True,
}
_OOBLECK = {"antialias_activation": False}
# By type of the codec: each program has other keys.
_CODECS: Final[Mapping[str, Mapping[str, Any]]] = {"oobleck": _OOBLECK, "taae_v2": _CODEC, "same": _CODEC}
_TEXT = {"project_out": False}

# Section to key to the one value that is read.
ONLY: Final[Mapping[str, Mapping[str, Any]]] = {
    "model.diffusion": {"prepend_cond_ids": [], "modular_local_cond_configs": []},
    "model.diffusion.config": {
        "patch_size": 1,
        "transformer_type": "continuous_transformer",
        "timestep_cond_type": "global",
        "timestep_embed_dim": None,
        "timestep_features_dim": 256,
        "prepend_cond_dim": 0,
        "causal": False,
        "rotary_pos_emb": True,
        "cross_attn_rotary_pos_emb": False,
        "use_sinusoidal_emb": False,
        "use_abs_pos_emb": False,
        "final_cross_attn_ix": -1,
        "sliding_window": None,
        "conformer": False,
        "layer_scale": False,
        "remove_norms": False,
        "add_rope": False,
    },
    "model.diffusion.config.attn_kwargs": {"feat_scale": False, "causal": False, "qk_norm_eps": 1e-6},
    "model.diffusion.config.ff_kwargs": {
        "mult": 4,
        "no_bias": False,
        "glu": True,
        "use_conv": False,
        "conv_kernel_size": 3,
        "sinusoidal": False,
    },
    "model.diffusion.config.norm_kwargs": {"eps": 1e-5, "bias": False},
    f"{_AUTOENCODER}.decoder.config": {"use_nearest_upsample": False},
    f"{_AUTOENCODER}.bottleneck.config": {"noise_augment_dim": 0},
    f"{_AUTOENCODER}.pretransform.config": {"oversampling": 1, "postfilter_channels": 0},
    "model.conditioning": {"pre_encoded_keys": []},
}


def without_defaults(raw: Any) -> Any:
    """This function removes from a published config what changes nothing.

    Args:
        raw: The decoded model_config.json.

    Returns:
        The config without keys of `FREE`, and without those of `ONLY` that have their one value.

    Raises:
        ModelError: A key of `ONLY` has another value; the sentence names the key, its value and what is read.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("model"), dict):
        return raw  # the strict reader says what is wrong with it
    return {**raw, "model": _cleaned(raw["model"], "model", dict(ONLY) | _codec_sections(raw["model"]))}


def _codec_sections(model: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for half in ("encoder", "decoder"):
        section = f"{_AUTOENCODER}.{half}.config"
        kind = _at(model, ("pretransform", "config", half, "type"))
        found[section] = {**ONLY.get(section, {}), **_CODECS.get(str(kind), {})}
        if kind == "oobleck":
            found[section.removesuffix(".config")] = {"soft_clip": False}
    return found


def _at(value: Any, steps: tuple[str, ...]) -> Any:
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _cleaned(section: dict[str, Any], place: str, only: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return dict(_kept(section, place, only))


def _kept(section: dict[str, Any], place: str, only: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    allowed = {**only.get(place, {}), **(_TEXT if place.endswith(".configs.config") else {})}
    for key, value in section.items():
        if key in FREE:
            continue
        if key in allowed:
            if value != allowed[key] or isinstance(value, bool) != isinstance(allowed[key], bool):
                raise ModelError(f"{place}.{key} is {value!r}, but this version reads only {allowed[key]!r}.")
            continue
        inner = f"{place}.{key}"
        if isinstance(value, dict) and key != "default_keys":
            yield key, _cleaned(value, inner, only)
        elif isinstance(value, list) and key == "configs":
            yield key, [_cleaned(each, inner, only) if isinstance(each, dict) else each for each in value]
        else:
            yield key, value
