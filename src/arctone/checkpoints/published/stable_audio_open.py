"""model_config.json as stable-audio-tools publishes it, and the model that it describes.

Every key is known here or refused by name: a setting that is ignored would silently make another model.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from arctone.checkpoints.published.defaults import without_defaults
from arctone.checkpoints.published.sections import (
    INPAINT_IDS,
    INPAINTING,
    PLAIN,
    PROMPT,
    Count,
    CountOrNone,
    Depth,
    Samples,
    named_file,
    require,
    require_heads,
    require_numbers,
    require_widths,
)
from arctone.checkpoints.published.stable_audio_3 import build_published_third, read_third
from arctone.errors import ModelError
from arctone.files.strict_json import read_config
from arctone.model_folder.config import (
    ContinuousDiTConfig,
    ModelConfig,
    NumberConfig,
    NumberName,
    OobleckConfig,
    SameConfig,
    SamplingConfig,
    T5Config,
)


class EncoderSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the autoencoder's encoder."""

    channels: Count
    latent_dim: Count
    c_mults: tuple[Count, ...]
    strides: tuple[Count, ...]
    in_channels: Count = 2
    use_snake: bool = False


class DecoderSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the autoencoder's decoder."""

    channels: Count
    latent_dim: Count
    c_mults: tuple[Count, ...]
    strides: tuple[Count, ...]
    out_channels: Count = 2
    use_snake: bool = False
    final_tanh: bool = True


class EncoderSection(Struct, frozen=True, forbid_unknown_fields=True):
    """An encoder of the only type known."""

    type: Literal["oobleck"]
    config: EncoderSettings


class DecoderSection(Struct, frozen=True, forbid_unknown_fields=True):
    """A decoder of the only type known."""

    type: Literal["oobleck"]
    config: DecoderSettings


class BottleneckSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The variational bottleneck, which has no weights."""

    type: Literal["vae"]


class AutoencoderSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The autoencoder."""

    encoder: EncoderSection
    decoder: DecoderSection
    bottleneck: BottleneckSection
    latent_dim: Count
    downsampling_ratio: Count
    io_channels: Count = 2
    in_channels: Count | None = None
    out_channels: Count | None = None


class PretransformSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The autoencoder and the scale of its latents."""

    type: Literal["autoencoder"]
    config: AutoencoderSection
    scale: float = 1.0


class T5Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which T5 and how many tokens."""

    t5_model_name: str = "t5-base"
    max_length: Count = 128
    project_out: bool = False


class NumberSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Range of a number."""

    min_val: float = 0
    max_val: float = 1


class T5Conditioner(Struct, frozen=True, forbid_unknown_fields=True, tag="t5", tag_field="type"):
    """Text."""

    id: Literal["prompt"]
    config: T5Settings = T5Settings()


class NumberConditioner(Struct, frozen=True, forbid_unknown_fields=True, tag="number", tag_field="type"):
    """A number."""

    id: NumberName
    config: NumberSettings = NumberSettings()


class ConditioningSection(Struct, frozen=True, forbid_unknown_fields=True):
    """All conditions."""

    configs: tuple[T5Conditioner | NumberConditioner, ...]
    cond_dim: Count
    default_keys: dict[str, str] = {}


class AttentionSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the attention layers."""

    qk_norm: Literal["none", "l2", "ln"] = "none"
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
    input_concat_dim: CountOrNone = 0
    global_cond_type: Literal["prepend", "adaLN"] = "prepend"
    num_memory_tokens: CountOrNone = 0
    attn_kwargs: AttentionSettings = AttentionSettings()
    ff_kwargs: NoSettings = NoSettings()
    norm_kwargs: NoSettings = NoSettings()


class DiffusionSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The diffusion model. The shift of distribution_shift_options is one of training: sampling never used it."""

    config: TransformerSettings
    type: Literal["dit"]
    cross_attention_cond_ids: tuple[Literal["prompt", "seconds_start", "seconds_total"], ...]
    global_cond_ids: tuple[NumberName, ...]
    diffusion_objective: Literal["v", "rectified_flow", "rf_denoiser"] = "v"
    input_concat_ids: tuple[str, ...] = ()
    distribution_shift_options: dict[str, Any] | None = None


class ModelSection(Struct, frozen=True, forbid_unknown_fields=True):
    """What has weights."""

    pretransform: PretransformSection
    conditioning: ConditioningSection
    diffusion: DiffusionSection
    io_channels: Count


class PublishedConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file; its training block says nothing about the model."""

    model_type: Literal["diffusion_cond", "diffusion_cond_inpaint"]
    sample_size: Samples
    sample_rate: Samples
    model: ModelSection
    audio_channels: Count = 2
    training: Any = None

    @classmethod
    def upgraded(cls, raw: Any) -> Any:
        """This function removes keys that change nothing; see `without_defaults`."""
        return without_defaults(raw)


