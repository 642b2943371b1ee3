"""From a converted published checkpoint (T5, ContinuousDiT, Oobleck) to a folder of graphs that needs no torch.

A `spectral` decoder that was trained for its latents takes the place of the published one. One part is in memory at a
time, and each graph has one file: converting needs up to five times its weights.
"""

from __future__ import annotations

import gc
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from arctone.checkpoints.parts import DECODER, DIT, ENCODER, TEXT, openers
from arctone.errors import ModelError, UsageError
from arctone.export.bundle import convert, quantise
from arctone.export.graphs import PARITY, Signature, check_documents, decoder_signatures, parity
from arctone.export.quantisation import Rule, slim
from arctone.export.stable_audio_graphs import ContinuousGraph, DecoderHead, DecoderTail, EncoderTile, T5Graph
from arctone.files.atomic import folder_atomically, refuse_folder
from arctone.files.strict_json import write_config
from arctone.inference.backends.base import WINDOWS
from arctone.model_folder import folder as files
from arctone.model_folder.config import (
    ContinuousDiTConfig,
    ModelConfig,
    OobleckConfig,
    T5Config,
    T5GemmaConfig,
    of_type,
)
from arctone.model_folder.folder import CONFIG, check_hashes, read_model_config, write_hashes
from arctone.model_folder.tokenizer import FILE_NAME as TOKENIZER
from arctone.models.oobleck import OobleckDecoder
from arctone.models.spectral import SpectralDecoder

HEAD_WINDOWS = (64, 128, 256)
"""Latent frames that the coarse blocks of the decoder take at once."""
TAIL_WINDOW = 512
"""Frames that its fine blocks take at once, 64 of them a latent frame in the published model."""
ENCODER_WINDOW = 64
"""Latent frames that the encoder makes at once."""

_LINEAR, _WORDS, _CONVOLUTION = Rule("FULLY_CONNECTED"), Rule("EMBEDDING_LOOKUP"), Rule("CONV_2D")
# Its own input is the sound's last step, and it is a thousandth of the work.
_LAST = Rule("CONV_2D", 32, names="ConvolutionGraph_leave")
_INT8 = {
    files.TEXT: (_LINEAR, _WORDS),
    files.DIT: (_LINEAR,),
    files.DECODER: (_CONVOLUTION, _LINEAR),  # one type of decoder is all convolutions, the other all linear layers
    files.DECODER_TAIL: (_CONVOLUTION, _LAST),
    files.ENCODER: (_CONVOLUTION,),
}
_FEED_FORWARD = Rule("FULLY_CONNECTED", 4, 32, "SwiGLU_mlp")
# The layers of the blocks; a norm before a layer gives its name to it.
_BLOCKS = Rule("FULLY_CONNECTED", 4, 32, "SwiGLU_mlp|Linear_to_|LayerNorm_(self|cross|mlp)_norm")
_HALF = tuple(Rule(operation, 16) for operation in ("FULLY_CONNECTED", "EMBEDDING_LOOKUP", "CONV_2D"))
_DECODER_FILES = (files.DECODER, files.DECODER_TAIL)
RULES: Mapping[str, Mapping[str, Sequence[Rule]]] = {
    "float16": dict.fromkeys(_INT8, _HALF),
    "int8": _INT8,
    "int8-float16": {**_INT8, **dict.fromkeys((*_DECODER_FILES, files.ENCODER), _HALF)},
    "mixed": {**_INT8, files.DIT: (_LINEAR, _FEED_FORWARD)},
    "int4": {**_INT8, files.DIT: (_LINEAR, _BLOCKS)},
}
"""By precision and file: what becomes of the weights.

float16: all in 16 bits, for machines that compute in these; half the size of float32 elsewhere. int8-float16: text and
transformer in 8 bits, the autoencoder in 16. mixed: the transformer's feed-forward layers, two thirds of its weights,
in 4 bits, with a scale for each 32. int4: all layers of its blocks so.
"""

Report = dict[str, dict[str, float]]


def build_published(
    checkpoint: Path | str,
    out: Path | str,
    *,
    documents: Mapping[str, str] | None = None,
    precision: str = "int8",
    encoder: bool = True,
    force: bool = False,
) -> Report:
    """Export a published model that `arctone convert` has read.

    Args:
        checkpoint: Folder with config.json and the parts as safetensors.
        out: The new folder; it appears whole or not at all.
        documents: Further text files by name.
        precision: Float32 or one of RULES.
        encoder: False leaves out the encoder, which only editing needs.
        force: Replace a folder that is there.

    Returns:
        What parity.json records, see `bundle.build`.

    Raises:
        ModelError: if the parts are of other types or do not quantise.
        UsageError: if `out` exists, or for an unknown precision or a paper's name that cannot be.
    """
    checkpoint, out = Path(checkpoint), Path(out)
    if precision != "float32" and precision not in RULES:
        raise UsageError(f"precision must be one of float32, {', '.join(RULES)}, got {precision!r}.", field="precision")
    refuse_folder(out, "model", force=force)
    check_documents(documents or {})
    config = read_model_config(checkpoint)
    _refuse_other_parts(config)
    check_hashes(checkpoint)
    with folder_atomically(out, "model", force=force) as folder:
        report = _write_graphs(checkpoint, config, folder, precision, encoder)
        write_config(folder / CONFIG, config)
        copy_documents(checkpoint, folder, documents or {})
        (folder / PARITY).write_text(json.dumps(report, indent=2) + "\n")
        write_hashes(folder)
    return report


