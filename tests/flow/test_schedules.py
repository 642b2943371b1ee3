"""Grids of times: the published ones, and that they fall at every length and level."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arctone.errors import UsageError
from arctone.flow.schedules import cosine, exponential, linear, log_snr, sampler_times, shifted

LEVELS = st.floats(min_value=1e-9, max_value=1.0)
STEPS = st.integers(min_value=1, max_value=200)


def falls(grid: tuple[float, ...], num_steps: int, start_level: float) -> bool:
    strictly = all(t > t_next for t, t_next in itertools.pairwise(grid))
    return strictly and len(grid) == num_steps + 1 and grid[0] == start_level and grid[-1] == 0


@pytest.mark.parametrize(
    "num_steps, published",
    [
        (1, [1, 0]),
        (2, [1, 0.8808, 0]),
        (4, [1, 0.9820, 0.8808, 0.5, 0]),
        (8, [1, 0.9933, 0.9820, 0.9526, 0.8808, 0.7311, 0.5, 0.2689, 0]),
    ],
)
def test_log_snr_grids_of_the_paper(num_steps: int, published: list[float]) -> None:
    assert log_snr(num_steps) == pytest.approx(published, abs=5e-5)


def test_log_snr_below_full_noise_is_the_published_ramp_where_that_works() -> None:
    # Level 0.5 has log-SNR 0, so four steps go through 0.5, 1, 1.5.
    assert log_snr(4, start_level=0.5) == pytest.approx([0.5, 0.3775, 0.2689, 0.1824, 0], abs=5e-5)


def test_log_snr_low_levels_use_their_steps() -> None:
    """The published ramp stands still at 0.119 and rises below it; here every step makes the noise clearly less."""
    for level in (0.2, 0.12, 0.119, 0.1, 0.05, 0.001):
        grid = log_snr(8, start_level=level)
        assert all(t_next < 0.85 * t for t, t_next in itertools.pairwise(grid))


@given(STEPS, LEVELS)
def test_log_snr_falls_at_every_level(num_steps: int, start_level: float) -> None:
    assert falls(log_snr(num_steps, start_level=start_level), num_steps, start_level)


def published_log_snr(num_steps: int, level: float) -> list[float]:
    """The grid of the public program: an even line in log-SNR from the start level to 2, its ends forced."""
    first = math.log((1 - level) / level + 1e-6)
    line = [first + (2 - first) * index / num_steps for index in range(1, num_steps)]
    return [level, *(1 / (1 + math.exp(value)) for value in line), 0.0]


@pytest.mark.parametrize("level", [0.9995, 0.99, 0.5, 0.4, 0.2, 0.12])
@pytest.mark.parametrize("num_steps", [1, 8, 50])
def test_published_models_follow_the_published_grid_as_long_as_it_falls(num_steps: int, level: float) -> None:
    grid = sampler_times("ping_pong", num_steps, 1.0, "log_snr", start_level=level)
    assert grid == pytest.approx(published_log_snr(num_steps, level), abs=1e-6)


def test_below_that_the_times_still_fall() -> None:
    assert published_log_snr(4, 0.1)[1] > 0.1
    grid = sampler_times("ping_pong", 4, 1.0, "log_snr", start_level=0.1)
    assert falls(grid, 4, 0.1)


@given(STEPS, LEVELS)
def test_the_published_grid_falls_at_every_level(num_steps: int, start_level: float) -> None:
    assert falls(log_snr(num_steps, start_level=start_level, as_published=True), num_steps, start_level)


@pytest.mark.parametrize("level", [0.9, 0.5, 0.3])
def test_the_exponential_grid_ends_as_published_below_full_noise(level: float) -> None:
    sigmas = [t / (1 - t) for t in exponential(5, start_level=level)[:-1]]
    assert sigmas[0] == pytest.approx(level / (1 - level))
    assert sigmas[-1] == pytest.approx(0.3)


@given(STEPS, LEVELS)
def test_linear_falls_in_equal_steps(num_steps: int, start_level: float) -> None:
    grid = linear(num_steps, start_level=start_level)
    assert falls(grid, num_steps, start_level)
    widths = [t - t_next for t, t_next in itertools.pairwise(grid)]
    assert widths == pytest.approx([start_level / num_steps] * num_steps, rel=1e-9)


@given(STEPS, st.floats(min_value=0.05, max_value=20))
def test_shifted_falls_and_keeps_the_ends(num_steps: int, shift: float) -> None:
    assert falls(shifted(linear(num_steps), shift), num_steps, 1.0)


def test_shift_moves_towards_noise_and_back() -> None:
    assert shifted((1.0, 0.5, 0.0), 3) == (1.0, 0.75, 0.0)
    assert shifted((1.0, 0.5, 0.0), 1) == (1.0, 0.5, 0.0)
    assert shifted(shifted((1.0, 0.3, 0.0), 4), 1 / 4) == pytest.approx((1.0, 0.3, 0.0))


@pytest.mark.parametrize("schedule", [linear, log_snr])
def test_wrong_arguments(schedule: object) -> None:
    for num_steps in (0, -1, 2.5, True, "8"):
        with pytest.raises(UsageError, match="num_steps must be a whole number of at least 1, got"):
            schedule(num_steps)  # type: ignore[operator]
    for level in (0, -0.1, 1.01, float("nan")):
        with pytest.raises(UsageError, match="start_level must be above 0 and at most 1, got"):
            schedule(4, start_level=level)  # type: ignore[operator]


def test_wrong_ramp_and_shift() -> None:
    with pytest.raises(UsageError, match="start must be below end"):
        log_snr(4, 2.0, 2.0)
    for shift in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="shift must be a number above 0"):
            shifted((1.0, 0.0), shift)


@given(STEPS, LEVELS, st.sampled_from(["euler", "heun", "dpmpp_2m", "ping_pong"]), st.floats(0.2, 5.0))
def test_the_grid_of_a_sampler_falls_from_the_level_itself(
    num_steps: int, level: float, sampler: str, shift: float
) -> None:
    assert falls(sampler_times(sampler, num_steps, shift, start_level=level), num_steps, level)


def test_a_shift_bends_the_way_from_a_level_as_it_bends_the_whole_way() -> None:
    whole = sampler_times("euler", 10, 3.0)
    part = sampler_times("euler", 6, 3.0, start_level=whole[4])
    assert part == pytest.approx(whole[4:])


@given(STEPS, LEVELS)
def test_cosine_and_exponential_fall_at_every_level(num_steps: int, start_level: float) -> None:
    assert falls(cosine(num_steps, start_level=start_level), num_steps, start_level)
    grid = exponential(num_steps, start_level=start_level)
    first = min(start_level, 500 / 501)
    assert falls((start_level, *grid[1:]), num_steps, start_level)
    assert grid[0] == pytest.approx(first, rel=1e-9)


def test_cosine_is_even_in_the_angle_of_v_diffusion() -> None:
    """sigma / (alpha + sigma) at the even times 1, 3/4, 1/2, 1/4 of a quarter turn."""
    wanted = [math.sin(a) / (math.sin(a) + math.cos(a)) for a in (3 * math.pi / 8, math.pi / 4, math.pi / 8)]
    assert cosine(4) == pytest.approx([1, *wanted, 0], abs=1e-12)


def test_exponential_has_the_published_sigmas() -> None:
    """exp of an even line from log 500 to log 0.3, as k-diffusion's polyexponential schedule with rho 1."""
    sigmas = [t / (1 - t) for t in exponential(5)[:-1]]
    assert sigmas == pytest.approx([500, 78.25423, 12.24745, 1.916829, 0.3], rel=1e-5)


def test_a_models_schedule_holds_for_every_sampler() -> None:
    assert sampler_times("euler", 8, 1.0, "log_snr") == log_snr(8)
    assert sampler_times("ping_pong", 8, 1.0, "cosine") == cosine(8)
    assert sampler_times("dpmpp_3m_sde", 8, 2.0, "exponential") == exponential(8)
    assert sampler_times("euler", 8, 2.0) == shifted(linear(8), 2.0)
