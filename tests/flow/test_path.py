"""The four directions of the path undo each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from arctone.flow.schedules import add_noise, denoised, expand, noise_from, velocity

VALUES = hnp.arrays(np.float64, 5, elements=st.floats(-100, 100))
TIMES = st.floats(0, 1)


@given(VALUES, VALUES, TIMES)
def test_data_and_noise_are_found_again(x_0: np.ndarray, noise: np.ndarray, t: float) -> None:
    x_t, v = add_noise(x_0, noise, t), velocity(x_0, noise)
    np.testing.assert_allclose(denoised(x_t, v, t), x_0, atol=1e-12)
    np.testing.assert_allclose(noise_from(x_t, v, t), noise, atol=1e-12)


def test_the_ends_are_data_and_noise() -> None:
    x_0, noise = np.array([1.0, 2.0]), np.array([-3.0, 5.0])
    np.testing.assert_array_equal(add_noise(x_0, noise, 0.0), x_0)
    np.testing.assert_array_equal(add_noise(x_0, noise, 1.0), noise)
    np.testing.assert_array_equal(velocity(x_0, noise), [-4.0, 3.0])


def test_velocity_is_the_slope_of_the_path() -> None:
    x_0, noise = np.array([1.0, 2.0]), np.array([-3.0, 5.0])
    slope = (add_noise(x_0, noise, 0.6) - add_noise(x_0, noise, 0.4)) / 0.2
    np.testing.assert_allclose(slope, velocity(x_0, noise))


def test_times_of_a_batch() -> None:
    x = np.ones((3, 4, 5))
    t = expand(np.array([0.0, 0.5, 1.0]), x)
    assert t.shape == (3, 1, 1)
    np.testing.assert_array_equal(add_noise(x, 0 * x, t)[:, 0, 0], [1.0, 0.5, 0.0])


def test_torch_gives_what_numpy_gives() -> None:
    torch = pytest.importorskip("torch")
    x_0, noise, t = (np.random.default_rng(i).random((2, 3, 4)) for i in range(3))
    t = t[:, 0, 0]
    ours = denoised(add_noise(x_0, noise, expand(t, x_0)), 2 * noise, expand(t, x_0))
    a, b, c = map(torch.from_numpy, (x_0, noise, t))
    theirs = denoised(add_noise(a, b, expand(c, a)), 2 * b, expand(c, a))
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-15)