def _refuse_other_parts(config: ModelConfig) -> None:
    """Raises ModelError for Stable Audio 3 and others whose parts the native engine has no code for."""
    if isinstance(config.text, T5GemmaConfig):
        raise ModelError(
            f"{config.name} cannot be exported to LiteRT: the native engine runs text encoders of the type 't5' and "
            "autoencoders of the type 'oobleck', and Stable Audio 3 has 't5gemma' and 'same'; arctone export onnx "
            "writes its parts as ONNX graphs"
        )
    of_type(config.text, T5Config), of_type(config.dit, ContinuousDiTConfig), of_type(config.autoencoder, OobleckConfig)


def _write_graphs(checkpoint: Path, config: ModelConfig, folder: Path, precision: str, encoder: bool) -> Report:
    open_parts = openers(checkpoint, config)
    report: Report = {}
    wanted = {*files.list_needed_graphs(config), *([files.ENCODER] if encoder else [])}
    for file, (part, signatures_of) in _SIGNATURES.items():
        if file not in wanted:
            continue
        module = open_parts[part]().float()
        signatures = signatures_of(module, config)
        path = folder / file
        _write_graph(signatures, path, RULES[precision][file] if precision in RULES else ())
        report[path.stem] = parity(path, signatures)
        del module, signatures
        gc.collect()
    return report


def _write_graph(signatures: Sequence[Signature], path: Path, rules: Sequence[Rule]) -> None:
    full = path.with_suffix(".f32")
    convert(signatures, full if rules else path)
    if rules:
        quantise(full, path, rules)
        full.unlink()
    slim(path)


def published_text(module: Any, config: ModelConfig) -> list[Signature]:
    """The published text encoder's only length."""
    length = config.text.max_tokens
    ids = (torch.arange(length, dtype=torch.int32) * 7919 % of_type(config.text, T5Config).vocabulary)[None]
    mask = (torch.arange(length) < max(length // 4, 1)).float()[None]
    return [Signature(files.TEXT_SIGNATURE, T5Graph(module).eval(), {"ids": ids, "mask": mask})]


def transformer_signatures(module: Any, config: ModelConfig) -> list[Signature]:
    """The published transformer's only length."""
    dit, length, width = config.dit, config.text.max_tokens, config.text.width
    mask = (torch.arange(length) < max(length // 4, 1)).float()[None]
    inputs = {
        "x": _normal(1, 1, dit.latent_channels, dit.max_frames),
        "t": torch.full((1,), 0.6),
        "text_tokens": _normal(2, 1, length, width) * mask[:, :, None],
        "text_mask": mask,
        "seconds": torch.full((1,), dit.max_seconds),
    }
    if dit.inpaint_channels:
        inputs["inpaint"] = _normal(3, 1, dit.inpaint_channels, dit.max_frames)
    return [Signature(f"T{dit.max_frames}", ContinuousGraph(module).eval(), inputs)]


def _head(module: Any, config: ModelConfig) -> list[Signature]:
    """The decoder's coarse blocks; all of it if it is spectral."""
    longest = config.dit.max_frames
    if isinstance(module, SpectralDecoder):
        return decoder_signatures(module, config, (*(n for n in WINDOWS if n < longest), longest))
    graph = DecoderHead(module).eval()
    lengths = [n for n in HEAD_WINDOWS if n <= longest] or [longest]
    channels = config.autoencoder.latent_channels
    return [Signature(f"T{n}", graph, {"latents": _normal(n, 1, channels, n)}) for n in lengths]


def _tail(module: Any, config: ModelConfig) -> list[Signature]:
    assert isinstance(module, OobleckDecoder)
    fine = tuple(reversed(module.config.strides))[-files.NUM_FINE_BLOCKS :]
    per_latent = config.hop_length // math.prod(fine)
    window = min(TAIL_WINDOW, per_latent * config.dit.max_frames)
    with torch.inference_mode():
        num_latents = -(-window // per_latent)
        frames = DecoderHead(module)(_normal(1, 1, config.autoencoder.latent_channels, num_latents))["frames"]
    return [Signature(f"T{window}", DecoderTail(module).eval(), {"frames": frames[:, :window].clone()})]


def encoder_tile(module: Any, config: ModelConfig) -> list[Signature]:
    """A tile of the published encoder."""
    window = min(ENCODER_WINDOW, config.dit.max_frames)
    samples = 0.3 * _normal(1, 1, config.channels, window * config.hop_length)
    return [
        Signature(f"T{window}", EncoderTile(module).eval(), {"samples": samples, "frame_mask": torch.ones(1, window)})
    ]


_SIGNATURES: dict[str, tuple[str, Callable[[nn.Module, ModelConfig], list[Signature]]]] = {
    files.TEXT: (TEXT, published_text),
    files.DIT: (DIT, transformer_signatures),
    files.DECODER: (DECODER, _head),
    files.DECODER_TAIL: (DECODER, _tail),
    files.ENCODER: (ENCODER, encoder_tile),
}


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def copy_documents(checkpoint: Path, folder: Path, documents: Mapping[str, str]) -> None:
    """The tokenizer, the licence texts and cards of a folder, and further ones by name."""
    shutil.copyfile(checkpoint / TOKENIZER, folder / TOKENIZER)
    for path in sorted(checkpoint.iterdir()):
        if path.name.upper().startswith(("LICEN", "NOTICE")) or path.suffix == ".md":
            shutil.copyfile(path, folder / path.name)
    for name, text in documents.items():
        (folder / name).write_text(text)
