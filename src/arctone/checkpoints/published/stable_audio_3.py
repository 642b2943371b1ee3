"""model_config.json of Stable Audio 3, and the model that it describes.

Its keys are those that the public package stable-audio-3 builds a model from. As for the earlier models, every key is
known here or refused by name.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace

from arctone.checkpoints.published.sections import (
    INPAINT_IDS,
    INPAINTING,
    PLAIN,
    PROMPT,
    AttentionSettings,
    AutoencoderSection,
    BottleneckSection,
    BottleneckSettings,
    CodecSection,
    CodecSettings,
    ConditioningSection,
    DiffusionSection,
    ModelSection,
    NumberConditioner,
    NumberSettings,
    PatchSection,
    PatchSettings,
    PretransformSection,
    PublishedConfig3,
    Shift,
    TextConditioner,
    TextSettings,
    TransformerSettings,
    named_file,
    require,
    require_heads,
    require_numbers,
    require_widths,
)
from arctone.files.strict_json import read_config
from arctone.model_folder.config import (
    ContinuousDiTConfig,
    LogSnrRamp,
    ModelConfig,
    NumberConfig,
    SameConfig,
    SamplingConfig,
    T5GemmaConfig,
    Waves,
)

# What the public program makes beyond the end of a sound.
HEADROOM_SECONDS: Final = 6.0
_WAVES: Final[dict[str, Waves]] = {"learned": "learned", "expo": "exponential"}
_NO_OTHER = "this version reads no other"
# The public program's defaults: of an autoencoder in chunks, and for rounding up a sound where no chunk is named.
CHUNK: Final = 128
ALIGNED_CHUNK: Final = 32
_SHARED = (
    "channels",
    "latent_dim",
    "c_mults",
    "strides",
    "chunk_size",
    "dim_heads",
    "ff_mult",
    "differential",
    "layer_scale",
    "variable_stride",
    "sliding_window",
)


def read_third(path: Path, name: str) -> ModelConfig:
    """Read the model that a model_config.json of Stable Audio 3 describes.

    Its text encoder has the sizes of t5gemma-b-b-ul2 until one is given.

    Args:
        path: The file.
        name: Of the model.

    Returns:
        The config of the model.

    Raises:
        ModelError: That names the key if a key is unknown, missing or of a value that this version cannot run.
    """
    with named_file(path):
        return _model(read_config(path, PublishedConfig3), name)


# Of the latents' level, which the public program adds in decoding where its bottleneck has noise_regularize.
LATENT_NOISE: Final = 1e-3


def with_noise(config: SameConfig, path: Path) -> SameConfig:
    """This function switches on the noise that the public program adds in encoding and decoding.

    Args:
        config: The autoencoder without noise.
        path: The model_config.json that gives its size.

    Returns:
        The config with the noise.
    """
    with named_file(path):
        section = read_config(path, PublishedConfig3).model.pretransform.config
    return replace(
        config,
        encoder_noise=section.encoder.config.mask_noise,
        decoder_noise=section.decoder.config.mask_noise,
        latent_noise=LATENT_NOISE if section.bottleneck.config.noise_regularize else 0.0,
    )


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
    for key in _SHARED:
        same = getattr(encoder, key) == getattr(decoder, key)
        require(same, f"{key} must be the same in the autoencoder's encoder and decoder")
    wide = patch.channels * patch.patch_size
    require({encoder.in_channels, decoder.out_channels} == {wide}, f"the halves must read and write {wide} channels")
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
        chunk=_chunk(encoder),
        window=encoder.sliding_window,
        sine_blocks=_sine_blocks(decoder),
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
    require(one_level, f"the {half} must have one level of strides, as SAME-S and SAME-L have: {_NO_OTHER}")
    if settings.sliding_window is None:
        shifted = settings.chunk_midpoint_shift
        require(shifted, f"chunk_midpoint_shift of the {half} must be true where sliding_window is null: {_NO_OTHER}")
    else:
        require(min(settings.sliding_window) >= 0, f"sliding_window of the {half} must be two numbers of at least 0")
    fits = _chunk(settings) % settings.strides[0] == 0
    require(fits, f"chunk_size of the {half} must be a multiple of its stride")
    waves = settings.sinusoidal_blocks
    few = half == "decoder" or waves in (0, (0,))
    require(few, f"sinusoidal_blocks of the {half} must be unused")


def _chunk(settings: CodecSettings) -> int:
    """This function gives the chunk where the config names none: as the class, or as its sounds are rounded up."""
    return settings.chunk_size or (CHUNK if settings.sliding_window is None else ALIGNED_CHUNK)


def _sine_blocks(decoder: CodecSettings) -> int:
    """This function counts the last blocks of the decoder whose gates are sines: one fewer than the key says."""
    waves = decoder.sinusoidal_blocks
    count = waves if isinstance(waves, int) else (waves or (0,))[0]
    return min(max(count - 1, 0), decoder.transformer_depths[0])


def _transformer(published: PublishedConfig3, text: TextSettings, autoencoder: SameConfig) -> ContinuousDiTConfig:
    diffusion, conditioning = published.model.diffusion, published.model.conditioning
    settings = diffusion.config
    require_heads(settings.embed_dim, settings.num_heads)
    numbers = tuple(
        NumberConfig(part.id, part.config.min_val, part.config.max_val, _WAVES[part.config.fourier_features_type])
        for part in conditioning.configs
        if isinstance(part, NumberConditioner)
    )
    named, cross = {number.name for number in numbers}, diffusion.cross_attention_cond_ids
    require_numbers(cross, diffusion.global_cond_ids, named)
    unused = not diffusion.input_concat_ids and settings.input_concat_dim == 0
    require(unused, "input_concat_ids must be empty and input_concat_dim 0")
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
        is_differential=settings.attn_kwargs.differential,
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


def build_published_third(config: ModelConfig, autoencoder: SameConfig, dit: ContinuousDiTConfig) -> dict[str, Any]:
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
        attn_kwargs=AttentionSettings(dit.qk_norm, dit.is_differential),
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

    def half(depth: int, kernel: int, noise: float) -> CodecSettings:
        return CodecSettings(
            channels=autoencoder.width,
            latent_dim=autoencoder.latent_channels,
            c_mults=(1,),
            strides=(autoencoder.stride,),
            transformer_depths=(depth,),
            chunk_size=autoencoder.chunk,
            chunk_midpoint_shift=autoencoder.window is None,
            sliding_window=autoencoder.window,
            dim_heads=autoencoder.head_size,
            ff_mult=autoencoder.mlp_width // autoencoder.width,
            differential=autoencoder.is_differential,
            variable_stride=autoencoder.shares_new_token,
            conv_mapping=kernel == 3,
            layer_scale=autoencoder.branch_scale,
            mask_noise=noise,
        )

    return AutoencoderSection(
        CodecSection(
            replace(
                half(autoencoder.encoder_depth, autoencoder.encoder_kernel, autoencoder.encoder_noise), in_channels=wide
            )
        ),
        CodecSection(
            replace(
                half(autoencoder.decoder_depth, autoencoder.decoder_kernel, autoencoder.decoder_noise),
                out_channels=wide,
                sinusoidal_blocks=(autoencoder.sine_blocks + 1 if autoencoder.sine_blocks else 0,),
            ),
            soft_clip=autoencoder.soft_clip,
        ),
        BottleneckSection(
            BottleneckSettings(autoencoder.latent_channels, autoencoder.has_level, autoencoder.latent_noise > 0)
        ),
        PatchSection(PatchSettings(autoencoder.audio_channels, autoencoder.patch)),
        autoencoder.latent_channels,
        autoencoder.hop_length,
        autoencoder.audio_channels,
    )


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, list | tuple) else value
