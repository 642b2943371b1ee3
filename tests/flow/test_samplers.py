"""Samplers against flows whose end is known: orders of convergence, fixed points, distributions, signs, shapes."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from arctone.errors import UsageError
from arctone.flow.noise import item_noise
from arctone.flow.samplers import SAMPLERS, Sampler, Step, VelocityFn, dpmpp_2m, euler, heun, ping_pong
from arctone.flow.schedules import linear, log_snr

MEAN, SPREAD = 0.7, 0.3
START = np.random.default_rng(0).standard_normal(200)


# A data distribution whose flow is known in closed form: N(mean, spread**2) in every dimension.


def marginal_spread(t: float, spread: float) -> float:
    """Standard deviation of x_t."""
    return float(((1 - t) ** 2 * spread**2 + t**2) ** 0.5)


def gaussian_velocity(mean: float, spread: float) -> VelocityFn:
    """E[noise - x_0 | x_t = x], what a perfectly trained model would give."""

    def velocity(x: Any, t: float) -> Any:
        variance = marginal_spread(t, spread) ** 2
        return (x - (1 - t) * mean) * (t - (1 - t) * spread**2) / variance - mean

    return velocity


def gaussian_flow_map(mean: float, spread: float) -> VelocityFn:
    """Velocity whose estimate of x_0 is the end of the flow itself, what a perfect few-step model would give."""

    def velocity(x: Any, t: float) -> Any:
        end = mean + spread * (x - (1 - t) * mean) / marginal_spread(t, spread)
        return (x - end) / t

    return velocity


def gaussian_end(start: Any, mean: float, spread: float) -> Any:
    """Where the flow takes noise, started at t = 1."""
    return mean + spread * start


def no_noise(step: int) -> Any:
    raise AssertionError("a deterministic sampler asked for noise")


def run(sampler: Sampler, velocity_fn: Any, x: Any, grid: Any, noise_fn: Any = no_noise) -> list[Step]:
    return list(sampler(velocity_fn, x, grid, noise_fn))


def error(sampler: Sampler, num_steps: int) -> float:
    last = run(sampler, gaussian_velocity(MEAN, SPREAD), START, linear(num_steps))[-1]
    return float(np.abs(last.x - gaussian_end(START, MEAN, SPREAD)).max())


def order(sampler: Sampler) -> float:
    return math.log2(error(sampler, 128) / error(sampler, 256))


def test_euler_is_of_first_order() -> None:
    assert order(euler) == pytest.approx(1, abs=0.1)
    assert error(euler, 1024) < 2e-3


def test_heun_is_of_second_order() -> None:
    assert order(heun) == pytest.approx(2, abs=0.2)
    assert error(heun, 256) < 1e-4


@pytest.mark.parametrize("grid, gain", [(linear, 5), (log_snr, 1.15)])
@pytest.mark.parametrize("num_steps", [16, 32, 64])
@pytest.mark.parametrize("mean, spread", [(0.7, 0.3), (0.5, 0.8), (0.0, 1.0)])
def test_dpmpp_2m_beats_euler_at_the_same_cost(
    mean: float, spread: float, num_steps: int, grid: Any, gain: float
) -> None:
    errors = {}
    for sampler in (euler, dpmpp_2m):
        last = run(sampler, gaussian_velocity(mean, spread), START, grid(num_steps))[-1]
        errors[sampler.__name__] = np.abs(last.x - gaussian_end(START, mean, spread)).max()
    assert errors["dpmpp_2m"] < errors["euler"] / gain


@pytest.mark.parametrize("name", sorted(SAMPLERS))
@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_point_mass_is_reached_exactly(name: str, num_steps: int) -> None:
    """For data at one point the flow is a straight line, so every sampler ends there, in any number of steps."""
    steps = run(
        SAMPLERS[name],
        lambda x, t: (x - MEAN) / t,
        START,
        log_snr(num_steps),
        lambda step: np.random.default_rng(step).standard_normal(START.shape),
    )
    np.testing.assert_allclose(steps[-1].x, MEAN, rtol=0, atol=1e-12)
    for step in steps:
        np.testing.assert_allclose(step.x_0, MEAN, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_wrong_sign_would_be_noticed(name: str) -> None:
    right = gaussian_velocity(MEAN, SPREAD)
    noise = np.random.default_rng(1)
    steps = run(SAMPLERS[name], lambda x, t: -right(x, t), START, linear(50), lambda step: noise.standard_normal(200))
    assert np.abs(steps[-1].x - MEAN).mean() > 0.5


@pytest.mark.parametrize("num_steps", [1, 2, 4, 8])
def test_ping_pong_with_a_perfect_model_keeps_the_distribution(num_steps: int) -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal(200_000)
    steps = run(
        ping_pong,
        gaussian_flow_map(MEAN, SPREAD),
        x,
        log_snr(num_steps),
        lambda step: rng.standard_normal(x.shape),
    )
    assert steps[-1].x.mean() == pytest.approx(MEAN, abs=0.005)
    assert steps[-1].x.std() == pytest.approx(SPREAD, rel=0.01)
    quantiles = np.quantile((steps[-1].x - MEAN) / SPREAD, [0.0228, 0.1587, 0.8413, 0.9772])
    np.testing.assert_allclose(quantiles, [-2, -1, 1, 2], atol=0.03)


def test_ping_pong_noise_has_the_level_of_the_next_time() -> None:
    """A model that always answers 0 leaves exactly the fresh noise, scaled by t."""
    grid = log_snr(4)
    asked: list[int] = []

    def noise_fn(step: int) -> Any:
        asked.append(step)
        return np.full(3, 10.0**step)

    steps = run(ping_pong, lambda x, t: x / t, np.ones(3), grid, noise_fn)
    assert asked == [1, 2, 3]
    for step, t in zip(steps, grid[1:], strict=True):
        np.testing.assert_allclose(step.x, t * 10.0**step.index if t else 0.0, atol=1e-15)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
@pytest.mark.parametrize("start_level", [1.0, 0.4, 0.05])
def test_times_seen_by_the_model_and_steps_reported(name: str, start_level: float) -> None:
    grid = log_snr(6, start_level=start_level)
    seen: list[float] = []

    def velocity_fn(x: Any, t: float) -> Any:
        assert type(t) is float
        seen.append(t)
        return x

    steps = run(SAMPLERS[name], velocity_fn, np.ones(2), grid, lambda step: np.zeros(2))
    assert [step.index for step in steps] == [1, 2, 3, 4, 5, 6]
    assert {step.num_steps for step in steps} == {6}
    assert set(seen) == set(grid) - {0.0}
    assert len(seen) == (11 if name == "heun" else 6)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_start_below_full_noise_stays_near_the_source(name: str) -> None:
    """Audio to audio with the exact flow: the lower the level, the nearer the result is to where it came from."""
    source = np.full(2000, 1.3)
    noise = np.random.default_rng(3)
    distances = []
    for level in (0.05, 0.2, 0.5, 0.9):
        x = (1 - level) * source + level * np.random.default_rng(4).standard_normal(2000)
        steps = run(
            SAMPLERS[name],
            gaussian_flow_map(0.0, 1.0) if name == "ping_pong" else gaussian_velocity(0.0, 1.0),
            x,
            log_snr(24, start_level=level),
            lambda step: noise.standard_normal(2000),
        )
        distances.append(float(np.abs(steps[-1].x - source).mean()))
    assert all(near < far for near, far in itertools.pairwise(distances))


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_float32_stays_float32_and_the_start_is_not_changed(name: str) -> None:
    x = item_noise(7, 0, (4, 6))
    before = x.copy()
    steps = run(SAMPLERS[name], lambda x, t: 0.5 * x, x, log_snr(5), lambda step: item_noise(7, step, (4, 6)))
    assert all(step.x.dtype == np.float32 and step.x_0.dtype == np.float32 for step in steps)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_torch_gives_what_numpy_gives(name: str) -> None:
    torch = pytest.importorskip("torch")
    x = item_noise(1, 0, (4, 6)).astype(np.float64)
    velocity_fn = gaussian_velocity(MEAN, SPREAD)

    def noise_fn(step: int) -> Any:
        return item_noise(1, step, (4, 6)).astype(np.float64)

    ours = run(SAMPLERS[name], velocity_fn, x, log_snr(8), noise_fn)
    theirs = run(SAMPLERS[name], velocity_fn, torch.from_numpy(x), log_snr(8), lambda i: torch.from_numpy(noise_fn(i)))
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our.x, their.x.numpy(), rtol=0, atol=1e-14)
        np.testing.assert_allclose(our.x_0, their.x_0.numpy(), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "grid", [(), (1.0,), (1.0, 0.5), (1.0, 1.0, 0.0), (0.0, 1.0), (1.5, 0.0), (1.0, math.nan, 0.0)]
)
def test_grids_that_do_not_fall_to_zero_are_refused(grid: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="timesteps must fall strictly"):
        run(euler, lambda x, t: x, np.ones(1), grid)


def test_nothing_is_computed_ahead_of_the_caller() -> None:
    """A caller that stops listening has stopped the work: cancelling takes at most one step."""
    calls: list[float] = []

    def velocity_fn(x: Any, t: float) -> Any:
        calls.append(t)
        return x

    steps = iter(euler(velocity_fn, np.ones(1), linear(10), no_noise))
    next(steps)
    next(steps)
    assert len(calls) == 2
