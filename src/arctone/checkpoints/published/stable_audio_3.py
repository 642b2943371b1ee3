"""model_config.json of Stable Audio 3, and the model that it describes.

Its keys are those that the public package stable-audio-3 builds a model from. As for the earlier models, every key is
known here or refused by name.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from arctone.checkpoints.published.sections import (
    INPAINT_IDS,
    INPAINTING,
    PLAIN,
    PROMPT,
    require,
    require_numbers,
    require_widths,
)
from arctone.errors import ModelError
from arctone.files.strict_json import read_config
from arctone.model_folder.config import (
    ContinuousDiTConfig,
    LogSnrRamp,
    ModelConfig,
    NumberConfig,
    NumberName,
    SameConfig,
    SamplingConfig,
    T5GemmaConfig,
    Waves,
)

# What the public program makes beyond the end of a sound.
HEADROOM_SECONDS: Final = 6.0
_WAVES: Final[dict[str, Waves]] = {"learned": "learned", "expo": "exponential"}
_NO_OTHER = "this version reads no other"


class CodecSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of one half of the autoencoder. How it was trained (checkpointing, freezing, noise) changes nothing."""

    channels: int
    latent_dim: int
    c_mults: tuple[int, ...]
    strides: tuple[int, ...]
    transformer_depths: tuple[int, ...]
    in_channels: int | None = None
    out_channels: int | None = None
    chunk_size: int = 128
    chunk_midpoint_shift: bool = False
    dim_heads: int = 128
    ff_mult: int = 3
    differential: bool = True
    dyt: bool = True
    variable_stride: bool = False
    conv_mapping: bool = False
    mapping_bias: bool = True
    layer_scale: bool = False
    sliding_window: tuple[int, int] | None = None
    sinusoidal_blocks: tuple[int, ...] | int = 0
    conformer: bool = False
    feat_scale: bool = False
    cross_attn: bool = False
    causal: bool = False
    mask_noise: float = 0.0
    checkpointing: bool = False
    freeze_backbone: bool = False


class CodecSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Encoder or decoder."""

    config: CodecSettings
    type: str = "same"
    requires_grad: bool = True
    soft_clip: bool = False


class BottleneckSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the normalisation of latents."""

    dim: int
    auto_scale: bool = False
    noise_augment_dim: int = 0
    noise_regularize: bool = False
    freeze: bool = False


class BottleneckSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The normalisation of latents."""

    config: BottleneckSettings
    type: str = "softnorm"


class PatchSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How a waveform becomes patches."""

    channels: int
    patch_size: int
    oversampling: int = 1
    postfilter_channels: int = 0


class PatchSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Waveforms to patches."""

    config: PatchSettings
    type: str = "patched"


class AutoencoderSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The autoencoder."""

    encoder: CodecSection
    decoder: CodecSection
    bottleneck: BottleneckSection
    pretransform: PatchSection
    latent_dim: int
    downsampling_ratio: int
    io_channels: int = 2
    in_channels: int | None = None
    out_channels: int | None = None


class PretransformSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The autoencoder and how the published program runs it, which changes nothing."""

    config: AutoencoderSection
    type: str = "autoencoder"
    scale: float = 1.0
    chunked: bool = False
    iterate_batch: bool = False
    model_half: bool = False


class TextSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which T5Gemma, where it lies, and how many tokens."""

    model_name: str = "google/t5gemma-b-b-ul2"
    max_length: int = 128
    padding_mode: Literal["zero", "learned"] = "zero"
    project_out: bool = False
    enable_grad: bool = False
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
    cond_dim: int
    default_keys: dict[str, str] = {}
    pre_encoded_keys: tuple[str, ...] = ()


class AttentionSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the attention layers."""

    qk_norm: Literal["none", "l2", "ln", "rms"] = "none"
    qk_norm_eps: float = 1e-6
    differential: bool = False
    feat_scale: bool = False


class FeedForwardSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the feed-forward layers."""

    mult: float = 4
    no_bias: bool = False


class NormSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the norms."""

    eps: float = 1e-5


class TransformerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the diffusion transformer."""

    io_channels: int
    embed_dim: int
    depth: int
    num_heads: int
    cond_token_dim: int
    global_cond_dim: int
    project_cond_tokens: bool = True
    project_global_cond: bool = True
    transformer_type: Literal["continuous_transformer"] = "continuous_transformer"
    global_cond_type: Literal["prepend", "adaLN"] = "prepend"
    timestep_cond_type: Literal["global"] = "global"
    timestep_features_type: Literal["learned", "expo"] = "learned"
    timestep_features_dim: int = 256
    timestep_features_logsnr: bool = False
    patch_size: int = 1
    input_concat_dim: int = 0
    prepend_cond_dim: int = 0
    num_memory_tokens: int = 0
    local_add_cond_dim: int | None = None
    norm_type: Literal["layer_norm", "rms_norm"] = "layer_norm"
    attn_kwargs: AttentionSettings = AttentionSettings()
    ff_kwargs: FeedForwardSettings = FeedForwardSettings()
    norm_kwargs: NormSettings = NormSettings()


class Shift(Struct, frozen=True, forbid_unknown_fields=True):
    """How sampling times are spread, as far as it is published: by log-SNR, or not at all."""

    type: Literal["logsnr", "none"]
    anchor_length: int = 2000
    anchor_logsnr: float = -6.2
    rate: float = 1.0
    logsnr_end: float = 2.0


class DiffusionSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The diffusion model. distribution_shift_options and the masking of padding concern training."""

    config: TransformerSettings
    cross_attention_cond_ids: tuple[Literal["prompt", "seconds_start", "seconds_total"], ...]
    global_cond_ids: tuple[NumberName, ...]
    diffusion_objective: Literal["rectified_flow", "rf_denoiser"]
    type: str = "dit"
    local_add_cond_ids: tuple[str, ...] = ()
    input_concat_ids: tuple[str, ...] = ()
    prepend_cond_ids: tuple[str, ...] = ()
    modular_local_cond_configs: tuple[Any, ...] = ()
    distribution_shift_options: dict[str, Any] | None = None
    sampling_distribution_shift_options: Shift | None = None
    mask_padding_attention: bool = False
    use_effective_length_for_schedule: bool = False


class ModelSection(Struct, frozen=True, forbid_unknown_fields=True):
    """What has weights."""

    pretransform: PretransformSection
    conditioning: ConditioningSection
    diffusion: DiffusionSection
    io_channels: int


class PublishedConfig3(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file; its training block says nothing about the model."""

    model_type: Literal["diffusion_cond", "diffusion_cond_inpaint"]
    sample_size: int
    sample_rate: int
    model: ModelSection
    audio_channels: int = 2
    training: Any = None
    svd_bases_path: str | None = None


def read_third(path: Path, name: str) -> ModelConfig:
    """The model that a model_config.json of Stable Audio 3 describes; its text encoder has the sizes of
    t5gemma-b-b-ul2 until one is given.

    Raises: ModelError that names the key if a key is unknown, missing or of a value that this version cannot run.
    """
    published = read_config(path, PublishedConfig3)
    try:
        return _model(published, name)
    except ModelError as problem:
        raise ModelError(f"{path}: {problem}") from None


def text_folder_name(path: Path) -> str:
    """The folder beside a model_config.json that its text encoder is published in; empty if it names none."""
    for part in read_config(path, PublishedConfig3).model.conditioning.configs:
        if isinstance(part, TextConditioner):
            return part.config.subfolder or ""
    return ""


def _model(published: PublishedConfig3, name: str) -> ModelConfig:
    model = published.model
    autoencoder = _autoencoder(model.pretransform.config)
    require(model.pretransform.scale == 1, "scale of the pretransform must be 1")
    texts = [part for part in model.conditioning.configs if isinstance(part, TextConditioner)]
    require(len(texts) == 1, "model.conditioning.configs must hold one condition of the type t5gemma")
    require(not texts[0].config.project_out, "project_out of the condition prompt must be false")
    require(model.io_channels == autoencoder.latent_channels, "model.io_channels must be the autoencoder's latent_dim")
    dit = _transformer(published, texts[0].config, autoencoder)
    return ModelConfig(
        name=name,
        autoencoder=autoencoder,
        dit=dit,
        text=T5GemmaConfig(width=model.conditioning.cond_dim, max_tokens=texts[0].config.max_length),
        sampling=_sampling(published, dit),
        sample_rate=published.sample_rate,
        channels=published.audio_channels,
        hop_length=autoencoder.hop_length,
    )


