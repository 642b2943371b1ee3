"""What a model folder's config.json holds. Framework-free, so that every engine and the trainers share it."""

from __future__ import annotations

import msgspec


class SpectralConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="spectral", tag_field="type"):
    """Magnitude autoencoder: spectral features at 86 frames per second, latents at 21.5."""

    latent_channels: int = 64
    width: int = 384
    expansion: int = 3
    encoder_fine_blocks: int = 2
    encoder_blocks: int = 4
    decoder_blocks: int = 4
    decoder_fine_blocks: int = 4
    # Noise added to the unit-RMS latents in training; the flow model's own errors are of this order.
    latent_noise: float = 0.1
    phase_iterations: int = 1


class DiTConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Diffusion transformer."""

    latent_channels: int = 64
    width: int = 384
    depth: int = 8
    heads: int = 6
    text_width: int = 384
    mlp_width: int = 1024
    max_frames: int = 256
    max_seconds: float = 11.89
    inpaint_channels: int = 0


class TextConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """BERT-type text encoder."""

    vocabulary: int = 30522
    width: int = 384
    depth: int = 6
    heads: int = 12
    mlp_width: int = 1536
    max_tokens: int = 64


class SamplingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Defaults that suit the model's stage of training."""

    sampler: str = "euler"
    steps: int = 24
    cfg_scale: float = 4.0
    duration_seconds: float = 8.0
    shift: float = 1.0
    # A post-trained model has its guidance built in: other scales than 1 bring a warning.
    post_trained: bool = False


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text-to-audio model."""

    name: str
    autoencoder: SpectralConfig = SpectralConfig()
    dit: DiTConfig = DiTConfig()
    text: TextConfig = TextConfig()
    sampling: SamplingConfig = SamplingConfig()
    schema_version: int = 1
    sample_rate: int = 44_100
    channels: int = 2
    hop_length: int = 2048
    # Of a post-trained model: SHA-256 of the flow model's weights it was made from, whose adapters fit it too.
    flow_hash: str = ""
