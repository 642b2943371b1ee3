"""The teacher of ARC training: its paths, its bank and the targets that it gives."""

from __future__ import annotations

import collections
import dataclasses
import json
import re
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from arctone.errors import UsageError
from arctone.flow.schedules import linear, shifted
from arctone.models.conditions import Conditions
from arctone.training.arc.batches import bank_step, teacher_part
from arctone.training.arc.losses import latent_error
from arctone.training.arc.task import ArcTask
from arctone.training.arc.teacher import TeacherBatch
from arctone.training.loop import Trainer
from tests.training.arc_parts import DIT, EVERYTHING, LOOP, arc_config, arc_task, generator_batch


@torch.no_grad()
def test_teacher_examples_are_points_of_its_guided_path() -> None:
    task = arc_task(arc_config(EVERYTHING, teacher_steps=4, teacher_cfg_scale=3.0))
    assert task.teacher is not None
    batch = task.material.teacher(5, 0, 1)
    x_t, t, x_0 = task.teacher.example(batch)
    dit, conditions = task.teacher.module, batch.conditions
    x, path = batch.noise, {1.0: batch.noise}
    for time in (1.0, 0.75, 0.5, 0.25):
        level = torch.full((6,), time)
        with_text, without = dit(x, level, conditions), dit(x, level, conditions.unconditional())
        x = x - 0.25 * (without + 3.0 * (with_text - without))
        path[time - 0.25] = x
    assert torch.allclose(x_0, x, atol=1e-5)
    for item in range(6):
        assert torch.allclose(x_t[item], path[t[item].item()][item], atol=1e-5)
    assert len(set(t.tolist())) == 4


@torch.no_grad()
@pytest.mark.parametrize(("sampler", "num_times"), [("euler", 1 + 8 * 3), ("ping_pong", 4)])
def test_the_velocity_target_is_the_guided_velocity_at_the_samplers_times(sampler: str, num_times: int) -> None:
    """Along the flow the times move from path to path, so that none is left out; those of ping-pong are its own."""
    teacher = {"teacher_sampler": sampler, "teacher_target": "velocity", "teacher_steps": 4, "teacher_cfg_scale": 3.0}
    task = arc_task(arc_config(EVERYTHING, **teacher))
    assert task.teacher is not None
    dit, seen = task.teacher.module, set()
    for step in range(0, 24, 3):
        batch = task.material.teacher(step, 0, 1)
        x_t, t, x_0 = task.teacher.example(batch)
        with_text, without = dit(x_t, t, batch.conditions), dit(x_t, t, batch.conditions.unconditional())
        velocity = without + 3.0 * (with_text - without)
        assert torch.allclose((x_t - x_0) / t[:, None, None], velocity, atol=1e-4)
        errors = latent_error(task.generator(x_t, t, batch.conditions), velocity, batch.conditions.frame_mask)
        assert task.teacher_loss(batch).item() == pytest.approx((errors * batch.weight).sum().item(), rel=1e-3)
        seen |= {round(time, 4) for time in t.tolist()}
    assert len(seen) == num_times
    if sampler == "euler":
        assert max(np.diff(sorted(seen - {1.0}))) < 0.25 / 2