def _autoencoder(section: AutoencoderSection) -> SameConfig:
    encoder, decoder, patch = section.encoder.config, section.decoder.config, section.pretransform.config
    for half, settings in (("encoder", encoder), ("decoder", decoder)):
        _require_known_codec(half, settings)
    shared = ("channels", "latent_dim", "c_mults", "strides", "chunk_size", "dim_heads", "ff_mult", "differential")
    for key in (*shared, "layer_scale"):
        same = getattr(encoder, key) == getattr(decoder, key)
        require(same, f"{key} must be the same in the autoencoder's encoder and decoder")
    require(encoder.variable_stride == decoder.variable_stride, "variable_stride must be the same in both halves")
    require(
        patch.oversampling == 1 and patch.postfilter_channels == 0, "patches must have no oversampling and no filter"
    )
    wide = patch.channels * patch.patch_size
    require({encoder.in_channels, decoder.out_channels} == {wide}, f"the halves must read and write {wide} channels")
    require(section.bottleneck.config.noise_augment_dim == 0, "noise_augment_dim of the bottleneck must be 0")
    width = encoder.channels * encoder.c_mults[0]
    require(width != wide, f"the width of the autoencoder, {width}, must differ from the channels of its patches")
    found = SameConfig(
        latent_channels=encoder.latent_dim,
        audio_channels=patch.channels,
        patch=patch.patch_size,
        width=width,
        head_size=min(encoder.dim_heads, width),
        mlp_width=width * encoder.ff_mult,
        encoder_depth=encoder.transformer_depths[0],
        decoder_depth=decoder.transformer_depths[0],
        stride=encoder.strides[0],
        chunk=encoder.chunk_size,
        shares_new_token=encoder.variable_stride,
        is_differential=encoder.differential,
        encoder_kernel=3 if encoder.conv_mapping else 1,
        decoder_kernel=3 if decoder.conv_mapping else 1,
        has_level=section.bottleneck.config.auto_scale,
        branch_scale=encoder.layer_scale,
        soft_clip=section.decoder.soft_clip,
    )
    hop = section.downsampling_ratio
    require(hop == found.hop_length, f"downsampling_ratio must be patch_size times the stride, {found.hop_length}")
    return found


def _require_known_codec(half: str, settings: CodecSettings) -> None:
    one_level = {len(settings.c_mults), len(settings.strides), len(settings.transformer_depths)} == {1}
    require(one_level, f"the {half} must have one level of strides, as SAME-S has: {_NO_OTHER}")
    require(settings.sliding_window is None, f"sliding_window of the {half} must be null, as in SAME-S: {_NO_OTHER}")
    require(settings.chunk_midpoint_shift, f"chunk_midpoint_shift of the {half} must be true: {_NO_OTHER}")
    require(settings.dyt and settings.mapping_bias, f"dyt and mapping_bias of the {half} must be true: {_NO_OTHER}")
    fits = settings.chunk_size % settings.strides[0] == 0
    require(fits, f"chunk_size of the {half} must be a multiple of its stride")
    waves = settings.sinusoidal_blocks
    plain = not (settings.conformer or settings.feat_scale or settings.cross_attn or settings.causal)
    plain = plain and not any(waves if isinstance(waves, tuple) else (waves,))
    require(plain, f"conformer, feat_scale, cross_attn, causal and sinusoidal_blocks of the {half} must be unused")


