"""Distillation on toys with known answers: signs, limits, who learns when, and what the student ends as."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from arctone.errors import UsageError
from arctone.flow.samplers import ping_pong
from arctone.flow.schedules import log_snr, sampler_times
from arctone.models.discriminator import HEADS, FakeScore
from arctone.models.dit import DiT
from arctone.training.distill.consistency import ConsistencyConfig, ConsistencyTask, DmdConfig
from arctone.training.distill.dmd import DmdTask, matching_gradient, simulated_input
from arctone.training.loop import LoopConfig, Trainer
from arctone.training.optim import OptimiserConfig
from arctone.training.randomness import Draws, generator
from tests.training.distill_toys import (
    Corrected,
    GaussianFlow,
    OneStepStudent,
    PlainBatches,
    ScoreOf,
    made_law,
    no_conditions,
)
from tests.training.test_loop import DIT, RandomBatches

LOOP = LoopConfig(total_steps=9, rate=1e-3, warmup_steps=0, precision="32-true", log_every=1, checkpoint_every=100)
NO_DISCRIMINATOR = DmdConfig(steps=1, gan_weight=0.0)
STUDENT_STEP = NO_DISCRIMINATOR.fake_updates


def _minimise(losses: Callable[[int], dict[str, Tensor]], module: nn.Module, steps: int, rate: float) -> None:
    optimiser = torch.optim.Adam(module.parameters(), lr=rate, betas=(0.5, 0.9))
    for step in range(steps):
        optimiser.zero_grad()
        losses(step)["total"].backward()
        optimiser.step()


def _matched(teacher: nn.Module, student: OneStepStudent, fake: nn.Module, steps: int) -> None:
    task = DmdTask(student, FakeScore(fake), teacher, PlainBatches(16, (4, 16)), NO_DISCRIMINATOR, cfg_scale=1.0)
    _minimise(lambda step: task.student_losses(task.batch(step, 0, 1)), student, steps, 0.03)


@pytest.mark.parametrize(("mean", "scale"), [(-1.0, 1.2), (3.0, 0.2)])
def test_the_student_takes_the_teachers_mean_and_spread(mean: float, scale: float) -> None:
    student = OneStepStudent(mean, scale)
    _matched(GaussianFlow(1.5, 0.5), student, ScoreOf(student), 250)
    assert student.mean.item() == pytest.approx(1.5, abs=0.05)
    assert abs(student.scale.item()) == pytest.approx(0.5, abs=0.05)


def test_with_the_scores_exchanged_it_runs_away() -> None:
    student = OneStepStudent(1.0, 0.7)
    task = DmdTask(
        student,
        FakeScore(GaussianFlow(1.5, 0.5)),
        ScoreOf(student),
        PlainBatches(16, (4, 16)),
        NO_DISCRIMINATOR,
        cfg_scale=1.0,
    )
    _minimise(lambda step: task.student_losses(task.batch(step, 0, 1)), student, 40, 0.03)
    assert student.mean.item() < 0.7
    assert student.scale.item() > 1.0


def test_nothing_moves_where_the_distributions_are_equal() -> None:
    student = OneStepStudent(1.5, 0.5)
    task = DmdTask(
        student,
        FakeScore(ScoreOf(student)),
        GaussianFlow(1.5, 0.5),
        PlainBatches(16, (4, 16)),
        NO_DISCRIMINATOR,
        cfg_scale=1.0,
    )
    assert task.student_losses(task.batch(0, 0, 1))["matching"].item() < 1e-9


def test_the_fake_score_learns_what_the_student_makes() -> None:
    student, fake = OneStepStudent(1.0, 0.7), GaussianFlow(-1.0, 2.0)
    task = DmdTask(
        student, FakeScore(fake), GaussianFlow(0.0, 1.0), PlainBatches(16, (4, 16)), NO_DISCRIMINATOR, cfg_scale=1.0
    )
    _minimise(lambda step: task.fake_losses(task.batch(step, 0, 1)), fake, 300, 0.03)
    mean, std = fake.spread()
    assert mean.item() == pytest.approx(1.0, abs=0.05)
    assert std.item() == pytest.approx(0.7, abs=0.05)
    assert student.mean.grad is None


def test_the_gradient_is_normalised_by_the_real_frames_of_each_item() -> None:
    x_0 = torch.tensor([[[1.0, 2.0, 9.0]], [[1.0, 1.0, 1.0]]])
    real = torch.tensor([[[0.0, -1.0, 0.0]], [[0.5, 0.5, 0.5]]])
    fake = real + torch.tensor([[[4.0, 8.0, 0.0]], [[1.0, 2.0, 3.0]]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    # Mean distances: (1 + 3) / 2 = 2, and 0.5.
    expected = torch.tensor([[[2.0, 4.0, 0.0]], [[2.0, 4.0, 6.0]]])
    assert torch.allclose(matching_gradient(x_0, real, fake, mask), expected)


def test_the_loss_has_that_gradient() -> None:
    student = OneStepStudent(1.0, 0.7)
    teacher, fake = GaussianFlow(1.5, 0.5), GaussianFlow(0.2, 0.9)
    task = DmdTask(student, FakeScore(fake), teacher, PlainBatches(4, (3, 5)), NO_DISCRIMINATOR, cfg_scale=1.0)
    batch = task.batch(STUDENT_STEP, 0, 1)
    x_0 = task.output(batch)
    x_0.retain_grad()
    task._matching(x_0, batch).backward()
    s = batch.matched.s[:, None, None]
    x_t = (1 - s) * x_0.detach() + s * batch.matched.noise
    with torch.no_grad():
        real, fakes = (x_t - s * net(x_t, batch.matched.s, batch.conditions) for net in (teacher, fake))
    expected = (fakes - real) / (x_0.detach() - real).abs().mean((1, 2), keepdim=True) / x_0.numel()
    assert x_0.grad is not None
    assert torch.allclose(x_0.grad, expected, atol=1e-7)


def test_levels_lie_in_the_range_and_places_are_all_visited() -> None:
    config = DmdConfig(level_low=0.2, level_high=0.6)
    task = DmdTask(
        nn.Identity(), FakeScore(nn.Identity()), nn.Identity(), PlainBatches(16, (1, 1)), config, cfg_scale=1
    )
    drawn = [task.batch(step, 0, 1) for step in range(80)]
    levels = torch.cat([batch.matched.s for batch in drawn])
    assert 0.2 <= levels.min() < 0.22
    assert 0.58 < levels.max() <= 0.6
    assert {batch.place for batch in drawn} == set(range(8))
    assert all(len(batch.noises) == batch.place + 1 for batch in drawn)


@pytest.mark.parametrize("place", range(8))
def test_simulation_is_the_samplers_own_way(place: int) -> None:
    """Against the formula written out, and against the last state of a whole run of the sampler."""
    noises, student = torch.randn(8, 2, 3, 4, generator=generator(3)), GaussianFlow(0.3, 0.8)
    grid = [1.0, *(1 / (1 + torch.tensor(-6.0 + call).exp().item()) for call in range(1, 8)), 0.0]
    conditions, seen = no_conditions(2, 4), []

    def velocity(x: Tensor, t: float) -> Tensor:
        seen.append(t)
        return student(x, torch.full((2,), t), conditions)

    with torch.no_grad():
        found = simulated_input(velocity, noises, log_snr(8), place)
        x = noises[0]
        for call in range(place):
            x_0 = x - grid[call] * student(x, torch.full((2,), grid[call]), conditions)
            x = (1 - grid[call + 1]) * x_0 + grid[call + 1] * noises[call + 1]
        states = [noises[0], *(step.x for step in ping_pong(velocity, noises[0], log_snr(8), lambda i: noises[i % 8]))]
    assert seen[:place] == pytest.approx(grid[:place])
    assert torch.allclose(found, x, atol=1e-6)
    assert torch.equal(found, states[place])


def test_the_tasks_grid_is_generations() -> None:
    task = DmdTask(nn.Identity(), FakeScore(nn.Identity()), nn.Identity(), PlainBatches(2, (1, 1)), cfg_scale=1.0)
    assert task.times == sampler_times("ping_pong", 8)
    # Four steps are every other one of eight, so they were trained too.
    assert task.times[::2] == pytest.approx(sampler_times("ping_pong", 4))


def test_gradients_do_not_reach_back_through_the_simulation() -> None:
    calls: list[bool] = []

    class Watched(GaussianFlow):
        def forward(self, x: Tensor, t: Tensor, conditions: object) -> Tensor:
            calls.append(torch.is_grad_enabled())
            return super().forward(x, t, conditions)  # type: ignore[arg-type]

    task = DmdTask(Watched(0.0, 1.0), FakeScore(nn.Identity()), nn.Identity(), PlainBatches(2, (1, 1)), cfg_scale=1.0)
    batch = next(batch for batch in (task.batch(step, 0, 1) for step in range(50)) if batch.place == 3)
    task.output(batch)
    assert calls == [False, False, False, True]


def _filled(seed: int) -> DiT:
    torch.manual_seed(seed)
    module = DiT(DIT)
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return module


def _dmd(**settings: object) -> DmdTask:
    config = DmdConfig(steps=4, fake_updates=2, **settings)  # type: ignore[arg-type]
    torch.manual_seed(5)
    head = HEADS[config.head](DIT.width) if config.gan_weight > 0 else None
    return DmdTask(_filled(1), FakeScore(_filled(1), head, 1), _filled(1), RandomBatches(), config, cfg_scale=2.0)


def _consistency() -> ConsistencyTask:
    return ConsistencyTask(_filled(1), _filled(1), RandomBatches(), cfg_scale=2.0)


@pytest.mark.parametrize("loss", ["least_squares", "softplus"])
@pytest.mark.parametrize("head", ["conv", "convnext"])
def test_each_step_trains_its_role_alone(loss: str, head: str) -> None:
    task = _dmd(gan_weight=0.1, loss=loss, head=head)
    for step in range(6):
        role = task.role_at(step)
        assert role == ("generator" if step % 3 == 2 else "fake_score")
        for name, module in task.roles.items():
            module.requires_grad_(name == role).zero_grad(set_to_none=True)
        task.teacher.requires_grad_(False)
        task.losses(task.roles[role], task.batch(step, 0, 1), step)["total"].backward()
        for name, module in {**task.roles, "teacher": task.teacher}.items():
            missing = [key for key, value in module.named_parameters() if value.grad is None]
            assert (missing == []) == (name == role), (step, name, missing)


def test_the_discriminator_moves_the_student_through_its_features() -> None:
    """With equal scores, all that is left of the gradient is the discriminator's."""
    task = _dmd(gan_weight=0.1)
    batch = task.batch(2, 0, 1)
    task.fake_score.requires_grad_(False)
    x_0 = task.output(batch).detach().requires_grad_()
    task.output = lambda batch: x_0  # type: ignore[method-assign]
    before = task.student_losses(batch)["adversarial"]
    (slope,) = torch.autograd.grad(before, x_0)
    x_0 = (x_0 - 0.05 * slope / slope.square().mean().sqrt()).detach()
    assert task.student_losses(batch)["adversarial"] < before


