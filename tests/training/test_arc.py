"""Adversarial post-training: who learns what from whom, and what each option changes."""

from __future__ import annotations

import collections
import dataclasses
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from arctone.errors import UsageError
from arctone.flow.path import add_noise, denoised, expand
from arctone.flow.samplers import Sampler, euler, ping_pong
from arctone.flow.schedules import linear, log_snr, shifted
from arctone.models.conditions import Conditions
from arctone.models.discriminator import Scores
from arctone.training.arc.batches import ArcBatch, bank_step, teacher_part
from arctone.training.arc.config import ArcConfig
from arctone.training.arc.losses import ADVERSARIAL_LOSSES, item_means, latent_error
from arctone.training.arc.task import CRITIC, DISCRIMINATOR, GENERATOR, ArcTask
from arctone.training.arc.teacher import TeacherBatch, rolled
from arctone.training.loop import Trainer
from tests.training.arc_parts import CAPTIONS, EVERYTHING, LOOP, PromptedBatches, arc_config, arc_task


def _gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.grad.clone() for name, value in module.named_parameters() if value.grad is not None}


def _generator_batch(task: ArcTask, step: int = 1) -> ArcBatch:
    return task.material.generator(step, 0, 1)


def _discriminator_batch(task: ArcTask, step: int = 0) -> ArcBatch:
    return task.material.discriminator(step, 0, 1)


# The pairing.


class Seeing(nn.Module):
    """Discriminator that records what it is shown and whether gradients are on."""

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.ones(()))
        self.seen: list[tuple[Tensor, Tensor, Conditions, bool]] = []

    def forward(self, x: Tensor, s: Tensor, conditions: Conditions) -> Scores:
        self.seen.append((x, s, conditions, torch.is_grad_enabled()))
        return Scores(self.sharpness * x.sum(1), conditions.frame_mask)


def _seeing(config: ArcConfig | None = None) -> tuple[ArcTask, Seeing]:
    task = arc_task(config)
    task.discriminator = Seeing()
    return task, task.discriminator


@torch.no_grad()
def test_real_and_fake_share_prompt_level_and_noise() -> None:
    task, seeing = _seeing()
    batch = _generator_batch(task)
    task.generator_losses(batch)
    (real, s_real, prompt_real, _), (fake, s_fake, prompt_fake, _) = seeing.seen
    assert torch.equal(s_fake, s_real)
    assert torch.equal(prompt_fake.text_tokens, prompt_real.text_tokens)
    assert torch.equal(real, add_noise(batch.x_0, batch.seen.noise, expand(s_real, real)))
    x_t = add_noise(batch.x_0, batch.start.noise, expand(batch.start.t, real))
    estimate = denoised(x_t, task.generator(x_t, batch.start.t, batch.conditions), expand(batch.start.t, real))
    # What differs is the latents alone: taken out of both, the same noise is left.
    assert torch.allclose(fake - real, (1 - expand(s_real, real)) * (estimate - batch.x_0), atol=1e-5)


@torch.no_grad()
def test_losses_are_the_formulas_on_these_logits() -> None:
    task, seeing = _seeing()
    batch = _discriminator_batch(task)
    losses = task.discriminator_losses(batch)
    x, s, _, _ = seeing.seen[0]
    items = len(batch.x_0)
    real, fake, wrong = x.sum(1).split(items)
    mask = batch.conditions.frame_mask
    assert torch.equal(s, batch.seen.s.repeat(3))
    adversarial = item_means(torch.nn.functional.softplus(-(real - fake)), mask).mean()
    assert losses["adversarial"].item() == pytest.approx(adversarial.item(), rel=1e-5)
    # The real part is shown twice, so the same latents have the same logits here, and the loss of a tie is log 2.
    assert torch.equal(real, wrong)
    assert losses["contrastive"].item() == pytest.approx(torch.tensor(2.0).log().item(), rel=1e-5)
    assert losses["total"].item() == pytest.approx((losses["adversarial"] + losses["contrastive"]).item(), rel=1e-6)
    assert len(seeing.seen) == 1


