"""What this machine's fastest matrix products reach, by type: the ceiling that a network's speed is compared with."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from arctone.export.bundle import convert, quantise
from arctone.export.graphs import Signature
from arctone.inference.backends.litert_graph import Graph, load_graph

# A graph of several products in a row, so that handing over the first matrix and the last takes next to no part of the
# time.
SIDE, PRODUCTS = 2048, 4
_ENTRY = "products"


def ceilings(threads: int, rounds: int = 20) -> dict[str, float]:
    """Billions of operations a second of large matrix products, by type: torch's or a graph's, whichever is faster."""
    torch.set_num_threads(threads)
    found = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        a, b = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
        found[name] = _speed(lambda a=a, b=b: a @ b, rounds)
    c, d = (torch.randint(-127, 128, (SIDE, SIDE), dtype=torch.int8) for _ in range(2))
    found["int8"] = _speed(lambda: torch._int_mm(c, d), rounds)
    values = {"input": np.random.default_rng(0).standard_normal((SIDE, SIDE), np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        for name, graph in _graphs(Path(folder), threads).items():
            found[name] = max(found[name], _speed(lambda graph=graph: graph.run(_ENTRY, values), rounds, PRODUCTS))
            graph.close()
    return found


def _graphs(folder: Path, threads: int) -> dict[str, Graph]:
    layers = torch.nn.Sequential(*(torch.nn.Linear(SIDE, SIDE, bias=False) for _ in range(PRODUCTS))).eval()
    full, short = folder / "float32.tflite", folder / "int8.tflite"
    convert([Signature(_ENTRY, layers, {"input": torch.randn(SIDE, SIDE)})], full)
    quantise(full, short)
    return {"float32": load_graph(full, threads), "int8": load_graph(short, threads)}


def _speed(work: Callable[[], object], rounds: int, products: int = 1) -> float:
    """Of products of two matrices of SIDE x SIDE; the first time does not count."""
    work()
    return round(2 * products * SIDE**3 / min(_seconds(work) for _ in range(rounds)) / 1e9, 1)


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def operations(work: Callable[[], object]) -> dict[str, float]:
    """Billions of operations of some work in torch: of products with weights, and of all others (attention)."""
    # The fused attention of CPUs is not counted; written out, it is.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    counts = {str(kind): number / 1e9 for kind, number in counter.get_flop_counts()["Global"].items()}
    with_weights = sum(number for kind, number in counts.items() if kind in _WITH_WEIGHTS)
    return {"weights": with_weights, "others": sum(counts.values()) - with_weights}


_WITH_WEIGHTS = {"aten.mm", "aten.addmm", "aten.convolution"}
