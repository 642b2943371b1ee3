"""Sections of published configs that several layouts share."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from arctone.checkpoints.published.defaults import without_defaults
from arctone.errors import ModelError
from arctone.model_folder.config import NumberName

PROMPT: Final = "prompt"
PLAIN: Final = "diffusion_cond"
INPAINTING: Final = "diffusion_cond_inpaint"
# Inputs of such a model besides its latents, in this order: one channel, and as many as there are latent channels.
INPAINT_IDS: Final = ("inpaint_mask", "inpaint_masked_input")

# Sizes and numbers of things, bounded before a network of that size is described.
Count = Annotated[int, Meta(ge=1, le=2**20)]
CountOrNone = Annotated[int, Meta(ge=0, le=2**20)]
Samples = Annotated[int, Meta(ge=1, le=2**31)]
Depth = Annotated[int, Meta(ge=1, le=1024)]


@contextmanager
def named_file(path: Path) -> Iterator[None]:
    """This function adds the file's name to a ModelError that does not name it yet."""
    try:
        yield
    except ModelError as problem:
        raise (problem if str(problem).startswith(str(path)) else ModelError(f"{path}: {problem}")) from None


def require(condition: bool, sentence: str) -> None:
    """Refuse a config unless a condition holds.

    Args:
        condition: The condition.
        sentence: Of the error.

    Raises:
        ModelError: If the condition does not hold.
    """
    if not condition:
        raise ModelError(f"{sentence}.")


def require_numbers(cross: tuple[str, ...], of_global: tuple[str, ...], named: Collection[str]) -> None:
    """Refuse conditions unless the context begins with the prompt, and all numbers are there and used.

    Args:
        cross: Ids of the conditions in the context.
        of_global: Ids of the global conditions.
        named: Ids of the numbers.

    Raises:
        ModelError: If they do not fit together.
    """
    require(cross[:1] == (PROMPT,), "model.diffusion.cross_attention_cond_ids must begin with prompt")
    require({*cross[1:], *of_global} == set(named), "every number must be in the conditions, and be used")


def require_heads(width: int, heads: int) -> None:
    """Require that a transformer's width is shared evenly by its heads.

    Args:
        width: Of the transformer.
        heads: Number of its heads.

    Raises:
        ModelError: If it is not.
    """
    require(width % heads == 0, f"embed_dim must be a multiple of num_heads, but is {width} with {heads} heads")


def require_widths(cond_dim: int, num_global: int, *, token_dim: int, global_dim: int) -> int:
    """Compute the width of all global conditions together.

    Args:
        cond_dim: Width of each condition.
        num_global: Number of global conditions.
        token_dim: Width of the transformer's context.
        global_dim: Width of its global conditions.

    Returns:
        The width.

    Raises:
        ModelError: Unless the transformer's widths are those of the conditions.
    """
    require(token_dim == cond_dim, f"cond_token_dim must be cond_dim, {cond_dim}")
    total = cond_dim * num_global
    require(global_dim == total, f"global_cond_dim must be {total}, cond_dim for each global condition")
    return total


class CodecSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of one half of the autoencoder."""

    channels: Count
    latent_dim: Count
    c_mults: tuple[Count, ...]
    strides: tuple[Count, ...]
    transformer_depths: tuple[Depth, ...]
    in_channels: Count | None = None
    out_channels: Count | None = None
    chunk_size: Count | None = None
    chunk_midpoint_shift: bool = False
    dim_heads: Count = 128
    ff_mult: Count = 3
    differential: bool = True
    variable_stride: bool = False
    conv_mapping: bool = False
    layer_scale: bool = False
    sliding_window: tuple[int, int] | None = None
    sinusoidal_blocks: tuple[int, ...] | int = 0
    mask_noise: float = 0.0


class CodecSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Encoder or decoder."""

    config: CodecSettings
    type: Literal["same", "taae_v2"] = "same"
    soft_clip: bool = False


class BottleneckSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the normalisation of latents."""

    dim: Count
    auto_scale: bool = False
    noise_regularize: bool = False


class BottleneckSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The normalisation of latents."""

    config: BottleneckSettings
    type: Literal["softnorm"] = "softnorm"


class PatchSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How a waveform becomes patches."""

    channels: Count
    patch_size: Count


class PatchSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Waveforms to patches."""

    config: PatchSettings
    type: Literal["patched"] = "patched"


class AutoencoderSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The autoencoder."""

    encoder: CodecSection
    decoder: CodecSection
    bottleneck: BottleneckSection
    pretransform: PatchSection
    latent_dim: Count
    downsampling_ratio: Count
    io_channels: Count = 2
    in_channels: Count | None = None
    out_channels: Count | None = None


class PretransformSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The autoencoder and the scale of its latents."""

    config: AutoencoderSection
    type: Literal["autoencoder"] = "autoencoder"
    scale: float = 1.0


class TextSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which T5Gemma, where it lies, and how many tokens."""

    model_name: str = "google/t5gemma-b-b-ul2"
    max_length: Count = 128
    padding_mode: Literal["zero", "learned"] = "zero"
    project_out: bool = False
    model_path: str | None = None
    repo_id: str | None = None
    subfolder: str | None = None


class NumberSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Range of a number, and its waves."""

    min_val: float = 0
    max_val: float = 1
    fourier_features_type: Literal["learned", "expo"] = "learned"


class TextConditioner(Struct, frozen=True, forbid_unknown_fields=True, tag="t5gemma", tag_field="type"):
    """Text."""

    id: Literal["prompt"]
    config: TextSettings = TextSettings()


class NumberConditioner(Struct, frozen=True, forbid_unknown_fields=True, tag="number", tag_field="type"):
    """A number."""

    id: NumberName
    config: NumberSettings = NumberSettings()


class ConditioningSection(Struct, frozen=True, forbid_unknown_fields=True):
    """All conditions."""

    configs: tuple[TextConditioner | NumberConditioner, ...]
    cond_dim: Count
    default_keys: dict[str, str] = {}


class AttentionSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the attention layers."""

    qk_norm: Literal["none", "l2", "ln", "rms"] = "none"
    differential: bool = False


class NoSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that have no key left once defaults are removed."""


class TransformerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the diffusion transformer."""

    io_channels: Count
    embed_dim: Count
    depth: Depth
    num_heads: Count
    cond_token_dim: Count
    global_cond_dim: Count
    project_cond_tokens: bool = True
    project_global_cond: bool = True
    global_cond_type: Literal["prepend", "adaLN"] = "prepend"
    timestep_features_type: Literal["learned", "expo"] = "learned"
    timestep_features_logsnr: bool = False
    input_concat_dim: CountOrNone = 0
    num_memory_tokens: CountOrNone = 0
    local_add_cond_dim: Count | None = None
    norm_type: Literal["layer_norm", "rms_norm"] = "layer_norm"
    attn_kwargs: AttentionSettings = AttentionSettings()
    ff_kwargs: NoSettings = NoSettings()
    norm_kwargs: NoSettings = NoSettings()


class Shift(Struct, frozen=True, forbid_unknown_fields=True):
    """How sampling times are spread, as far as it is published: by log-SNR, or not at all."""

    type: Literal["logsnr", "none"]
    anchor_length: Count = 2000
    anchor_logsnr: float = -6.2
    rate: float = 1.0
    logsnr_end: float = 2.0


class DiffusionSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The diffusion model.

    distribution_shift_options and mask_padding_attention concern training: the public program samples on the grid of
    sampling_distribution_shift_options, and always masks padding.
    """

    config: TransformerSettings
    cross_attention_cond_ids: tuple[Literal["prompt", "seconds_start", "seconds_total"], ...]
    global_cond_ids: tuple[NumberName, ...]
    diffusion_objective: Literal["rectified_flow", "rf_denoiser"]
    type: Literal["dit"] = "dit"
    local_add_cond_ids: tuple[str, ...] = ()
    input_concat_ids: tuple[str, ...] = ()
    distribution_shift_options: dict[str, Any] | None = None
    sampling_distribution_shift_options: Shift | None = None
    mask_padding_attention: bool = False
    use_effective_length_for_schedule: bool = False


class ModelSection(Struct, frozen=True, forbid_unknown_fields=True):
    """What has weights."""

    pretransform: PretransformSection
    conditioning: ConditioningSection
    diffusion: DiffusionSection
    io_channels: Count


class PublishedConfig3(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file; its training block says nothing about the model."""

    model_type: Literal["diffusion_cond", "diffusion_cond_inpaint"]
    sample_size: Samples
    sample_rate: Samples
    model: ModelSection
    audio_channels: Count = 2
    training: Any = None
    svd_bases_path: str | None = None

    @classmethod
    def upgraded(cls, raw: Any) -> Any:
        """This function removes keys that change nothing; see `without_defaults`."""
        return without_defaults(raw)