def test_wrong_prompts_are_taken_whole_and_the_batch_is_left_alone() -> None:
    task = arc_task(arc_config(tempo_dropout=0.0))
    before = task.batches.batch(0, 0, 1)
    batch = _discriminator_batch(task)
    assert batch.wrong is not None
    wrong, right = batch.wrong.conditions, batch.conditions
    places = [next(j for j in range(6) if torch.equal(right.text_tokens[j], wrong.text_tokens[i])) for i in range(6)]
    for i, j in enumerate(places):
        assert CAPTIONS[i].casefold() != CAPTIONS[j].casefold()
        for name in ("text_tokens", "text_mask", "text_pooled", "bpm"):
            assert torch.equal(getattr(wrong, name)[i], getattr(right, name)[j]), name
    assert torch.equal(wrong.seconds, right.seconds)
    assert torch.equal(wrong.frame_mask, right.frame_mask)
    for name, value in task.batches.batch(0, 0, 1).items():
        assert torch.equal(value, before[name])
        if name in right._fields:
            assert torch.equal(getattr(right, name), value)


def test_items_without_another_caption_are_left_out_of_the_mean() -> None:
    class Alike(PromptedBatches):
        def captions(self, step: int) -> list[str]:
            return ["rain", "rain", "rain", "rain", "rain", "dog"]

    task = arc_task(batches=Alike())
    batch = _discriminator_batch(task)
    assert batch.wrong is not None
    assert sorted(batch.wrong.weights.tolist()) == [0, 0, 0, 0, 0.5, 0.5]
    lonely = arc_task(batches=PromptedBatches(items=1))
    losses = lonely.discriminator_losses(_discriminator_batch(lonely))
    assert losses["contrastive"] == 0
    assert torch.isfinite(losses["total"])


def test_a_left_out_tempo_is_left_out_of_the_wrong_prompt_too() -> None:
    task = arc_task(arc_config(tempo_dropout=0.5))
    for step in range(8):
        batch = _discriminator_batch(task, step)
        assert batch.wrong is not None
        assert torch.equal(batch.conditions.bpm == 0, batch.wrong.conditions.bpm == 0)


# Who gets gradients.


def test_gradients_reach_only_the_role_of_the_step(tmp_path: Path) -> None:
    task = arc_task(arc_config())
    trainer = Trainer(task, LOOP, tmp_path)
    for step, role in enumerate((DISCRIMINATOR, GENERATOR)):
        for name, part in trainer.parts.items():
            part.require_gradients(name == role)
        task.losses(task.roles[role], task.batch(step, 0, 1), step)["total"].backward()
        for name, module in task.roles.items():
            got = {key for key, value in module.named_parameters() if value.grad is not None}
            assert got == ({key for key, _ in module.named_parameters()} if name == role else set()), (role, name)
            module.zero_grad()


def test_real_branch_of_the_generator_step_runs_without_gradient() -> None:
    task, seeing = _seeing()
    task.generator_losses(_generator_batch(task))
    assert [on for *_, on in seeing.seen] == [False, True]
    seeing.seen.clear()
    softplus, seeing = _seeing(arc_config(loss="softplus"))
    softplus.generator_losses(_generator_batch(softplus))
    assert len(seeing.seen) == 1


def test_generator_runs_without_gradient_in_the_discriminator_step() -> None:
    task = arc_task()
    grads: list[bool] = []
    task.generator.register_forward_hook(lambda *_: grads.append(torch.is_grad_enabled()))
    task.discriminator_losses(_discriminator_batch(task))
    assert grads == [False]


@pytest.mark.parametrize("role", [GENERATOR, DISCRIMINATOR])
def test_a_step_lowers_its_own_loss(role: str) -> None:
    """A flipped sign in a loss, or in where it is applied, would raise it; the opponent's rises instead."""
    task = arc_task(arc_config(contrastive_weight=0.0))
    mine, other = task.roles[role], task.roles[GENERATOR if role == DISCRIMINATOR else DISCRIMINATOR]
    other.requires_grad_(False)
    batch = _discriminator_batch(task)

    def margin() -> float:
        return task.discriminator_losses(batch)["margin"].item()

    before = margin()
    losses = task.generator_losses if role == GENERATOR else task.discriminator_losses
    optimiser = torch.optim.SGD(mine.parameters(), lr=0.02)
    for _ in range(5):
        optimiser.zero_grad()
        losses(batch)["total"].backward()
        optimiser.step()
    assert (margin() > before + 1e-3) if role == DISCRIMINATOR else (margin() < before - 1e-3)


