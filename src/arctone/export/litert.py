"""Conversion of torch modules to LiteRT files, and their quantisation to int8.

Several signatures of one module go into one file and share its weights. Quantisation is dynamic: weights int8 with one
scale per output channel, activations quantised as they come. A recipe that does not apply is passed over in silence by
the quantiser, so the result is inspected.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from arctone.checkpoints.graph_tensors import constants
from arctone.errors import ModelError
from arctone.export.graphs import Signature

MIN_QUANTISED = 2048
"""Weights with fewer elements may stay float: they are neither large nor slow."""

_OPERATIONS = ("FULLY_CONNECTED", "EMBEDDING_LOOKUP")


def convert(signatures: Sequence[Signature], path: Path) -> None:
    """Write a float32 graph with one entry per signature.

    Raises: ModelError if the converter is not installed.
    """
    with _silence():
        converter: Any = _litert_torch()
        for signature in signatures:
            converter = converter.signature(signature.name, signature.module, sample_kwargs=signature.inputs)
        converter.convert().export(str(path))


def quantise(float_path: Path, path: Path) -> None:
    """Write the int8 version of a float32 graph.

    Raises: ModelError if a large weight stayed float, or the file is larger than int8 weights explain.
    """
    with _silence():
        from ai_edge_quantizer import quantizer, recipe

        names = recipe.TFLOperationName
        work = quantizer.Quantizer(str(float_path))
        work.load_quantization_recipe(
            [entry for name in _OPERATIONS for entry in recipe.dynamic_wi8c_afp32(operation_name=names[name])]
        )
        work.quantize().export_model(str(path), overwrite=True)
    check_quantised(path)


def check_quantised(path: Path) -> None:
    """Refuse a graph with large float weights or with unexplained bytes. Raises: ModelError."""
    tensors = constants(path)
    for tensor in tensors:
        matrix = len(tensor.shape) == 2 and min(tensor.shape) > 8
        if (
            matrix
            and tensor.dtype == "float32"
            and tensor.num_elements >= MIN_QUANTISED
            and "rotary" not in tensor.name
        ):
            raise ModelError(f"{path.name}: the weight {tensor.name} {list(tensor.shape)} was not quantised.")
    weights = sum({tensor.offset: tensor.num_bytes for tensor in tensors}.values())
    if path.stat().st_size > 1.35 * weights + 3_000_000:
        raise ModelError(f"{path.name} has {path.stat().st_size} bytes, but its weights only need {weights}.")


def _litert_torch() -> Any:
    try:
        import litert_torch
    except ImportError:
        raise ModelError("export needs litert-torch, which is not installed: pip install 'arctone[export]'.") from None
    return litert_torch


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The converter prints every pass it makes; its exceptions still come through."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _no_stderr():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    from arctone.engines.graph import quiet

    with contextlib.redirect_stderr(io.StringIO()), quiet():
        yield
