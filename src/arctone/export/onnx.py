"""A model's parts as ONNX graphs, for programs that are not arctone's: one file and one length each.

The graphs are those of `graphs` and `published`, at the longest length that the model makes; masks hold exactly, as
there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from arctone.checkpoints.folder import FLOW
from arctone.checkpoints.parts import DECODER, DIT, ENCODER, TEXT, openers
from arctone.errors import ModelError, UsageError, install_hint
from arctone.export import stable_audio_3_graphs
from arctone.export.graphs import (
    PARITY,
    Signature,
    agreement,
    answers,
    check_documents,
    decoder_signatures,
    dit_signatures,
    encoder_signatures,
    quietly,
    text_signatures,
)
from arctone.export.stable_audio import copy_documents, encoder_tile, published_text, transformer_signatures
from arctone.export.stable_audio_graphs import DecoderHead, DecoderTail
from arctone.files.atomic import folder_atomically, refuse_folder
from arctone.files.strict_json import write_config
from arctone.model_folder.config import ModelConfig, T5GemmaConfig
from arctone.model_folder.folder import CONFIG, check_hashes, find_model, read_model_config, write_hashes
from arctone.models.continuous_dit import ContinuousDiT
from arctone.models.dit import DiT as DiffusionTransformer
from arctone.models.oobleck import OobleckDecoder, OobleckEncoder
from arctone.models.spectral import SpectralDecoder, SpectralEncoder
from arctone.models.t5 import T5Encoder
from arctone.models.text import TextEncoder

PRECISIONS = ("float32", "int8")
OPSET = 20
# ONNX files end at 2 GB; the weights of larger ones lie next to them.
MOST_BYTES_INSIDE = 1_800_000_000
# What gets 8 bits: a scale for each output channel of the weights, activations rounded as they come. The runtime has
# one scale for all activations of a product, which the text encoder does not bear (13 dB): there it is the words alone.
INT8_OPERATIONS = {TEXT: ("Gather",), DIT: ("MatMul",), FLOW: ("MatMul",), DECODER: ("MatMul",), ENCODER: ("MatMul",)}
_PARTS = (TEXT, DIT, FLOW, DECODER, ENCODER)

Report = dict[str, dict[str, float]]


class WholeOobleckDecoder(nn.Module):
    """latents [1, C, T] -> samples [1, A, N]: both halves of the oobleck decoder as one."""

    def __init__(self, decoder: OobleckDecoder) -> None:
        super().__init__()
        self.head, self.tail = DecoderHead(decoder), DecoderTail(decoder)

    def forward(self, latents: Tensor) -> dict[str, Tensor]:
        samples: dict[str, Tensor] = self.tail(self.head(latents)["frames"])
        return samples


def build_onnx(
    model: Path | str,
    out: Path | str,
    *,
    precision: str = "float32",
    documents: Mapping[str, str] | None = None,
    force: bool = False,
) -> Report:
    """Write a model's parts as ONNX files, with config, tokenizer, documents and hashes.

    Args:
        model: Name or folder of a model that torch opens: bundled, trained, exported or converted.
        out: The new folder; it appears whole or not at all.
        precision: Float32 or int8, see INT8_OPERATIONS.
        documents: Further text files by name, such as card.md.
        force: Replace a folder that is there.

    Returns:
        What parity.json records: per part the megabytes, the signal-to-noise ratio of ONNX Runtime against torch in dB,
        and the largest error as a part of the largest value.

    Raises:
        ModelError: if packages are missing, or the model has parts that no graph is known for.
        UsageError: if `out` exists, for an unknown precision or a paper's name that cannot be.
    """
    out = Path(out)
    if precision not in PRECISIONS:
        raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.", field="precision")
    refuse_folder(out, "onnx model", force=force)
    check_documents(documents or {})
    _runtime()
    folder = find_model(model)
    check_hashes(folder)
    config = read_model_config(folder)
    with folder_atomically(out, "onnx model", force=force) as new:
        report = {}
        for part, signature in _signatures(folder, config):
            operations = INT8_OPERATIONS[part] if precision == "int8" else ()
            report[part] = _write(signature, new / f"{part}.onnx", operations)
        write_config(new / CONFIG, config)
        copy_documents(folder, new, documents or {})
        (new / PARITY).write_text(json.dumps(report, indent=2) + "\n")
        write_hashes(new)
    return report


def _signatures(folder: Path, config: ModelConfig) -> Iterator[tuple[str, Signature]]:
    """The part and its graph, one after another: one part is in memory at a time."""
    opened = openers(folder, config)
    for part in _PARTS:
        if part in opened and (part != FLOW or config.sampling.post_trained):
            yield part, _signature(opened[part]().float().eval(), config)


def _signature(module: Any, config: ModelConfig) -> Signature:
    """Build the graph of a part at the longest length.

    Args:
        module: Part of the model.
        config: Config of the model.

    Returns:
        Module with its inputs.

    Raises:
        ModelError: for a module that none is known for.
    """
    longest = (config.dit.max_frames,)
    if isinstance(config.text, T5GemmaConfig):
        return stable_audio_3_graphs.signature_of(module, config)
    if isinstance(module, ContinuousDiT):
        return transformer_signatures(module, config)[0]
    if isinstance(module, DiffusionTransformer):
        return dit_signatures(module, config, longest)[0]
    if isinstance(module, T5Encoder):
        return published_text(module, config)[0]
    if isinstance(module, TextEncoder):
        return text_signatures(module, config)[0]
    if isinstance(module, SpectralDecoder):
        return decoder_signatures(module, config, longest)[0]
    if isinstance(module, SpectralEncoder):
        return encoder_signatures(module, longest)[0]
    if isinstance(module, OobleckEncoder):
        return encoder_tile(module, config)[0]
    if isinstance(module, OobleckDecoder):
        shape = (1, config.autoencoder.latent_channels, *longest)
        latents = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        return Signature(f"T{longest[0]}", WholeOobleckDecoder(module).eval(), {"latents": latents})
    raise ModelError(f"{config.name} cannot be exported: no graph is known for a {type(module).__name__}.")


def _write(signature: Signature, path: Path, int8: Sequence[str]) -> dict[str, float]:
    """Write one graph.

    Args:
        signature: Module with its inputs.
        path: New file.
        int8: Operations that get 8 bits.

    Returns:
        Its size and how closely it follows its module.
    """
    num_bytes = sum(tensor.nbytes for tensor in signature.module.state_dict().values())
    is_large = num_bytes > MOST_BYTES_INSIDE
    full = path.with_suffix(".f32") if int8 else path
    wanted = answers(signature)
    with quietly():
        torch.onnx.export(
            signature.module,
            kwargs=signature.inputs,
            f=str(full),
            input_names=list(signature.inputs),
            output_names=list(wanted),
            dynamo=True,
            external_data=is_large,
            opset_version=OPSET,
            verbose=False,
        )
        if int8:
            _quantise(full, path, int8, is_large)
    found = agreement(signature.name, wanted, _run(path, signature))
    size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    return {"megabytes": round(size / 1e6, 3), **found}


def _quantise(full: Path, path: Path, operations: Sequence[str], is_large: bool) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        full,
        path,
        op_types_to_quantize=list(operations),
        per_channel=True,
        weight_type=QuantType.QInt8,
        use_external_data_format=is_large,
        # Products without weights, in attention, stay as they are.
        extra_options={"MatMulConstBOnly": True},
    )
    for file in path.parent.glob(f"{full.name}*"):
        file.unlink()


def _run(path: Path, signature: Signature) -> dict[str, np.ndarray]:
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = session.run(None, {name: value.numpy() for name, value in signature.inputs.items()})
    return dict(zip((output.name for output in session.get_outputs()), given, strict=True))


def _runtime() -> Any:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as problem:
        raise ModelError(f"export onnx needs {problem.name}, which is not installed: {install_hint('onnx')}.") from None
    return onnxruntime