# Padding and length.


@torch.no_grad()
@pytest.mark.parametrize("head", ["conv", "convnext"])
@pytest.mark.parametrize("frames", [21, 43])
def test_padding_changes_no_loss(head: str, frames: int) -> None:
    """The same clips in a longer window, with anything behind their ends, have the same losses; 43 frames are 2 s."""
    task = arc_task(arc_config(head=head), PromptedBatches(frames=frames))
    pairs = ((_generator_batch(task), task.generator_losses), (_discriminator_batch(task), task.discriminator_losses))
    for batch, losses in pairs:
        wider = _padded(batch, 48 - frames)
        expected, got = losses(batch), losses(wider)
        for name in expected:
            assert got[name].item() == pytest.approx(expected[name].item(), abs=2e-5), name


def _padded(value: Any, missing: int) -> Any:
    """A batch whose frames were filled up with sevens that no mask marks as real."""
    if isinstance(value, Tensor):
        if value.ndim == 3 and value.shape[1] == 4:
            return nn.functional.pad(value, (0, missing), value=7.0)
        return value
    if isinstance(value, Conditions):
        return value._replace(frame_mask=nn.functional.pad(value.frame_mask, (0, missing)))
    if isinstance(value, tuple):
        return type(value)(*(_padded(part, missing) for part in value))  # type: ignore[call-arg]
    return value


# The schedule of the roles.


def test_order_of_the_phases() -> None:
    task = arc_task(arc_config(EVERYTHING, discriminator_updates=2))
    roles = [task.role_at(step) for step in range(10)]
    assert roles == [CRITIC] * 2 + [GENERATOR] * 2 + [DISCRIMINATOR, DISCRIMINATOR, GENERATOR] * 2
    assert [task.warms_up(step) for step in range(6)] == [False, False, True, True, False, False]


# Whole runs.


@pytest.mark.parametrize(
    "config", [arc_config(), EVERYTHING, arc_config(rollout_steps=3)], ids=["default", "everything", "samples"]
)
@pytest.mark.parametrize("stop_at", [1, 4, 7])
def test_interrupted_and_resumed_is_the_same_run(tmp_path: Path, config: ArcConfig, stop_at: int) -> None:
    loop = dataclasses.replace(LOOP, total_steps=11)
    whole = Trainer(arc_task(config), loop, tmp_path / "whole")
    whole.run()
    first = Trainer(arc_task(config), loop, tmp_path / "parts")
    for _ in range(stop_at):
        first.one_step()
    first.save()
    second = Trainer(arc_task(config), loop, tmp_path / "parts")
    second.run()
    for role, part in whole.parts.items():
        for name, value in part.module.state_dict().items():
            assert torch.equal(value, second.parts[role].module.state_dict()[name]), (role, name)
    assert all(torch.equal(value, second.ema.state[name]) for name, value in whole.ema.state.items())
    rows = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert all(all(value == value for value in row.values()) for row in rows)


