"""Two processes on one batch are one process on the same batch, with whole networks (DDP) and with shards (FSDP)."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from arctone.errors import UsageError
from arctone.training.loop import Trainer, check_can_shard
from tests.training import two_processes
from tests.training.arc_parts import arc_config, arc_task
from tests.training.test_loop import LOOP, _task

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all stages, trained by two processes that torchrun started once."""
    folder = tmp_path_factory.mktemp("two")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        str(ROOT / "tests/training/two_processes.py"), str(folder), *two_processes.STAGES,
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("stage", two_processes.STAGES)
def test_two_processes_match_one(tmp_path: Path, together: Path, stage: str) -> None:
    alone = two_processes.train(stage, tmp_path, devices=1)
    weights = json.loads((together / stage / two_processes.WEIGHTS).read_text())
    # Muon makes orthogonal steps in bfloat16, which rounds them by up to 0.4 %.
    assert weights == pytest.approx(alone, rel=1e-2 if stage == "flow-sharded" else 1e-3, abs=1e-4)


def test_a_sharded_run_goes_on_in_one_process(tmp_path: Path, together: Path) -> None:
    """Checkpoints hold whole tensors, whatever trained them."""
    shutil.copytree(together / "published-sharded", tmp_path / "run")
    task, loop = two_processes.task_and_loop("published")
    trainer = Trainer(task, dataclasses.replace(loop, total_steps=6), tmp_path / "run")
    assert trainer.step == 4
    trainer.run()
    assert trainer.step == 6


def test_what_cannot_be_sharded_is_refused(tmp_path: Path) -> None:
    loop = dataclasses.replace(LOOP, strategy="fsdp")
    with pytest.raises(UsageError, match="strategy: 'fsdp' shards networks over several processes; start them with"):
        Trainer(_task(), loop, tmp_path)
    with pytest.raises(UsageError, match="strategy: 'zero' is unknown, choose from ddp, fsdp"):
        dataclasses.replace(LOOP, strategy="zero")
    task = arc_task(arc_config(self_output=0.5))
    with pytest.raises(UsageError, match="with self_output they call the generator unequally often"):
        check_can_shard(task, loop)
    with pytest.raises(UsageError, match="16-mixed"):
        check_can_shard(_task(), dataclasses.replace(loop, precision="16-mixed"))
