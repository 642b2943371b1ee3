"""The edge runner under emulated Arm processors: how far its numbers are from x86, and which KleidiAI kernels ran.

    python -m benchmarks.arm CACHE MODEL... --results benchmarks/results

Downloads 70 MB into CACHE, outside the repository, at the first use (needs apt-get, dpkg-deb, nm, readelf, pip).
Emulation is hundreds of times slower than a real processor: it shows that the results are right, and says nothing of
speed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from arctone.export.graphs import snr_db
from arctone.model_folder.folder import find_model
from benchmarks import results
from benchmarks.arm.kernels import executed, mappings, translated
from benchmarks.arm.root import ArmRoot
from benchmarks.arm.table import PROCESSORS
from benchmarks.results import JSON, ROOT

_PROBE = ["-m", "benchmarks.arm.probe"]


def measured(root: ArmRoot, model: Path, processor: str, log_folder: Path) -> JSON:
    """One model on one processor, against this one. Raises: RuntimeError if the emulated process fails."""
    with tempfile.TemporaryDirectory() as folder:
        here, there, wav, log = (Path(folder) / name for name in ("x86.npz", "arm.npz", "arm.wav", "blocks.log"))
        subprocess.run([sys.executable, *_PROBE, str(model), str(here)], check=True, env=_environment(ROOT / "src"))
        command = [
            *root.command(processor, ("-d", "in_asm", "-D", str(log))),
            *_PROBE,
            str(model),
            str(there),
            str(wav),
        ]
        start = time.perf_counter()
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=ROOT, env=root.environment(ROOT / "src")
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(f"{processor}: {done.stderr.strip()[-500:]}")
        kernels = _kernels(done.stdout, log)
        (log_folder / f"{model.name}-{processor}.txt").write_text("\n".join(sorted(kernels)) + "\n")
        return {
            "model": model.name,
            "processor": processor,
            "seconds": round(seconds, 1),
            "wav_bytes": wav.stat().st_size,
            "snr_db": _differences(here, there),
            "kleidiai": sorted(name for name in kernels if name.startswith("kai_run_")),
            "xnnpack": sorted(name for name in kernels if _is_integer_kernel(name)),
        }


def _kernels(output: str, log: Path) -> set[str]:
    where = mappings(line for line in output.splitlines() if line.startswith("map "))
    blocks = translated(log)
    return {name for path in {piece.path for piece in where} for name in executed(Path(path), where, blocks)}


def _is_integer_kernel(name: str) -> bool:
    return name.startswith("xnn_qd8") and "ukernel" in name


def _differences(here: Path, there: Path) -> dict[str, float]:
    with np.load(here) as wanted, np.load(there) as got:
        return {name: round(snr_db(wanted[name], got[name]), 1) for name in wanted.files}


def _environment(source: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{source}:{ROOT}"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the root, measure and store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arm", description=__doc__)
    parser.add_argument("cache", type=Path, help="folder outside the repository for all that is downloaded")
    parser.add_argument("models", nargs="+", help="names or folders of models with graphs")
    parser.add_argument("--processors", nargs="+", default=list(PROCESSORS), help="by QEMU's names")
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    options = parser.parse_args(arguments)
    if options.cache.resolve().is_relative_to(ROOT):
        parser.error(f"CACHE must lie outside the repository, got {options.cache}")
    options.cache.mkdir(parents=True, exist_ok=True)
    root = ArmRoot(options.cache)
    root.build(ROOT / "requirements-edge.txt")
    rows = [
        measured(root, find_model(model), processor, options.cache)
        for model in options.models
        for processor in options.processors
    ]
    print(results.write("arm", {"processors": ", ".join(options.processors)}, {"rows": rows}, options.results))


if __name__ == "__main__":
    main()