@pytest.mark.parametrize("size", [1, 4])
def test_a_batch_in_parts_is_the_whole_batch(tmp_path: Path, size: int) -> None:
    """Through every phase: critic, warm-up, discriminator and generator, with all their losses."""
    loop = dataclasses.replace(LOOP, total_steps=8)
    whole = Trainer(arc_task(EVERYTHING), loop, tmp_path / "whole")
    parts = Trainer(arc_task(arc_config(EVERYTHING, micro_items=size)), loop, tmp_path / "parts")
    for _ in range(8):
        expected, got = whole.one_step(), parts.one_step()
        assert got == pytest.approx(expected, rel=2e-3, abs=1e-4)
    assert len(parts.task.batch(7, 0, 1)) == -(-6 // size)


def test_average_covers_every_trained_parameter_of_the_generator(tmp_path: Path) -> None:
    task = arc_task()
    trainer = Trainer(task, dataclasses.replace(LOOP, ema_decay=0.9), tmp_path)
    start = {name: value.clone() for name, value in task.generator.state_dict().items()}
    trainer.run()
    trained = {name for name, _ in task.generator.named_parameters()}
    moved = {name for name, value in trainer.ema.state.items() if not torch.equal(value, start[name])}
    assert moved == trained
    assert {"seconds.0.weight", "tempo.0.weight", "null"} <= trained


def test_sixteen_bit_steps_reach_every_parameter() -> None:
    """Autocast remembers weights that were cast without gradients: the generator's own input must not cost its own."""
    task = arc_task(arc_config(self_output=1.0))
    task.discriminator.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        losses = task.generator_losses(_generator_batch(task))
    losses["total"].backward()
    gradients = _gradients(task.generator)
    assert gradients.keys() == {name for name, _ in task.generator.named_parameters()}
    assert all(value.any() for name, value in gradients.items())


# What the discriminator learns.


class TwoPrompts(PromptedBatches):
    """Latents whose mean is told by the caption: +1 for one, -1 for the other. `swapped` plants the wrong captions."""

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Tensor]:
        batch = super().batch(step, rank, world_size)
        sign = torch.tensor([1.0, -1.0]).repeat(3)[: self.items]
        return batch | {"latents": 0.3 * (batch["latents"] - 1) + sign[:, None, None]}

    def captions(self, step: int) -> list[str]:
        return ["high", "low"] * 3

    def prompts(self, step: int, items: Any) -> dict[str, Tensor]:
        return super().prompts(step, [item % 2 for item in items])


@torch.no_grad()
def _preference(task: ArcTask) -> float:
    """By how much captions that fit are preferred, on fresh batches."""
    margins = []
    for step in range(1000, 1008):
        batch = _discriminator_batch(task, step)
        logits, mask = task._views(batch)
        margins.append(item_means(logits["real"] - logits["wrong"], mask).mean().item())
    return sum(margins) / len(margins)


@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_a_planted_caption_mismatch_is_learned_only_with_the_contrastive_loss(weight: float) -> None:
    """Fakes from almost no noise equal their reals, so that nothing but the captions is left to learn from."""
    nearly_real = arc_config(contrastive_weight=weight, level_mean=-2.0, log_snr_low=20.0, log_snr_high=21.0)
    task = arc_task(nearly_real, TwoPrompts())
    optimiser = torch.optim.SGD(task.discriminator.parameters(), lr=0.05, momentum=0.9)
    for step in range(25):
        optimiser.zero_grad()
        task.discriminator_losses(_discriminator_batch(task, step))["total"].backward()
        optimiser.step()
    task.config = dataclasses.replace(task.config, contrastive_weight=1.0)
    task.material.config = task.config
    preference = _preference(task)
    assert (preference > 3.0) if weight else (abs(preference) < 0.2)


# Further options.


@torch.no_grad()
def test_self_output_feeds_the_generators_own_estimate() -> None:
    task = arc_task(arc_config(self_output=0.5))
    batch = _generator_batch(task)
    own = batch.start.own
    assert own is not None
    assert own.any()
    assert not own.all()
    x_t = task.input(batch)
    real = add_noise(batch.x_0, batch.start.noise, expand(batch.start.t, x_t))
    assert torch.equal(x_t[~own], real[~own])
    assert batch.start.earlier_t is not None
    assert batch.start.earlier_noise is not None
    earlier_t = batch.start.earlier_t
    earlier = add_noise(batch.x_0, batch.start.earlier_noise, expand(earlier_t, x_t))
    estimate = denoised(earlier, task.generator(earlier, earlier_t, batch.conditions), expand(earlier_t, x_t))
    again = add_noise(estimate, batch.start.noise, expand(batch.start.t, x_t))
    assert torch.allclose(x_t[own], again[own], atol=1e-5)
    assert (earlier_t > batch.start.t).all()


def test_self_output_share_is_the_asked_one() -> None:
    task = arc_task(arc_config(self_output=0.3))
    own = torch.cat([_generator_batch(task, step).start.own for step in range(200)])  # type: ignore[misc]
    assert own.float().mean().item() == pytest.approx(0.3, abs=0.05)


