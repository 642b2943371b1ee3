"""A model of the real kind, but of some thousand parameters and random: the whole road without any trained weights."""

import string
from pathlib import Path

import msgspec
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from arctone.checkpoints.folder import AUTOENCODER, DIT, FLOW, load_state, save_part
from arctone.export.bundle import build
from arctone.model_folder.config import DiTConfig, ModelConfig, SamplingConfig, SpectralConfig, TextConfig
from arctone.models.dit import DiT as DiffusionTransformer
from arctone.models.spectral import SpectralAutoencoder
from arctone.models.text import TextEncoder

CONFIG = ModelConfig(
    name="tiny",
    autoencoder=SpectralConfig(
        latent_channels=8,
        width=32,
        encoder_fine_blocks=1,
        encoder_blocks=1,
        decoder_blocks=1,
        decoder_fine_blocks=1,
        phase_iterations=0,
    ),
    dit=DiTConfig(
        latent_channels=8, width=32, depth=2, heads=2, text_width=32, mlp_width=64, max_frames=64, max_seconds=2.97
    ),
    text=TextConfig(vocabulary=256, width=32, depth=1, heads=2, mlp_width=64, max_tokens=16),
    sampling=SamplingConfig(sampler="euler", steps=4, cfg_scale=2.0, duration_seconds=1.0),
)


def build_tiny_model(folder: Path, flow: bool = False) -> Path:
    """Write random weights, export them, and return the model folder. flow: as a post-trained model, with its flow."""
    checkpoint = write_checkpoint(folder / "checkpoint")
    if flow:
        sampling = msgspec.structs.replace(CONFIG.sampling, post_trained=True)
        save_part(checkpoint, FLOW, flow_state(checkpoint), msgspec.structs.replace(CONFIG, sampling=sampling))
    documents = {"card.md": "# tiny\n\nRandom weights, for tests only.\n"}
    build(checkpoint, folder / "tiny", windows=(32,), documents=documents)
    return folder / "tiny"


def write_checkpoint(checkpoint: Path) -> Path:
    """Write the weights that the tiny model is exported from; always the same."""
    torch.manual_seed(0)
    save_part(checkpoint, DIT, _random(DiffusionTransformer(CONFIG.dit)), CONFIG)
    save_part(checkpoint, AUTOENCODER, _random(SpectralAutoencoder(CONFIG.autoencoder)), CONFIG)
    text = CONFIG.text
    encoder = TextEncoder(text.vocabulary, text.max_tokens, text.width, text.depth, text.heads, text.mlp_width)
    save_file(encoder.state_dict(), checkpoint / "text.safetensors")
    _tokenizer().save(str(checkpoint / "tokenizer.json"))
    return checkpoint


def flow_state(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Return weights of a flow model that can be told from those of the checkpoint's transformer."""
    return {name: value + 0.1 for name, value in load_state(checkpoint, DIT).items()}


def _random(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights with the zero-initialised layers filled too, so that every input has an effect."""
    generator = torch.Generator().manual_seed(1)
    state = module.state_dict()
    for name, value in state.items():
        if value.is_floating_point() and not value.any():
            state[name] = 0.02 * torch.randn(value.shape, generator=generator)
    return state


def _tokenizer() -> Tokenizer:
    """Letters, digits and signs, one token each."""
    signs = string.ascii_lowercase + string.digits + string.punctuation
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *signs, *(f"##{sign}" for sign in signs)]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    return tokenizer
