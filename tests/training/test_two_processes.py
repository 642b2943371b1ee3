"""Two processes on one batch are one process on the same batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training import two_processes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both stages, trained by two processes that torchrun started once."""
    folder = tmp_path_factory.mktemp("two")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        str(ROOT / "tests/training/two_processes.py"), str(folder), *two_processes.STAGES,
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("stage", two_processes.STAGES)
def test_two_processes_match_one(tmp_path: Path, together: Path, stage: str) -> None:
    alone = two_processes.train(stage, tmp_path, devices=1)
    weights = json.loads((together / stage / two_processes.WEIGHTS).read_text())
    assert weights == pytest.approx(alone, rel=1e-3, abs=1e-4)