def _transformer(published: PublishedConfig3, text: TextSettings, autoencoder: SameConfig) -> ContinuousDiTConfig:
    diffusion, conditioning = published.model.diffusion, published.model.conditioning
    settings = diffusion.config
    numbers = tuple(
        NumberConfig(part.id, part.config.min_val, part.config.max_val, _WAVES[part.config.fourier_features_type])
        for part in conditioning.configs
        if isinstance(part, NumberConditioner)
    )
    named, cross = {number.name for number in numbers}, diffusion.cross_attention_cond_ids
    require_numbers(cross, diffusion.global_cond_ids, named)
    unused = not (diffusion.prepend_cond_ids or diffusion.input_concat_ids or diffusion.modular_local_cond_configs)
    unused = unused and settings.input_concat_dim == settings.prepend_cond_dim == 0
    require(unused, "prepend_cond_ids, input_concat_ids and modular_local_cond_configs must be empty")
    plain = not (settings.attn_kwargs.differential or settings.attn_kwargs.feat_scale)
    require(plain, "attn_kwargs.differential and feat_scale of the transformer must be false, as in the small models")
    usual = settings.ff_kwargs == FeedForwardSettings() and settings.norm_kwargs == NormSettings()
    usual = usual and settings.attn_kwargs.qk_norm_eps == 1e-6
    require(usual, f"ff_kwargs, norm_kwargs and qk_norm_eps must be mult 4, biases, eps 1e-5 and 1e-6: {_NO_OTHER}")
    even = settings.patch_size == 1 and settings.timestep_features_dim == 256
    require(even, f"patch_size must be 1 and timestep_features_dim 256: {_NO_OTHER}")
    width = conditioning.cond_dim
    widths = {"token_dim": settings.cond_token_dim, "global_dim": settings.global_cond_dim}
    total = require_widths(width, len(diffusion.global_cond_ids), **widths)
    inpaint = _inpaint_channels(published)
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
        norm="rms" if settings.norm_type == "rms_norm" else "layer",
        memory_tokens=settings.num_memory_tokens,
        time_waves=_WAVES[settings.timestep_features_type],
        log_snr_time=settings.timestep_features_logsnr,
        learned_padding=text.padding_mode == "learned",
        numbers=numbers,
        cross_numbers=cross[1:],
        global_numbers=diffusion.global_cond_ids,
        max_frames=published.sample_size // autoencoder.hop_length,
        max_seconds=math.floor(100 * published.sample_size / published.sample_rate) / 100,
        inpaint_channels=inpaint,
        inpaint_place="blocks" if inpaint else "input",
        window="fitting",
        headroom_seconds=HEADROOM_SECONDS,
        frames_multiple=autoencoder.chunk_frames,
    )


def _inpaint_channels(published: PublishedConfig3) -> int:
    diffusion = published.model.diffusion
    if published.model_type == PLAIN:
        silent = not (diffusion.local_add_cond_ids or diffusion.config.local_add_cond_dim)
        require(silent, f"model.diffusion.local_add_cond_ids and local_add_cond_dim need the model_type {INPAINTING}")
        return 0
    named = diffusion.local_add_cond_ids == INPAINT_IDS
    require(
        named, f"model.diffusion.local_add_cond_ids must be {', '.join(INPAINT_IDS)} for the model_type {INPAINTING}"
    )
    wanted = diffusion.config.io_channels + 1
    require(
        diffusion.config.local_add_cond_dim == wanted, f"local_add_cond_dim must be {wanted}, a mask and the latents"
    )
    return wanted


def _sampling(published: PublishedConfig3, dit: ContinuousDiTConfig) -> SamplingConfig:
    """As the public program samples: post-trained models in 8 steps, others in 50 with projected guidance."""
    shift = published.model.diffusion.sampling_distribution_shift_options or Shift("logsnr", rate=0.0)
    ramp = LogSnrRamp(shift.anchor_logsnr, shift.logsnr_end, shift.rate, shift.anchor_length)
    schedule: Literal["log_snr", "linear"] = "log_snr" if shift.type == "logsnr" else "linear"
    seconds = min(30.0, dit.max_seconds)
    if dit.objective == "rf_denoiser":
        return SamplingConfig("ping_pong", 8, 1.0, seconds, schedule=schedule, log_snr=ramp, post_trained=True)
    return SamplingConfig("euler", 50, 7.0, seconds, schedule=schedule, log_snr=ramp, guidance="projected")