def test_without_a_discriminator_there_is_no_head_and_no_such_loss() -> None:
    task = _dmd(gan_weight=0.0)
    assert task.batch(0, 0, 1).seen is None
    assert {*task.losses(task.fake_score, task.batch(0, 0, 1), 0)} == {"total", "flow"}
    assert {*task.losses(task.student, task.batch(2, 0, 1), 2)} == {"total", "matching"}


@torch.no_grad()
def test_padding_has_no_influence() -> None:
    def loud(value: Tensor) -> Tensor:
        return torch.where(mask, value, torch.tensor(50.0))

    task, step = _dmd(gan_weight=0.1), 5
    batch = task.batch(step, 0, 1)
    mask = batch.conditions.frame_mask[:, None]
    assert batch.seen is not None
    other = batch._replace(
        x_0=loud(batch.x_0),
        noises=loud(batch.noises),
        matched=batch.matched._replace(noise=loud(batch.matched.noise)),
        seen=batch.seen._replace(noise=loud(batch.seen.noise)),
    )
    for losses in (task.student_losses, task.fake_losses):
        left, right = losses(batch), losses(other)
        for name, value in left.items():
            assert torch.allclose(value, right[name], rtol=1e-4), name
    consistency = _consistency()
    plain = consistency.batch(0, 0, 1)
    padded = plain._replace(x_0=loud(plain.x_0), noise=loud(plain.noise))
    totals = [consistency.losses(consistency.student, part, 0)["total"] for part in (plain, padded)]
    assert torch.allclose(*totals, rtol=1e-4)