def read_published(path: Path, name: str) -> ModelConfig:
    """Read the model that a model_config.json describes.

    Its text encoder has the sizes of t5-base until a T5 is given.

    Args:
        path: The file.
        name: Of the model.

    Returns:
        The config of the model.

    Raises:
        ModelError: That names the key if a key is unknown, missing or of a value that this version cannot run.
    """
    if is_third(path):
        return read_third(path, name)
    with named_file(path):
        return _model(read_config(path, PublishedConfig), name)


def is_third(path: Path) -> bool:
    """Whether a model_config.json is of Stable Audio 3, which reads prompts with T5Gemma."""
    return path.is_file() and b'"t5gemma"' in path.read_bytes()


def _model(published: PublishedConfig, name: str) -> ModelConfig:
    model = published.model
    autoencoder = _autoencoder(model.pretransform)
    dit = _transformer(published)
    texts = [part for part in model.conditioning.configs if isinstance(part, T5Conditioner)]
    require(len(texts) == 1, "model.conditioning.configs must hold one condition of the type t5")
    require(not texts[0].config.project_out, "project_out of the condition prompt must be false")
    require(model.io_channels == autoencoder.latent_channels, "model.io_channels must be the autoencoder's latent_dim")
    return ModelConfig(
        name=name,
        autoencoder=autoencoder,
        dit=dit,
        text=T5Config(width=model.conditioning.cond_dim, max_tokens=texts[0].config.max_length),
        sampling=sampling_of(dit),
        sample_rate=published.sample_rate,
        channels=published.audio_channels,
        hop_length=autoencoder.hop_length,
    )


def _autoencoder(section: PretransformSection) -> OobleckConfig:
    encoder, decoder = section.config.encoder.config, section.config.decoder.config
    require(encoder.use_snake and decoder.use_snake, "use_snake of the autoencoder must be true")
    same = all(getattr(encoder, key) == getattr(decoder, key) for key in ("channels", "c_mults", "strides"))
    require(same, "the autoencoder's encoder and decoder must have the same channels, c_mults and strides")
    require(encoder.latent_dim == 2 * decoder.latent_dim, "the encoder's latent_dim must be twice the decoder's")
    found = OobleckConfig(
        latent_channels=decoder.latent_dim,
        audio_channels=encoder.in_channels,
        width=encoder.channels,
        multipliers=encoder.c_mults,
        strides=encoder.strides,
        final_tanh=decoder.final_tanh,
        scale=section.scale,
    )
    hop = section.config.downsampling_ratio
    require(hop == found.hop_length, f"downsampling_ratio must be the product of the strides, {found.hop_length}")
    return found


def _transformer(published: PublishedConfig) -> ContinuousDiTConfig:
    diffusion, conditioning = published.model.diffusion, published.model.conditioning
    settings = diffusion.config
    require_heads(settings.embed_dim, settings.num_heads)
    numbers = tuple(
        NumberConfig(part.id, part.config.min_val, part.config.max_val)
        for part in conditioning.configs
        if isinstance(part, NumberConditioner)
    )
    named = {number.name for number in numbers}
    cross = diffusion.cross_attention_cond_ids
    require_numbers(cross, diffusion.global_cond_ids, named)
    width = conditioning.cond_dim
    widths = {"token_dim": settings.cond_token_dim, "global_dim": settings.global_cond_dim}
    total = require_widths(width, len(diffusion.global_cond_ids), **widths)
    frames = published.sample_size // published.model.pretransform.config.downsampling_ratio
    return ContinuousDiTConfig(
        objective=diffusion.diffusion_objective,
        latent_channels=settings.io_channels,
        width=settings.embed_dim,
        depth=settings.depth,
        heads=settings.num_heads,
        text_width=width,
        context_width=settings.embed_dim if settings.project_cond_tokens else width,
        global_width=settings.embed_dim if settings.project_global_cond else total,
        global_condition=settings.global_cond_type,
        qk_norm=settings.attn_kwargs.qk_norm,
        is_differential=settings.attn_kwargs.differential,
        memory_tokens=settings.num_memory_tokens,
        numbers=numbers,
        cross_numbers=cross[1:],
        global_numbers=diffusion.global_cond_ids,
        max_frames=frames,
        max_seconds=math.floor(100 * published.sample_size / published.sample_rate) / 100,
        inpaint_channels=_inpaint_channels(published),
    )