@torch.no_grad()
@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_substeps_teach_the_mean_velocity_that_takes_one_step_where_small_ones_lead(shift: float) -> None:
    config = arc_config(
        teacher_warmup=2, teacher_target="velocity", teacher_steps=3, teacher_substeps=4, teacher_shift=shift
    )
    task, grid = arc_task(config), shifted(linear(3), shift)
    assert task.teacher is not None
    batch = task.material.teacher(0, 0, 1)
    path, conditions = task.teacher._trajectory(batch), batch.conditions
    x, points = batch.noise, [batch.noise]
    for index in range(12):
        first, last = grid[index // 4 : index // 4 + 2]
        t = torch.full((len(x),), first + (last - first) * (index % 4) / 4)
        with_text, without = (task.teacher.module(x, t, c) for c in (conditions, conditions.unconditional()))
        x = x - (first - last) / 4 * (without + config.teacher.cfg_scale * (with_text - without))
        points.append(x)
    for index, (t, t_after) in enumerate(pairwise(grid)):
        assert torch.allclose(path.x_t[index], points[4 * index], atol=1e-4)
        mean = (path.x_t[index] - path.x_0[index]) / t
        assert torch.allclose(path.x_t[index] - (t - t_after) * mean, points[4 * index + 4], atol=1e-4)
    assert task.teacher.times(batch) == task.teacher.times(task.material.teacher(10, 0, 1)) == grid


@torch.no_grad()
def test_a_ping_pong_path_is_the_guided_estimate_noised_again_step_by_step() -> None:
    config = arc_config(teacher_warmup=2, teacher_sampler="ping_pong", teacher_steps=3, teacher_target="velocity")
    task = arc_task(config)
    assert task.teacher is not None
    batch = task.material.teacher(0, 0, 1)
    path, times = task.teacher._trajectory(batch), task.teacher.times(batch)
    noises = [batch.noise]
    for index in (0, 1):
        t = times[index + 1]
        noises.append((path.x_t[index + 1] - (1 - t) * path.x_0[index]) / t)
    alike = torch.corrcoef(torch.stack([noise.flatten() for noise in noises]))
    assert (alike - torch.eye(3)).abs().max().item() < 0.1
    assert all(noise.std().item() == pytest.approx(1, abs=0.1) for noise in noises)
    rows = slice(1, 4)
    part = task.teacher._trajectory(teacher_part(batch, rows, 1))
    assert torch.allclose(part.x_t, path.x_t[:, rows], atol=1e-5)


def test_teacher_path_is_kept_until_the_refresh_and_looked_at_from_new_places() -> None:
    task = arc_task(EVERYTHING)
    assert task.teacher is not None
    calls: list[int] = []
    task.teacher.module.register_forward_hook(lambda *_: calls.append(1))
    ends, times = [], []
    for step in range(3, 7):
        _, t, x_0 = task.teacher.example(task.material.teacher(step, 0, 1))
        ends.append(x_0)
        times.append(t)
    assert torch.equal(ends[0], ends[2])
    assert not torch.equal(ends[2], ends[3])
    assert not torch.equal(times[0], times[1])
    assert len(calls) == 2 * 2 * 3  # two paths of three steps, with and without text


@pytest.mark.parametrize(("size", "uses"), [(1, 4), (3, 1), (5, 3), (4, 8)])
def test_a_bank_uses_each_batch_the_same_number_of_times_and_fills_evenly(size: int, uses: int) -> None:
    steps = range(20 * size * uses)
    begun = [bank_step(step, size, uses) for step in steps]
    settled = [step for step in steps if begun[step] >= size * uses and begun[step] < steps[-1] - 2 * size * uses]
    counts = collections.Counter(begun[step] for step in settled)
    assert set(counts.values()) == {uses}
    for first in counts:
        assert [step for step in steps if begun[step] == first] == [first + turn * size for turn in range(uses)]
    drawn = [step for step in settled if begun[step] == step]
    assert max(collections.Counter(step // size for step in drawn).values()) == -(-size // uses)
    assert len(drawn) == pytest.approx((drawn[-1] - drawn[0]) / uses, abs=size)


def _task_of_counts(counts: tuple[int, ...], *, receives: bool = True) -> ArcTask:
    dit = msgspec.structs.replace(DIT, controls=("steps",) if receives else ())
    config = arc_config(
        EVERYTHING, teacher_target="velocity", teacher_steps=4, teacher_substeps=2, teacher_step_counts=counts
    )
    return arc_task(config, dit=dit)


@torch.no_grad()
def test_each_number_of_steps_is_a_target_of_its_own_in_as_many_calls() -> None:
    task = _task_of_counts((4, 2, 8))
    assert task.teacher is not None
    for begun, count in ((3, 4), (4, 2), (5, 8), (6, 4)):
        batch = task.material.teacher(begun, 0, 1)._replace(key=(begun, 0))
        calls: list[Conditions] = []
        hook = task.teacher.module.register_forward_hook(lambda _, args, __, into=calls: into.append(args[2]))
        path = task.teacher._trajectory(batch)
        hook.remove()
        assert len(path.x_t) == count
        assert len(calls) == 2 * 8  # with and without text
        assert all(one.steps is None for one in calls)
        end = task.teacher._trajectory(batch._replace(key=(3, 0))).x_0[-1]
        assert torch.allclose(path.x_0[-1], end, atol=1e-5)  # all lead where eight small steps lead


@torch.no_grad()
def test_the_generator_receives_the_number_of_steps_of_the_path_and_of_its_sampler() -> None:
    task, seen = _task_of_counts((4, 2)), list[float]()
    task.generator.register_forward_hook(lambda _, args, __: seen.append(float(args[2].steps[0])))
    for step in (3, 4):
        task.teacher_loss(task.material.teacher(step, 0, 1))
    begun = [bank_step(step, 1, EVERYTHING.teacher.refresh) for step in (3, 4)]
    assert seen == [(4.0, 2.0)[each % 2] for each in begun]
    seen.clear()
    task.sample(task.material.generator(8, 0, 1))
    assert seen == [4.0] * 4


def test_a_generator_that_receives_no_number_learns_one_number_alone() -> None:
    task = _task_of_counts((4, 2), receives=False)
    assert task.teacher is not None
    batches = [task.material.teacher(step, 0, 1) for step in range(12)]
    assert {task.teacher.num_steps(batch) for batch in batches} == {4}
    assert task.with_steps(batches[0].conditions, 4) is batches[0].conditions


@pytest.mark.parametrize(("settings", "complaint"), [
    ({"teacher_step_counts": (3,)}, "must divide the 8 calls"), ({"teacher_step_counts": (0,)}, "must divide"),
    ({"teacher_target": "end", "teacher_substeps": 1, "teacher_step_counts": (2,)}, "needs teacher.sampler 'euler'"),
])  # fmt: skip
def test_numbers_of_steps_that_cannot_be_are_refused(settings: dict[str, object], complaint: str) -> None:
    base = {"teacher_target": "velocity", "teacher_steps": 4, "teacher_substeps": 2}
    with pytest.raises(UsageError, match=complaint):
        arc_config(EVERYTHING, **{**base, **settings})


def test_a_bank_holds_its_size_and_a_resumed_run_finds_the_same_in_it() -> None:
    config = arc_config(EVERYTHING, teacher_bank=4, teacher_refresh=3)
    task, later = arc_task(config), arc_task(config)
    assert task.teacher is not None
    assert later.teacher is not None
    calls: list[int] = []
    task.teacher.module.register_forward_hook(lambda *_: calls.append(1))
    looked = {}
    for step in range(36):
        looked[step] = task.teacher.example(task.material.teacher(step, 0, 1))
        assert len(task.teacher._paths) <= 4
    begun = {bank_step(step, 4, 3) for step in range(36)}
    assert len(calls) == 2 * 3 * len(begun)  # paths of three steps, with and without text
    assert len(begun) == pytest.approx(36 / 3, abs=4)
    for step in (20, 21, 35):
        found = later.teacher.example(later.material.teacher(step, 0, 1))
        assert all(torch.equal(one, other) for one, other in zip(found, looked[step], strict=True))


def test_shares_say_how_often_each_step_of_the_teacher_is_looked_at() -> None:
    config = arc_config(teacher_warmup=2, teacher_steps=4, teacher_shares=(0.0, 1.0, 3.0, 0.0))
    teacher = arc_task(config).teacher
    assert teacher is not None
    places = teacher._places(torch.arange(1001) / 1000, 4)
    assert torch.bincount(places, minlength=4).tolist() == pytest.approx([0, 250, 751, 0], abs=1)
    alike = arc_task(arc_config(config, teacher_shares=())).teacher
    assert alike is not None
    assert torch.bincount(alike._places(torch.arange(1000) / 1000, 4)).tolist() == [250] * 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"teacher_substeps": 2, "teacher_sampler": "ping_pong"},
            "teacher.substeps: 2 needs teacher.sampler 'euler' and teacher.target 'velocity'",
        ),
        (
            {"teacher_shift": 2.0, "teacher_sampler": "ping_pong"},
            "teacher.shift: 2.0 needs teacher.sampler 'euler'",
        ),
        ({"teacher_shift": 0.0}, "teacher.shift: 0.0 is not possible, it must be above 0"),
        ({"teacher_bank": 0}, "teacher.bank: 0 is not possible, it must be at least 1"),
        ({"teacher_shares": (1.0, 2.0)}, "teacher.shares: (1.0, 2.0) must be 12 numbers of at least 0, one per step"),
        ({"teacher_shares": (-1.0, 2.0), "teacher_steps": 2}, "must be 2 numbers of at least 0, one per step"),
        ({"teacher_shares": (0.0, 0.0), "teacher_steps": 2}, "looks at no step, at least one must be above 0"),
    ],
)
def test_bank_and_shares_without_meaning_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        arc_config(teacher_warmup=2, **settings)  # type: ignore[arg-type]


def test_warm_up_brings_the_one_step_estimate_to_the_teachers_end(tmp_path: Path) -> None:
    config = arc_config(teacher_warmup=80, teacher_steps=4, teacher_refresh=10_000)
    task = arc_task(config)
    trainer = Trainer(task, dataclasses.replace(LOOP, total_steps=80, rate=3e-3), tmp_path)
    trainer.run()
    rows = [json.loads(line)["generator/total"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert sum(rows[-10:]) < 0.5 * sum(rows[:10])


def test_teacher_term_has_its_weight_and_leads_to_the_teacher() -> None:
    task = arc_task(arc_config(EVERYTHING, alignment_weight=0.0))
    losses = task.generator_losses(generator_batch(task))
    assert losses["total"].item() == pytest.approx((losses["adversarial"] + 0.5 * losses["teacher"]).item(), rel=1e-5)
    assert isinstance(task.batch(2, 0, 1), TeacherBatch)


def test_only_the_warm_up_has_scaled_rates() -> None:
    task = arc_task(arc_config(teacher_warmup=2, teacher_warmup_scale=10.0, alignment_steps=1))
    assert [task.rate_scale(step) for step in range(5)] == [1.0, 10.0, 10.0, 1.0, 1.0]
