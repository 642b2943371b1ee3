"""What a model folder's config.json holds. Framework-free, so that every engine and the trainers share it."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeVar

import msgspec

from arctone.errors import ModelError

T = TypeVar("T")
NumberName = Literal["seconds_start", "seconds_total"]


class SpectralConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="spectral", tag_field="type"):
    """Magnitude autoencoder: spectral features at 86 frames per second, latents at 21.5.

    linear_channels: how many of the latent channels are a fixed linear code of the envelope (its first principal
    components); the others are learned. decoder_width: width of the decoder; 0 = that of the encoder.
    """

    latent_channels: int = 64
    linear_channels: int = 0
    width: int = 384
    decoder_width: int = 0
    expansion: int = 3
    encoder_fine_blocks: int = 2
    encoder_blocks: int = 4
    decoder_blocks: int = 4
    decoder_fine_blocks: int = 4
    # Noise added to the unit-RMS latents in training; the flow model's own errors are of this order.
    latent_noise: float = 0.1
    phase_iterations: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.linear_channels <= self.latent_channels:
            raise ModelError(
                f"linear_channels: {self.linear_channels} is not possible, "
                f"a model of {self.latent_channels} latent channels allows 0 to {self.latent_channels}",
                field="linear_channels",
            )

    @property
    def learned_channels(self) -> int:
        """Latent channels that the encoder's network makes."""
        return self.latent_channels - self.linear_channels

    @property
    def reach_frames(self) -> int:
        """Latent frames on either side of a frame that its decoded sound depends on: unbounded, by the phases."""
        return 2**31


class OobleckConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="oobleck", tag_field="type"):
    """Convolutional autoencoder of waveforms, as published with Stable Audio Open.

    multipliers: widths of the levels, as multiples of `width`; strides: from the finest level to the coarsest.
    """

    latent_channels: int = 64
    audio_channels: int = 2
    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 8, 16)
    strides: tuple[int, ...] = (2, 4, 4, 8, 8)
    final_tanh: bool = False
    # Latents are divided by it after encoding.
    scale: float = 1.0

    @property
    def hop_length(self) -> int:
        """Audio samples per latent frame."""
        return math.prod(self.strides)

    @property
    def reach_frames(self) -> int:
        """Latent frames on either side of a frame that its decoded sound depends on."""
        return decoder_reach(tuple(reversed(self.strides))) + 3


class SameConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="same", tag_field="type"):
    """Transformer autoencoder of waveforms, as published with Stable Audio 3: SAME-S and SAME-L.

    patch: audio samples of a channel that make one token. stride: tokens that become one latent frame.
    chunk: tokens, without those for latents, that attend to each other; with a window, only what sounds are padded to.
    window: latent frames before and after its own whose tokens a token attends to; None = those of its chunk.
    sine_blocks: how many of the decoder's last blocks have sines for gates.
    encoder_noise, decoder_noise, latent_noise: size of the noise that is added to new tokens and to the latents that
    are decoded, which the published program does; 0 = none.
    encoder_kernel, decoder_kernel: of the convolutions between patches and tokens. has_level: whether latents are
    divided by one learned level. branch_scale: whether each branch of a block has a learned scale.
    """

    latent_channels: int = 256
    audio_channels: int = 2
    patch: int = 256
    width: int = 768
    head_size: int = 64
    mlp_width: int = 2304
    encoder_depth: int = 6
    decoder_depth: int = 6
    stride: int = 16
    chunk: int = 32
    shares_new_token: bool = True
    is_differential: bool = True
    encoder_kernel: int = 1
    decoder_kernel: int = 3
    has_level: bool = True
    branch_scale: bool = False
    soft_clip: bool = False
    window: tuple[int, int] | None = None
    sine_blocks: int = 0
    encoder_noise: float = 0.0
    decoder_noise: float = 0.0
    latent_noise: float = 0.0

    @property
    def hop_length(self) -> int:
        """Audio samples per latent frame."""
        return self.patch * self.stride

    @property
    def chunk_frames(self) -> int:
        """Latent frames of a chunk."""
        return self.chunk // self.stride

    @property
    def reach_frames(self) -> int:
        """Latent frames on either side of a frame that its decoded sound depends on, at most; whole chunks.

        Half of the blocks work in chunks, the other half in chunks moved by half of one; windows add up over all
        blocks. Then come the neighbours of the last convolution.
        """
        if self.window is None:
            return 2 * self.chunk_frames
        reach = max(self.window) * max(self.encoder_depth, self.decoder_depth) + 1
        return reach + -reach % self.chunk_frames


