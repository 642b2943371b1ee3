"""Runs on both processors: each graph of a model folder on fixed inputs, then one sound through the edge runner.

    python -m benchmarks.arm.probe FOLDER OUT.npz [OUT.wav]

Prints where the runtime's library lies in memory, so that what was executed can be named. It needs what the edge runner
needs and nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

LIBRARY = "libpywrap_litert_common"
SOUND = ("--seconds", "1", "--steps", "2", "--seed", "7", "--threads", "1", "--force")


def outputs(path: Path) -> dict[str, Any]:
    """What the first signature of a graph gives for fixed inputs, by file and output."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    runner = interpreter.get_signature_runner(sorted(interpreter.get_signature_list(), key=len)[0])
    given = {name: _values(name, details) for name, details in runner.get_input_details().items()}
    return {f"{path.stem}.{name}": value for name, value in runner(**given).items()}


def _values(name: str, details: Any) -> Any:
    """Words for ids, ones for masks, a time in the middle, noise else."""
    shape, kind = tuple(details["shape"]), details["dtype"]
    if np.issubdtype(kind, np.integer):
        return (np.arange(int(np.prod(shape))) * 7 % 90).reshape(shape).astype(kind)
    if "mask" in name:
        return np.ones(shape, kind)
    if len(shape) == 1:
        return np.full(shape, 0.6, kind)
    return np.random.default_rng(len(name)).standard_normal(shape).astype(kind)


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    folder, out, *wav = arguments
    found: dict[str, Any] = {}
    for path in sorted(Path(folder).glob("*.tflite")):
        found |= outputs(path)
    np.savez(out, **found)
    code = 0
    if wav:
        from arctone.edge.__main__ import main as edge

        code = edge([folder, "rain", "-o", wav[0], *SOUND])
    for line in Path("/proc/self/maps").read_text().splitlines():
        if LIBRARY in line:
            print(f"map {line}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
