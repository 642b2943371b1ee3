"""What the discriminator sees of the generator: its own estimates and the rollouts of its sampler."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from arctone.flow.samplers import Sampler, euler, ping_pong
from arctone.flow.schedules import add_noise, denoised, expand, linear, log_snr, shifted
from arctone.models.conditions import Conditions
from arctone.training.arc.teacher import rolled
from tests.training.arc_parts import (
    arc_config,
    arc_task,
    discriminator_batch,
    generator_batch,
)

# Further options.

EULER = {"teacher_weight": 1.0, "teacher_target": "velocity", "teacher_steps": 3, "teacher_shift": 1.5}


@torch.no_grad()
def test_self_output_feeds_the_generators_own_estimate() -> None:
    task = arc_task(arc_config(self_output=0.5))
    batch = generator_batch(task)
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
    own = torch.cat([generator_batch(task, step).start.own for step in range(200)])  # type: ignore[misc]
    assert own.float().mean().item() == pytest.approx(0.3, abs=0.05)


@torch.no_grad()
@pytest.mark.parametrize(
    ("settings", "sampler", "times"),
    [(EULER, euler, shifted(linear(3), 1.5)), ({}, ping_pong, log_snr(8))],
    ids=["euler", "ping-pong"],
)
def test_rollouts_are_what_the_sampler_makes_of_noise(settings: Any, sampler: Sampler, times: Any) -> None:
    task = arc_task(arc_config(rollout_steps=2, **settings))
    batch = generator_batch(task)
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
        batch = generator_batch(task)
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
    task.discriminator_losses(discriminator_batch(task))
    assert grads == [False] * 8


def test_sampler_law_trains_at_the_levels_of_sampling() -> None:
    task = arc_task(arc_config(time_law="sampler"))
    t = torch.cat([generator_batch(task, step).start.t for step in range(40)])
    wanted = torch.tensor([level for count in (1, 2, 4, 8) for level in log_snr(count)[:-1]])
    assert (t[:, None] - wanted).abs().min(1).values.max() < 1e-6
    assert (t == 1).float().mean() > 0.3
    usual = torch.cat([generator_batch(arc_task(), step).start.t for step in range(40)])
    assert usual.max() < 0.9976