def published_third(config: ModelConfig, autoencoder: SameConfig, dit: ContinuousDiTConfig) -> dict[str, Any]:
    """The content of a model_config.json of Stable Audio 3."""
    names = {ours: theirs for theirs, ours in _WAVES.items()}
    numbers = [
        NumberConditioner(number.name, NumberSettings(number.minimum, number.maximum, names[number.waves]))  # type: ignore[arg-type]
        for number in dit.numbers
    ]
    text = TextSettings(max_length=config.text.max_tokens, padding_mode="learned" if dit.learned_padding else "zero")
    transformer = TransformerSettings(
        io_channels=dit.latent_channels,
        embed_dim=dit.width,
        depth=dit.depth,
        num_heads=dit.heads,
        cond_token_dim=dit.text_width,
        global_cond_dim=dit.text_width * len(dit.global_numbers),
        project_cond_tokens=dit.context_width == dit.width,
        project_global_cond=dit.global_width == dit.width,
        global_cond_type=dit.global_condition,
        timestep_features_type=names[dit.time_waves],  # type: ignore[arg-type]
        timestep_features_logsnr=dit.log_snr_time,
        num_memory_tokens=dit.memory_tokens,
        local_add_cond_dim=dit.inpaint_channels or None,
        norm_type="rms_norm" if dit.norm == "rms" else "layer_norm",
        attn_kwargs=AttentionSettings(dit.qk_norm),
    )
    ramp = config.sampling.log_snr
    shift = Shift("logsnr", ramp.frames, ramp.start, ramp.per_doubling, ramp.end)
    diffusion = DiffusionSection(
        config=transformer,
        cross_attention_cond_ids=(PROMPT, *dit.cross_numbers),  # type: ignore[arg-type]
        global_cond_ids=dit.global_numbers,  # type: ignore[arg-type]
        diffusion_objective=dit.objective,  # type: ignore[arg-type]
        local_add_cond_ids=INPAINT_IDS if dit.inpaint_channels else (),
        sampling_distribution_shift_options=shift if config.sampling.schedule == "log_snr" else Shift("none"),
    )
    conditioning = ConditioningSection((TextConditioner(PROMPT, text), *numbers), dit.text_width)
    model = ModelSection(
        PretransformSection(_codec_sections(autoencoder)), conditioning, diffusion, autoencoder.latent_channels
    )
    kind: Literal["diffusion_cond", "diffusion_cond_inpaint"] = INPAINTING if dit.inpaint_channels else PLAIN
    size = max(dit.max_frames * autoencoder.hop_length, math.ceil(dit.max_seconds * config.sample_rate))
    whole = PublishedConfig3(kind, size, config.sample_rate, model, config.channels)
    written: dict[str, Any] = _without_none(msgspec.to_builtins(whole))
    return written


def _codec_sections(autoencoder: SameConfig) -> AutoencoderSection:
    wide = autoencoder.audio_channels * autoencoder.patch

    def half(depth: int, kernel: int) -> CodecSettings:
        return CodecSettings(
            channels=autoencoder.width,
            latent_dim=autoencoder.latent_channels,
            c_mults=(1,),
            strides=(autoencoder.stride,),
            transformer_depths=(depth,),
            chunk_size=autoencoder.chunk,
            chunk_midpoint_shift=True,
            dim_heads=autoencoder.head_size,
            ff_mult=autoencoder.mlp_width // autoencoder.width,
            differential=autoencoder.is_differential,
            variable_stride=autoencoder.shares_new_token,
            conv_mapping=kernel == 3,
            layer_scale=autoencoder.branch_scale,
        )

    return AutoencoderSection(
        CodecSection(replace(half(autoencoder.encoder_depth, autoencoder.encoder_kernel), in_channels=wide)),
        CodecSection(
            replace(
                half(autoencoder.decoder_depth, autoencoder.decoder_kernel), out_channels=wide, sinusoidal_blocks=(0,)
            ),
            soft_clip=autoencoder.soft_clip,
        ),
        BottleneckSection(BottleneckSettings(autoencoder.latent_channels, auto_scale=autoencoder.has_level)),
        PatchSection(PatchSettings(autoencoder.audio_channels, autoencoder.patch)),
        autoencoder.latent_channels,
        autoencoder.hop_length,
        autoencoder.audio_channels,
    )


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, list | tuple) else value
