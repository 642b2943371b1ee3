"""A model of the real kind, but of some thousand random parameters: the whole pipeline without trained weights."""

import json
import shutil
import string
from pathlib import Path

import msgspec
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from arctone.checkpoints.folder import AUTOENCODER, DIT, FLOW, load_autoencoder, load_state, save_part
from arctone.checkpoints.weights_map import write_weights_map
from arctone.export.bundle import Modules, build, graph_states, load_text, write_graph
from arctone.export.graphs import PARITY, dit_signatures
from arctone.files.atomic import MARKER
from arctone.files.strict_json import write_config
from arctone.model_folder.config import (
    CURVE_CONTROLS,
    NUMBER_CONTROLS,
    DiTConfig,
    ModelConfig,
    SamplingConfig,
    SpectralConfig,
    TextConfig,
)
from arctone.model_folder.folder import write_hashes
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

# The same model as a few-step one that receives every control and known latents.
CONTROLLED = msgspec.structs.replace(
    CONFIG,
    name="tiny-controls",
    dit=msgspec.structs.replace(
        CONFIG.dit,
        controls=(*NUMBER_CONTROLS, *CURVE_CONTROLS),
        inpaint_channels=1 + CONFIG.dit.latent_channels,
        text_adapter=1,
    ),
    sampling=SamplingConfig(sampler="euler", steps=4, cfg_scale=1.0, duration_seconds=1.0, post_trained=True),
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


def build_tiny_controls(folder: Path, plain: Path) -> Path:
    """Export the transformer of the tiny model with controls; its other graphs are those of `plain`.

    PLAIN_DIT is the same network without the controls' inputs and weights.
    """
    checkpoint, out = write_checkpoint(folder / "checkpoint"), folder / "tiny-controls"
    shutil.copytree(plain, out)
    report = json.loads((out / PARITY).read_text())
    dit = controlled_transformer()
    report["dit"] = write_graph(dit_signatures(dit, CONTROLLED, (64,)), out / "dit.tflite", True)
    bare = msgspec.structs.replace(CONTROLLED, dit=msgspec.structs.replace(CONTROLLED.dit, controls=()))
    twin = DiffusionTransformer(bare.dit).eval()
    twin.load_state_dict({name: value for name, value in dit.state_dict().items() if name in twin.state_dict()})
    write_graph(dit_signatures(twin, bare, (64,)), out / PLAIN_DIT, True)
    modules = Modules(load_text(checkpoint, CONFIG.text), dit, load_autoencoder(checkpoint))
    write_weights_map(out, graph_states(modules))
    write_config(out / "config.json", CONTROLLED)
    (out / PARITY).write_text(json.dumps(report, indent=2) + "\n")
    (out / MARKER).unlink()
    write_hashes(out)
    return out


PLAIN_DIT = "dit-without-controls.tflite"


def write_controlled_checkpoint(checkpoint: Path) -> Path:
    """Write the weights of the tiny model with controls."""
    write_checkpoint(checkpoint)
    save_part(checkpoint, DIT, controlled_transformer().state_dict(), CONTROLLED)
    return checkpoint


def controlled_transformer() -> DiffusionTransformer:
    """The transformer with controls, always the same; each of them has a clear effect."""
    torch.manual_seed(0)
    dit, source = DiffusionTransformer(CONTROLLED.dit), torch.Generator().manual_seed(2)
    state = _random(dit)
    for name in (one for one in state if one.startswith("controls.")):
        state[name] = 0.5 * torch.randn(state[name].shape, generator=source)
    known = state["enter.weight"][:, CONTROLLED.dit.latent_channels :]
    known.copy_(0.3 * torch.randn(known.shape, generator=source))
    dit.load_state_dict(state)
    return dit.eval()


def flow_state(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Return weights of a flow model that differ from those of the checkpoint's transformer."""
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
