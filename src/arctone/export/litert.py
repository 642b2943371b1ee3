"""Conversion of torch modules to LiteRT files, and their quantisation.

Several signatures of one module go into one file and share its weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arctone.checkpoints.tflite_tensors import constants
from arctone.errors import ModelError
from arctone.export.graphs import Signature
from arctone.export.quantisation import Rule, check_weights
from arctone.export.quiet import quietly
from arctone.version import install_hint

INT8 = (
    Rule("FULLY_CONNECTED"),
    Rule("EMBEDDING_LOOKUP"),
    # Sums of powers that span many orders of magnitude; together less than a megabyte.
    Rule("FULLY_CONNECTED", bits=32, names="Envelope(En|De)coder"),
)
"""Linear layers and word tables in 8 bit, one scale for each output channel or word; linear codes as they are."""


def convert(signatures: Sequence[Signature], path: Path) -> None:
    """Write a float32 graph with one entry per signature.

    Raises: ModelError if the converter is not installed.
    """
    with quietly():
        converter: Any = _litert_torch()
        for signature in signatures:
            converter = converter.signature(signature.name, signature.module, sample_kwargs=signature.inputs)
        converter.convert().export(str(path))


def quantise(float_path: Path, path: Path, rules: Sequence[Rule] = INT8) -> None:
    """Write the quantised version of a float32 graph.

    Raises: ModelError if a large weight has another type than the rules ask for, or the file is larger than its weights
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
    """Refuse a graph with weights of another type than asked for, or with unexplained bytes. Raises: ModelError."""
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