def _inpaint_channels(published: PublishedConfig) -> int:
    diffusion = published.model.diffusion
    if published.model_type == PLAIN:
        silent = not (diffusion.input_concat_ids or diffusion.config.input_concat_dim)
        require(silent, f"model.diffusion.input_concat_ids and input_concat_dim need the model_type {INPAINTING}")
        return 0
    named = diffusion.input_concat_ids == INPAINT_IDS
    require(named, f"model.diffusion.input_concat_ids must be {', '.join(INPAINT_IDS)} for the model_type {INPAINTING}")
    wanted = diffusion.config.io_channels + 1
    require(diffusion.config.input_concat_dim == wanted, f"input_concat_dim must be {wanted}, a mask and the latents")
    return wanted


def sampling_of(dit: ContinuousDiTConfig) -> SamplingConfig:
    """How models of the objective are sampled as published."""
    longest = dit.max_seconds
    if dit.objective == "rf_denoiser":
        return SamplingConfig(
            sampler="ping_pong",
            steps=8,
            cfg_scale=1.0,
            duration_seconds=min(10.0, longest),
            schedule="log_snr",
            post_trained=True,
        )
    if dit.objective == "rectified_flow":
        return SamplingConfig("euler", 50, 6.0, min(10.0, longest), schedule="log_snr")
    return SamplingConfig("dpmpp_3m_sde", 100, 7.0, min(30.0, longest), schedule="exponential")


def build_published_config(config: ModelConfig, text_name: str = "t5-base") -> dict[str, Any]:
    """Write the content of a model_config.json for a model of published types.

    Args:
        config: Of the model.
        text_name: Published name of its text encoder.

    Returns:
        The content.

    Raises:
        ModelError: For a model of other types.
    """
    autoencoder, dit = config.autoencoder, config.dit
    if isinstance(autoencoder, SameConfig) and isinstance(dit, ContinuousDiTConfig):
        return build_published_third(config, autoencoder, dit)
    if not (isinstance(autoencoder, OobleckConfig) and isinstance(dit, ContinuousDiTConfig)):
        raise ModelError(f"{config.name} is of types that the published layout does not know.")
    numbers = [NumberConditioner(number.name, NumberSettings(number.minimum, number.maximum)) for number in dit.numbers]
    text = T5Conditioner(PROMPT, T5Settings(text_name, config.text.max_tokens))
    transformer = TransformerSettings(
        io_channels=dit.latent_channels,
        embed_dim=dit.width,
        depth=dit.depth,
        num_heads=dit.heads,
        cond_token_dim=dit.text_width,
        global_cond_dim=dit.text_width * len(dit.global_numbers),
        project_cond_tokens=dit.context_width == dit.width,
        project_global_cond=dit.global_width == dit.width,
        input_concat_dim=dit.inpaint_channels,
        global_cond_type=dit.global_condition,
        num_memory_tokens=dit.memory_tokens,
        attn_kwargs=AttentionSettings(dit.qk_norm, dit.is_differential),  # type: ignore[arg-type]
    )
    diffusion = DiffusionSection(
        config=transformer,
        type="dit",
        cross_attention_cond_ids=(PROMPT, *dit.cross_numbers),  # type: ignore[arg-type]
        global_cond_ids=dit.global_numbers,  # type: ignore[arg-type]
        diffusion_objective=dit.objective,
        input_concat_ids=INPAINT_IDS if dit.inpaint_channels else (),
    )
    model = ModelSection(
        _pretransform(autoencoder),
        ConditioningSection((text, *numbers), dit.text_width),
        diffusion,
        autoencoder.latent_channels,
    )
    size = dit.max_frames * autoencoder.hop_length
    whole = PublishedConfig(
        INPAINTING if dit.inpaint_channels else PLAIN, size, config.sample_rate, model, config.channels
    )
    written: dict[str, Any] = msgspec.to_builtins(whole)
    return {key: value for key, value in written.items() if value is not None}


def _pretransform(autoencoder: OobleckConfig) -> PretransformSection:
    shape = {"channels": autoencoder.width, "c_mults": autoencoder.multipliers, "strides": autoencoder.strides}
    latent = autoencoder.latent_channels
    encoder = EncoderSettings(**shape, latent_dim=2 * latent, in_channels=autoencoder.audio_channels, use_snake=True)  # type: ignore[arg-type]
    decoder = DecoderSettings(
        **shape,  # type: ignore[arg-type]
        latent_dim=latent,
        out_channels=autoencoder.audio_channels,
        use_snake=True,
        final_tanh=autoencoder.final_tanh,
    )
    section = AutoencoderSection(
        EncoderSection("oobleck", encoder),
        DecoderSection("oobleck", decoder),
        BottleneckSection("vae"),
        latent,
        autoencoder.hop_length,
        autoencoder.audio_channels,
    )
    return PretransformSection("autoencoder", section, autoencoder.scale)