EULER = {"teacher_weight": 1.0, "teacher_target": "velocity", "teacher_steps": 3, "teacher_shift": 1.5}


@torch.no_grad()
@pytest.mark.parametrize(
    ("settings", "sampler", "times"),
    [(EULER, euler, shifted(linear(3), 1.5)), ({}, ping_pong, log_snr(8))],
    ids=["euler", "ping-pong"],
)
def test_rollouts_are_what_the_sampler_makes_of_noise(settings: Any, sampler: Sampler, times: Any) -> None:
    task = arc_task(arc_config(rollout_steps=2, **settings))
    batch = _generator_batch(task)
    noise, num_steps = batch.start.noise, len(times) - 1

    def velocity_fn(x: Tensor, t: float) -> Tensor:
        return task.generator(x, torch.full((len(x),), t), batch.conditions)

    expected = list(sampler(velocity_fn, noise, times, lambda index: rolled(noise, index, num_steps)))[-1].x
    assert torch.allclose(task.generated(batch), expected, atol=1e-6)
    # It is made of noise and prompt alone; one-step estimates are made of the real latents.
    other = batch._replace(x_0=torch.zeros_like(batch.x_0))
    assert torch.equal(task.generated(other), task.generated(batch))
    estimated = arc_task(arc_config(**settings))
    assert not torch.allclose(estimated.generated(other), estimated.generated(batch), atol=1e-3)


def test_gradients_of_a_rollout_reach_its_last_calls_and_no_earlier_one() -> None:
    """Scaling one call's velocity at a time, by finite differences: the gradient sums over the last calls alone."""

    class Scaled(nn.Module):
        """The generator, each call's velocity times a factor of its own."""

        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner, self.calls = inner, 0
            self.factors = nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
            self.calls += 1
            return self.factors[self.calls - 1] * self.inner(x, t, conditions)

    for calls, reached in ((1, [2]), (2, [1, 2]), (3, [0, 1, 2])):
        task = arc_task(arc_config(rollout_steps=calls, **EULER))  # type: ignore[arg-type]
        task.generator = scaled = Scaled(task.generator.requires_grad_(False))
        batch = _generator_batch(task)
        task.generated(batch).square().sum().backward()
        assert scaled.calls == 3
        assert scaled.factors.grad is not None
        assert scaled.factors.grad.nonzero().flatten().tolist() == reached
        step = 1e-3
        slopes = []
        for index in reached:
            ends = []
            for sign in (1, -1):
                scaled.calls = 0
                with torch.no_grad():
                    scaled.factors[index] += sign * step
                    ends.append(task.generated(batch).double().square().sum())
                    scaled.factors[index] -= sign * step
            slopes.append((ends[0] - ends[1]).item() / (2 * step))
        assert scaled.factors.grad[reached].tolist() == pytest.approx(slopes, rel=0.02, abs=0.02)


def test_rollouts_take_no_gradients_in_the_discriminators_step() -> None:
    task = arc_task(arc_config(rollout_steps=8))
    grads: list[bool] = []
    task.generator.register_forward_hook(lambda *_: grads.append(torch.is_grad_enabled()))
    task.discriminator_losses(_discriminator_batch(task))
    assert grads == [False] * 8


def test_sampler_law_trains_at_the_levels_of_sampling() -> None:
    task = arc_task(arc_config(time_law="sampler"))
    t = torch.cat([_generator_batch(task, step).start.t for step in range(40)])
    wanted = torch.tensor([level for count in (1, 2, 4, 8) for level in log_snr(count)[:-1]])
    assert (t[:, None] - wanted).abs().min(1).values.max() < 1e-6
    assert (t == 1).float().mean() > 0.3
    usual = torch.cat([_generator_batch(arc_task(), step).start.t for step in range(40)])
    assert usual.max() < 0.9976


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
def test_a_ping_pong_path_is_the_guided_estimate_noised_anew_step_by_step() -> None:
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
    places = teacher._places(torch.arange(1001) / 1000)
    assert torch.bincount(places, minlength=4).tolist() == pytest.approx([0, 250, 751, 0], abs=1)
    alike = arc_task(arc_config(config, teacher_shares=())).teacher
    assert alike is not None
    assert torch.bincount(alike._places(torch.arange(1000) / 1000)).tolist() == [250] * 4


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
    losses = task.generator_losses(_generator_batch(task))
    assert losses["total"].item() == pytest.approx((losses["adversarial"] + 0.5 * losses["teacher"]).item(), rel=1e-5)
    assert isinstance(task.batch(2, 0, 1), TeacherBatch)


