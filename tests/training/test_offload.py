"""Moments and averages in a file: the same numbers in less memory."""

from __future__ import annotations

import dataclasses
import functools
import os
import resource
from pathlib import Path

import pytest
import torch

from arctone.errors import UsageError
from arctone.training import offload
from arctone.training.loop import Trainer, check_can_shard
from arctone.training.offload import FileMemory, OffloadedMoments
from arctone.training.plan import RolePlan, StagePlan
from tests.training.arc_parts import LOOP as ARC_LOOP
from tests.training.arc_parts import arc_config, arc_task
from tests.training.test_loop import LOOP, _task
from tests.training.test_scaled_losses import assert_equal, weights


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("is_near", [True, False])
def test_an_offloaded_run_is_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_near: bool) -> None:
    """Also where the moments are copied to the parameters for each step, as on a GPU; Muon and AdamW both take part."""
    monkeypatch.setattr(OffloadedMoments, "_is_near", lambda self, parameter: is_near)
    monkeypatch.setattr(offload, "pieces", functools.partial(offload.pieces, most=8000))
    plain = Trainer(_task(), LOOP, tmp_path / "plain")
    plain.run()
    loop = dataclasses.replace(LOOP, offload=True)
    first = Trainer(_task(), loop, tmp_path / "offloaded")
    for _ in range(5):
        first.one_step()
    first.save()
    resumed = Trainer(_task(), loop, tmp_path / "offloaded")
    assert resumed.step == 5
    resumed.run()
    assert_equal(weights(plain), weights(resumed))
    assert_equal({"ema": plain.ema.state}, {"ema": resumed.ema.state})


def test_a_run_goes_on_with_or_without_it(tmp_path: Path) -> None:
    """The checkpoint is the same; both networks of ARC."""
    task = arc_task(arc_config(micro_items=2))
    offloaded = dataclasses.replace(ARC_LOOP, offload=True)
    whole = Trainer(arc_task(arc_config(micro_items=2)), ARC_LOOP, tmp_path / "whole")
    whole.run()
    first = Trainer(task, offloaded, tmp_path / "parts")
    for _ in range(3):
        first.one_step()
    first.save()
    second = Trainer(arc_task(arc_config(micro_items=2)), ARC_LOOP, tmp_path / "parts")
    for _ in range(2):
        second.one_step()
    second.save()
    last = Trainer(arc_task(arc_config(micro_items=2)), offloaded, tmp_path / "parts")
    assert last.step == 5
    last.run()
    assert_equal(weights(whole), weights(last))


def test_a_file_at_rest_takes_no_memory_and_keeps_its_contents(tmp_path: Path) -> None:
    number = 16_000_000
    memory = FileMemory(tmp_path, [torch.empty(number), torch.empty(0), torch.empty(3, 5, dtype=torch.int64)])
    big, empty, small = memory.tensors
    assert (big.shape, empty.shape, small.shape, small.dtype) == ((number,), (0,), (3, 5), torch.int64)
    assert not big.any()
    assert not small.any()
    big.fill_(7.0)
    small.fill_(3)
    full = resident_bytes()
    memory.rest()
    assert full - resident_bytes() > 0.9 * 4 * number
    assert [*tmp_path.iterdir()] == []  # the file has no name
    assert bool((big == 7.0).all())
    assert bool((small == 3).all())


def test_pieces_keep_the_order_and_the_bound() -> None:
    sizes = [10, 20, 200, 5, 60, 30]
    found = offload.pieces([torch.empty(size) for size in sizes], most=400)
    assert [[value.numel() for value in piece] for piece in found] == [[10, 20], [200], [5, 60, 30]]
    assert offload.pieces([]) == []


def test_a_full_disk_is_refused_before_anything_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: int, start: int, length: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(offload.os, "posix_fallocate", fail)
    with pytest.raises(UsageError, match=r"offload: .* cannot take 0\.00 GB of moments and averages: No space left"):
        Trainer(_task(), dataclasses.replace(LOOP, offload=True), tmp_path)


def test_shards_are_not_offloaded_too() -> None:
    with pytest.raises(UsageError, match="set offload=false"):
        check_can_shard(_task(), dataclasses.replace(LOOP, strategy="fsdp", offload=True))


def test_the_plan_counts_the_moments_of_one_network() -> None:
    roles = (RolePlan("generator", 1, 100, 200, 100, 30, 1.0, 8), RolePlan("discriminator", 1, 80, 160, 80, 50, 1.0, 8))
    plain = StagePlan(roles, 0, 100, 4)
    assert plain.memory == 180 + 360 + 100 + 130
    # The generator's gradients and moments, all of which are in one piece; averages come when these are gone.
    assert dataclasses.replace(plain, is_offloaded=True).memory == 180 + 300