RESUMED: dict[str, Callable[[], DmdTask | ConsistencyTask]] = {
    "dmd": lambda: _dmd(gan_weight=0.1),
    "consistency": _consistency,
}


@pytest.fixture(scope="module", params=RESUMED)
def undisturbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Callable[[], DmdTask | ConsistencyTask], Trainer]:
    """What makes a task, and a run of it that was never interrupted."""
    make = RESUMED[request.param]
    whole = Trainer(make(), LOOP, tmp_path_factory.mktemp("whole"))
    whole.run()
    return make, whole


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_interrupted_and_resumed_is_the_same_run(
    undisturbed: tuple[Callable[[], DmdTask | ConsistencyTask], Trainer], tmp_path: Path, stop_at: int
) -> None:
    make, whole = undisturbed
    first = Trainer(make(), LOOP, tmp_path)
    for _ in range(stop_at):
        first.one_step()
    first.save()
    second = Trainer(make(), LOOP, tmp_path)
    second.run()
    for role, part in whole.parts.items():
        for name, value in part.module.state_dict().items():
            assert torch.equal(value, second.parts[role].module.state_dict()[name]), (role, name)
    assert all(torch.equal(value, second.ema.state[name]) for name, value in whole.ema.state.items())


def test_two_shares_are_the_whole_batch() -> None:
    task = _dmd(gan_weight=0.1)
    whole, halves = task.batch(4, 0, 1), [task.batch(4, rank, 2) for rank in (0, 1)]
    assert {half.place for half in halves} == {whole.place}
    assert torch.equal(whole.noises, torch.cat([half.noises for half in halves], 1))
    assert torch.equal(whole.matched.s, torch.cat([half.matched.s for half in halves]))
    total = task.fake_losses(whole)["flow"]
    assert torch.allclose(total, (task.fake_losses(halves[0])["flow"] + task.fake_losses(halves[1])["flow"]) / 2)


