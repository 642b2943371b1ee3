"""Noise depends on the seed, the step and the place, and on nothing else."""

import threading

import numpy as np
import pytest

from arctone.errors import UsageError
from arctone.flow.noise import MAX_SEED, item_noise
from arctone.inference.request_fields import draw_seed


def test_stored_values_hold_on_every_machine() -> None:
    """The seed contract: these numbers must never change, or no sound could be made again."""
    noise = item_noise(7, 0, (2, 3))
    np.testing.assert_allclose(noise, STORED, rtol=0, atol=1e-6)


STORED = np.array([[-0.293339, 1.5391918, 0.5348485], [1.7038306, 0.63675386, -0.6393058]], np.float32)


def test_shape_type_and_memory_layout() -> None:
    noise = item_noise(1, 2, (64, 256))
    assert noise.shape == (64, 256)
    assert noise.dtype == np.float32
    assert noise.flags.c_contiguous


def test_same_key_same_noise_whatever_came_before() -> None:
    first = item_noise(3, 1, (4, 5))
    item_noise(9, 9, (7, 7))
    np.random.seed(0)
    np.testing.assert_array_equal(item_noise(3, 1, (4, 5)), first)


def test_a_longer_clip_begins_with_the_noise_of_a_shorter_one() -> None:
    np.testing.assert_array_equal(item_noise(3, 1, (64, 256))[:, :100], item_noise(3, 1, (64, 100)))


def test_seeds_and_steps_are_independent() -> None:
    draws = [item_noise(seed, step, (8, 2000)).ravel() for seed in (0, 1, MAX_SEED) for step in (0, 1, 2)]
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlation).max() < 0.04


def test_it_is_standard_normal() -> None:
    noise = item_noise(11, 0, (64, 4096)).astype(np.float64)
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert (noise**4).mean() == pytest.approx(3, abs=0.1)
    assert np.abs(np.corrcoef(noise) - np.eye(64)).max() < 0.1


def test_threads_do_not_disturb_each_other() -> None:
    results: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(target=lambda seed=seed: results.update({seed: item_noise(seed, 0, (64, 256))}))
        for seed in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(8):
        np.testing.assert_array_equal(results[seed], item_noise(seed, 0, (64, 256)))


@pytest.mark.parametrize("seed, step", [(-1, 0), (2**63, 0), (0, -1)])
def test_out_of_range(seed: int, step: int) -> None:
    with pytest.raises(UsageError, match="must"):
        item_noise(seed, step, (1, 1))


def test_drawn_seeds_differ_and_fit() -> None:
    seeds = {draw_seed() for _ in range(100)}
    assert len(seeds) > 90
    assert all(0 <= seed <= MAX_SEED for seed in seeds)