@torch.no_grad()
@pytest.mark.parametrize("name", ["r1", "r2"])
def test_penalties_are_the_slope_of_the_discriminator(name: str) -> None:
    """On a linear discriminator that sums the four channels the slope is known: half of 4, on every position."""
    task, _ = _seeing(arc_config(**{f"{name}_weight": 1.0}, contrastive_weight=0.0))
    penalties = [task.discriminator_losses(_discriminator_batch(task, step))[name].item() for step in range(40)]
    assert sum(penalties) / len(penalties) == pytest.approx(2.0, rel=0.1)


def test_alignment_critic_learns_the_captions_and_then_leads_the_generator(tmp_path: Path) -> None:
    config = arc_config(alignment_steps=60, alignment_weight=5.0, level_mean=-2.0)
    task = arc_task(config, TwoPrompts())
    loop = dataclasses.replace(LOOP, total_steps=60, roles={CRITIC: dataclasses.replace(LOOP, rate=3e-3)})
    Trainer(task, loop, tmp_path).run()
    rows = [json.loads(line)["critic/total"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows[-1] < 0.2 * rows[0]
    assert task.critic is not None
    for name, module in task.roles.items():
        module.requires_grad_(name == GENERATOR)
    batch = _generator_batch(task)
    optimiser = torch.optim.SGD(task.generator.parameters(), lr=0.05)
    before = task.generator_losses(batch)["alignment"].item()
    for _ in range(10):
        optimiser.zero_grad()
        task.generator_losses(batch)["total"].backward()
        optimiser.step()
    assert task.generator_losses(batch)["alignment"].item() < 0.7 * before


@pytest.mark.parametrize("loss", ADVERSARIAL_LOSSES)
def test_every_loss_runs(tmp_path: Path, loss: str) -> None:
    trainer = Trainer(arc_task(arc_config(loss=loss, contrastive_weight=0.0)), LOOP, tmp_path)
    trainer.run()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert not any("contrastive" in name for row in rows for name in row)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"loss": "wasserstein"}, "loss: 'wasserstein' is unknown, choose from relativistic, least_squares"),
        ({"self_output": 1.5}, r"self_output: 1.5 is not possible, it must be 0 to 1"),
        ({"r1_weight": -1.0}, "penalties.r1_weight: -1.0 is not possible, it must be at least 0"),
        ({"discriminator_updates": 0}, "discriminator.updates: 0 is not possible, it must be at least 1"),
        ({"penalty_std": 0.0}, r"penalties.std: 0.0 is not possible, it must be above 0"),
        ({"step_counts": (0, 2)}, "step_counts"),
        ({"log_snr_low": 3.0}, "log_snr_low: 3.0 must be below log_snr_high, 2.0"),
        ({"alignment_weight": 1.0}, "alignment.weight: needs alignment.steps above 0"),
        ({"rollout_steps": -1}, "rollout_steps: -1 is not possible, it must be at least 0"),
        ({"rollout_steps": 9}, "rollout_steps: 9 is not possible, the sampler makes 8"),
        (
            {"rollout_steps": 8, "self_output": 0.5},
            "self_output: 0.5 says what estimates are made of, so rollout_steps",
        ),
    ],
)
def test_settings_without_meaning_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        arc_config(**changes)


def test_only_the_warm_up_has_scaled_rates() -> None:
    task = arc_task(arc_config(teacher_warmup=2, teacher_warmup_scale=10.0, alignment_steps=1))
    assert [task.rate_scale(step) for step in range(5)] == [1.0, 10.0, 10.0, 1.0, 1.0]