def test_earlier_noises_do_not_depend_on_how_many_follow() -> None:
    draws = Draws.of_batch(PlainBatches(3, (2, 4)).batch(1, 0, 1), 0, 1, 1)
    assert torch.equal(draws.noises(2, (2, 4), 5)[:2], draws.noises(2, (2, 4), 2))
    assert draws.noises(2, (2, 4), 3).flatten(1).corrcoef().fill_diagonal_(0).abs().max() < 0.9


def test_consistency_asks_nothing_of_a_straight_flow() -> None:
    """Data in one point: every trajectory is a line to it, and one step from anywhere ends there."""
    point, spread = GaussianFlow(0.7, 1e-6), GaussianFlow(0.7, 0.5)
    losses = []
    for flow in (point, spread):
        task = ConsistencyTask(flow, flow, PlainBatches(32, (2, 8)), cfg_scale=1.0)
        losses.append(task.losses(flow, task.batch(0, 0, 1), 0)["total"].item())
    assert losses[0] < 1e-6
    assert losses[1] > 1e-2


def test_consistency_compares_the_ends_of_one_guided_euler_step() -> None:
    """Against the formulas written out, with huge and tiny Huber constants for both of its limits."""
    task = _consistency()
    batch = task.batch(3, 0, 1)
    t, conditions = batch.t, batch.conditions
    s = (t - 1 / 24).clamp_min(0)
    x_t = (1 - t)[:, None, None] * batch.x_0 + t[:, None, None] * batch.noise
    with torch.no_grad():
        silent = task.teacher(x_t, t, conditions.unconditional())
        v = silent + 2.0 * (task.teacher(x_t, t, conditions) - silent)
        x_s = x_t + (s - t)[:, None, None] * v
        near = x_s - s[:, None, None] * task.student(x_s, s, conditions)
        far = x_t - t[:, None, None] * task.student(x_t, t, conditions)
    square = (((far - near) ** 2).mean(1) * conditions.frame_mask).sum(1) / conditions.frame_mask.sum(1)
    found = task.losses(task.student, batch, 3)["total"]
    assert found.item() == pytest.approx((square.sqrt() - 0.001).mean().item(), rel=1e-2)
    task.config = ConsistencyConfig(huber=10.0)
    assert task.losses(task.student, batch, 3)["total"].item() == pytest.approx((square / 20).mean().item(), rel=2e-2)