ControlName = Literal["key", "note", "steps", "loudness", "brightness", "pitch"]
# Controls that are one number for a sound, and those that are a curve over its frames.
NUMBER_CONTROLS: tuple[ControlName, ...] = ("key", "note", "steps")
CURVE_CONTROLS: tuple[ControlName, ...] = ("loudness", "brightness", "pitch")


class DiTConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="dit", tag_field="type"):
    """Diffusion transformer with shared adaptive layer norm, which receives its place in time and in the beat.

    controls: the further conditions that it receives, see `models.conditions`. text_adapter: trained blocks between the
    text encoder's states and the cross-attention. inpaint_channels: 0, or 1 + latent_channels for a mask (1 = known)
    and the known latents.
    """

    latent_channels: int = 64
    width: int = 384
    depth: int = 8
    heads: int = 6
    text_width: int = 384
    mlp_width: int = 1024
    max_frames: int = 256
    max_seconds: float = 11.89
    inpaint_channels: int = 0
    controls: tuple[ControlName, ...] = ()
    text_adapter: int = 0

    def to_dict(self) -> dict[str, Any]:
        """This function gives the config as a mapping; peft asks a network's `config` for it when it saves adapters."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    @property
    def full_window(self) -> bool:
        """Whether it is always given max_frames, and shorter sounds are cut from the end: no, any length is known."""
        return False

    @property
    def pads_text(self) -> bool:
        """Whether padded tokens of a prompt are among its keys, so that every prompt has the full length: no."""
        return False

    @property
    def headroom_seconds(self) -> float:
        """What it is given beyond the end of a sound: nothing, its mask tells it the length."""
        return 0.0

    @property
    def frames_multiple(self) -> int:
        """Numbers of frames that it can be given are multiples of this."""
        return 1

    @property
    def hears_tempo(self) -> bool:
        """Whether a tempo in beats per minute is among its conditions."""
        return True


Waves = Literal["learned", "exponential"]


class NumberConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number that conditions a transformer: its name, the range that it is brought to [0, 1] from, and its waves.

    waves: whether the rates of the waves that show the number are learned, or lie evenly on a log scale.
    """

    name: NumberName
    minimum: float
    maximum: float
    waves: Waves = "learned"


class ContinuousDiTConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="continuous_transformer", tag_field="type"
):
    """Diffusion transformer as published with Stable Audio Open and Stable Audio 3.

    objective: "v" is the velocity of variance-preserving diffusion, the others that of rectified flow.
    context_width: width of the cross-attention's context; `width` if conditions are projected to it.
    global_condition: whether the global vector is a token before the frames, or modulates the layer norms.
    cross_numbers, global_numbers: which numbers follow the text in the context, and which make the global vector.
    is_differential: whether each attention is the difference of two, which share the values.
    time_waves, log_snr_time: how the noise level is shown, and whether as its log-SNR.
    learned_padding: whether a learned vector stands for the padding of a prompt, instead of zeros.
    inpaint_place: whether mask and known latents enter with the latents, or in every block.
    window: whether it is always given max_frames, or what a sound needs and headroom_seconds more, in
    multiples of frames_multiple.
    """

    objective: Literal["v", "rectified_flow", "rf_denoiser"] = "rf_denoiser"
    latent_channels: int = 64
    width: int = 1024
    depth: int = 16
    heads: int = 8
    text_width: int = 768
    context_width: int = 1024
    global_width: int = 1024
    global_condition: Literal["prepend", "adaLN"] = "prepend"
    qk_norm: Literal["none", "l2", "ln", "rms"] = "ln"
    norm: Literal["layer", "rms"] = "layer"
    is_differential: bool = False
    memory_tokens: int = 0
    time_waves: Waves = "learned"
    log_snr_time: bool = False
    learned_padding: bool = False
    numbers: tuple[NumberConfig, ...] = (NumberConfig("seconds_total", 0, 256),)
    cross_numbers: tuple[str, ...] = ("seconds_total",)
    global_numbers: tuple[str, ...] = ("seconds_total",)
    max_frames: int = 256
    max_seconds: float = 11.88
    inpaint_channels: int = 0
    inpaint_place: Literal["input", "blocks"] = "input"
    window: Literal["full", "fitting"] = "full"
    headroom_seconds: float = 0.0
    frames_multiple: int = 1

    def to_dict(self) -> dict[str, Any]:
        """This function gives the config as a mapping; peft asks a network's `config` for it when it saves adapters."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    @property
    def full_window(self) -> bool:
        """Whether it is always given max_frames, and shorter sounds are cut from the end."""
        return self.window == "full"

    @property
    def pads_text(self) -> bool:
        """Whether padded tokens of a prompt are among its keys, so that every prompt has the full length: yes."""
        return True

    @property
    def hears_tempo(self) -> bool:
        """Whether a tempo in beats per minute is among its conditions."""
        return False

    @property
    def controls(self) -> tuple[ControlName, ...]:
        """The further conditions that it receives: none."""
        return ()


class TextConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="bert", tag_field="type"):
    """BERT-type text encoder."""

    vocabulary: int = 30522
    width: int = 384
    depth: int = 6
    heads: int = 12
    mlp_width: int = 1536
    max_tokens: int = 64


class T5Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="t5", tag_field="type"):
    """Encoder of a T5 model. Defaults: t5-base."""

    vocabulary: int = 32_128
    width: int = 768
    depth: int = 12
    heads: int = 12
    head_width: int = 64
    mlp_width: int = 3072
    activation: Literal["relu", "gated-gelu"] = "relu"
    position_buckets: int = 32
    position_distance: int = 128
    norm_epsilon: float = 1e-6
    max_tokens: int = 64


class T5GemmaConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="t5gemma", tag_field="type"):
    """Encoder of a T5Gemma model. Defaults: t5gemma-b-b-ul2.

    key_heads: of keys and values, each shared by several queries. score_width: attention scores are divided by its
    root. score_cap: what their size is softly limited to; 0 = not at all.
    """

    vocabulary: int = 256_000
    width: int = 768
    depth: int = 12
    heads: int = 12
    key_heads: int = 12
    head_width: int = 64
    mlp_width: int = 2048
    score_width: float = 64
    score_cap: float = 50.0
    rotary_base: float = 10_000.0
    norm_epsilon: float = 1e-6
    max_tokens: int = 256


AutoencoderConfig = SpectralConfig | OobleckConfig | SameConfig
TransformerConfig = DiTConfig | ContinuousDiTConfig
TextEncoderConfig = TextConfig | T5Config | T5GemmaConfig


class LogSnrRamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ends of the log-SNR schedule.

    start: for sounds of `frames` latent frames; it falls by `per_doubling` where a sound is twice as long.
    """

    start: float = -6.0
    end: float = 2.0
    per_doubling: float = 0.0
    frames: int = 2000

    def start_for(self, num_frames: int) -> float:
        """Where the ramp begins for a sound of `num_frames` frames."""
        return self.start - self.per_doubling * math.log2(max(1, num_frames) / self.frames)


class SamplingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Defaults that suit the model's stage of training."""

    sampler: str = "euler"
    steps: int = 24
    cfg_scale: float = 4.0
    duration_seconds: float = 8.0
    shift: float = 1.0
    # "auto" is the grid that suits the sampler; the others hold for every sampler (flow/schedules.py).
    schedule: Literal["auto", "linear", "log_snr", "cosine", "exponential"] = "auto"
    log_snr: LogSnrRamp = LogSnrRamp()
    # "projected" guides only across the direction of the estimate itself, so that its level does not grow.
    guidance: Literal["plain", "projected"] = "plain"
    # A post-trained model has its guidance built in: other scales than 1 bring a warning.
    post_trained: bool = False


NETWORK, FLOW_NETWORK = "dit", "flow"
"""Names of the networks that give a velocity: the model's transformer, and next to a post-trained one the flow model
that it was made from."""


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text-to-audio model."""

    name: str
    autoencoder: AutoencoderConfig = SpectralConfig()
    dit: TransformerConfig = DiTConfig()
    text: TextEncoderConfig = TextConfig()
    sampling: SamplingConfig = SamplingConfig()
    schema_version: int = 1
    sample_rate: int = 44_100
    channels: int = 2
    hop_length: int = 2048
    # What decodes instead of the autoencoder's own decoder, where `arctone train decoder` made one of another type.
    decoder: SpectralConfig | None = None
    # Of a post-trained model: SHA-256 of the flow model's weights it was made from, whose adapters fit it too.
    flow_hash: str = ""
    # How that flow model is sampled.
    flow_sampling: SamplingConfig | None = None

    @property
    def of_flow(self) -> ModelConfig:
        """The config of the flow model that a post-trained one was made from, sampled as a flow again; of others it is
        their own. Where it is not written how, it is the usual way, at the model's usual length.
        """
        if not self.sampling.post_trained:
            return self
        usual = SamplingConfig(duration_seconds=self.sampling.duration_seconds)
        sampling = self.flow_sampling or usual
        return msgspec.structs.replace(self, sampling=sampling, flow_hash="", flow_sampling=None)

    def for_network(self, network: str) -> ModelConfig:
        """Return the config that a network is sampled with."""
        return self.of_flow if network == FLOW_NETWORK else self

    @property
    def sounding(self) -> AutoencoderConfig:
        """The config of the decoder that is used."""
        return self.decoder or self.autoencoder

    @classmethod
    def upgraded(cls, raw: Any) -> Any:
        """Raw JSON with the types that the first models left out, because there was only one of each."""
        if not isinstance(raw, dict):
            return raw
        first = {"autoencoder": "spectral", "dit": "dit", "text": "bert"}
        typed = {name: {"type": kind, **raw[name]} for name, kind in first.items() if isinstance(raw.get(name), dict)}
        return {**raw, **typed}


# What the three residual units of an oobleck block (7 taps, dilated by 1, 3 and 9) see to either side.
UNITS_REACH = 3 * (1 + 3 + 9)


def decoder_reach(strides: tuple[int, ...]) -> int:
    """Input frames that oobleck's decoder blocks with those strides, and its last convolution, see beyond each side."""
    reach = 3
    for stride in reversed(strides):
        reach = math.ceil((reach + UNITS_REACH) / stride) + 1
    return reach


def encoder_reach(config: OobleckConfig) -> int:
    """Latent frames' worth of samples that oobleck's encoder sees beyond each side of a frame."""
    reach = 1
    for stride in reversed(config.strides):
        reach = (reach + 1) * stride + math.ceil(stride / 2) + UNITS_REACH
    return math.ceil((reach + 3) / config.hop_length)


def of_type(part: object, kind: type[T]) -> T:
    """Return the config of a part if it is of that kind, else raise a ModelError."""
    if isinstance(part, kind):
        return part
    names = [str(getattr(value, "__struct_config__").tag) for value in (part, kind)]  # noqa: B009
    raise ModelError(f"this work needs a model part of the type {names[1]!r}, but the model has the type {names[0]!r}.")
