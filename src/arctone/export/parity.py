"""How closely a graph follows the torch module it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from arctone.errors import UsageError
from arctone.export.graphs import Signature
from arctone.inference.backends.litert_graph import load_graph

PARITY = "parity.json"
_OWN_FILES = ("config.json", "tokenizer.json", "weights_map.json", PARITY, "hashes.json")


def parity(path: Path, signatures: Sequence[Signature]) -> dict[str, float]:
    """Size of a graph, and how closely each signature follows its module, over all outputs: SNR in dB, and the largest
    error as a part of the largest value.
    """
    graph = load_graph(path, threads=1)
    report = {"megabytes": round(path.stat().st_size / 1e6, 3)}
    for signature in signatures:
        values = {name: value.numpy() for name, value in signature.inputs.items()}
        report |= agreement(signature.name, answers(signature), graph.run(signature.name, values))
    graph.close()
    return report


def answers(signature: Signature) -> dict[str, np.ndarray]:
    """What the torch module gives for its inputs, by name."""
    with torch.inference_mode():
        return {name: value.numpy() for name, value in signature.module(**signature.inputs).items()}


def agreement(name: str, wanted: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray]) -> dict[str, float]:
    """SNR and largest error of what a graph gave. Args: name: of the signature."""
    pairs = [(value, got[output]) for output, value in wanted.items()]
    return {
        f"snr_db_{name}": round(min(snr_db(want, have) for want, have in pairs), 2),
        f"max_error_{name}": float(f"{max(_max_error(want, have) for want, have in pairs):.4g}"),
    }


def snr_db(wanted: np.ndarray, got: np.ndarray) -> float:
    """Power of the wanted values over the power of the difference, in dB; at most 200."""
    noise = float(np.square(wanted - got, dtype=np.float64).sum())
    power = float(np.square(wanted, dtype=np.float64).sum())
    return min(200.0, 10 * float(np.log10(power / noise))) if noise > 0 and power > 0 else 200.0


def _max_error(wanted: np.ndarray, got: np.ndarray) -> float:
    """Largest difference, as a part of the largest wanted value."""
    largest = float(np.abs(wanted).max())
    return float(np.abs(wanted - got).max()) / largest if largest > 0 else 0.0


def check_papers(papers: Mapping[str, str]) -> None:
    """Refuse a paper with the name of one of the model's own files. Raises: UsageError."""
    for name in papers:
        if name in _OWN_FILES or name.endswith((".tflite", ".onnx", ".safetensors")):
            raise UsageError(f"a paper cannot be called {name}: the model's own file has that name.")