def test_consistency_visits_full_noise_the_samplers_levels_and_all_between() -> None:
    task = ConsistencyTask(nn.Identity(), nn.Identity(), PlainBatches(64, (1, 1)), cfg_scale=1.0)
    t = torch.cat([task.batch(step, 0, 1).t for step in range(20)])
    wanted = torch.tensor([level for count in (1, 2, 4, 8) for level in log_snr(count)[:-1]])
    on_grid = (t[:, None] - wanted).abs().amin(1) < 1e-6
    assert on_grid.float().mean().item() == pytest.approx(0.5, abs=0.01)
    others = t[~on_grid]
    assert others.histc(4, 0, 1).min() > 0.2 * len(others)


MEAN, STD = 1.5, 0.5
TOY_LOOP = dataclasses.replace(
    LOOP,
    total_steps=1500,
    rate=1e-3,
    warmup_steps=10,
    weight_decay=0.0,
    ema_decay=0.9,
    log_every=1000,
    checkpoint_every=1000,
    roles={"fake_score": OptimiserConfig(rate=1e-2, weight_decay=0.0, betas=(0.5, 0.9))},
)


def _toy_dmd(student: Corrected) -> DmdTask:
    config = DmdConfig(steps=4, fake_updates=2, gan_weight=0.0)
    teacher, fake = GaussianFlow(MEAN, STD), FakeScore(GaussianFlow(MEAN, STD))
    return DmdTask(student, fake, teacher, PlainBatches(16, (1, 64), MEAN, STD), config, cfg_scale=1.0)


def _toy_consistency(student: Corrected) -> ConsistencyTask:
    batches = PlainBatches(16, (1, 64), MEAN, STD)
    return ConsistencyTask(student, GaussianFlow(MEAN, STD), batches, ConsistencyConfig(intervals=32), cfg_scale=1.0)


def _distance(velocity: nn.Module, steps: int) -> float:
    """Wasserstein distance of the normal law that ping-pong makes in n steps from the data's."""
    mean, std = made_law(velocity, "ping_pong", steps)
    return math.hypot(mean - MEAN, std - STD)


@pytest.mark.parametrize("make", [_toy_dmd, _toy_consistency])
def test_the_student_is_closer_to_the_data_than_the_flow_at_as_many_steps(
    make: Callable[[Corrected], DmdTask | ConsistencyTask], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    student = Corrected(MEAN, STD)
    flow = {steps: _distance(student, steps) for steps in (1, 4)}
    # In one step the flow makes its mean alone.
    assert flow[1] == pytest.approx(STD, abs=0.01)
    trainer = Trainer(make(student), TOY_LOOP, tmp_path)
    trainer.run()
    student.load_state_dict(trainer.ema.state)
    assert _distance(student, 1) < 0.4 * flow[1]
    assert _distance(student, 4) < 0.85 * flow[4]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: DmdConfig(loss="relativistic"), "loss: 'relativistic' is unknown, choose from least_squares"),
        (lambda: DmdConfig(head="deep"), "head: 'deep' is unknown, choose from conv, convnext"),
        (lambda: DmdConfig(fake_updates=0), "fake_updates: 0 is not possible, it must be at least 1"),
        (lambda: DmdConfig(level_high=1.0), "level_high: 1.0 must be between 0 and 1"),
        (lambda: DmdConfig(level_low=0.7, level_high=0.3), "in this order"),
        (lambda: DmdConfig(tempo_dropout=1.5), "tempo_dropout: 1.5 is not possible, it must be 0 to 1"),
        (lambda: DmdConfig(cfg_scale=float("nan")), "cfg_scale: nan is not possible"),
        (
            lambda: DmdConfig(discriminator_level_std=0.0),
            "discriminator_level_std: 0.0 is not possible, it must be above 0",
        ),
        (lambda: ConsistencyConfig(intervals=0), "intervals: 0 is not possible, it must be at least 1"),
        (lambda: ConsistencyConfig(huber=0.0), "huber: 0.0 is not possible, it must be above 0"),
        (lambda: ConsistencyConfig(step_counts=()), "step_counts"),
    ],
)
def test_meaningless_settings_are_refused(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        make()
