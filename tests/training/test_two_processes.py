"""Two processes on one batch are one process on the same batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _run(kind: str, folder: Path, processes: int) -> dict[str, float]:
    folder.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}",
        str(ROOT / "tests/training/two_processes.py"), kind, str(folder), str(processes),
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    weights: dict[str, float] = json.loads((folder / "weights.json").read_text())
    return weights


@pytest.mark.parametrize("kind", ["flow", "arc"])
def test_two_processes_match_one(tmp_path: Path, kind: str) -> None:
    alone, together = _run(kind, tmp_path / "one", 1), _run(kind, tmp_path / "two", 2)
    assert together == pytest.approx(alone, rel=1e-3, abs=1e-4)
