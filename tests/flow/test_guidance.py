"""Guidance: the line through both velocities, and the spread brought back."""

import numpy as np
import pytest

from arctone.flow.guidance import guided, rescaled

RNG = np.random.default_rng(0)
COND, UNCOND = RNG.standard_normal((2, 4, 50)), RNG.standard_normal((2, 4, 50))


def test_known_scales() -> None:
    assert guided(COND, UNCOND, 1) is COND
    np.testing.assert_allclose(guided(COND, UNCOND, 0), UNCOND)
    np.testing.assert_allclose(guided(COND, UNCOND, 3) - COND, 2 * (COND - UNCOND))


def test_rescaled_matches_the_spread_of_each_item() -> None:
    pushed = guided(COND, UNCOND, 7)
    assert (pushed.std(axis=(1, 2)) > 3).all()
    full = rescaled(pushed, COND, 1)
    np.testing.assert_allclose(full.std(axis=(1, 2)), COND.std(axis=(1, 2)))
    half = rescaled(pushed, COND, 0.5)
    np.testing.assert_allclose(half, (pushed + full) / 2)
    assert rescaled(pushed, COND, 0) is pushed


def test_one_item_alone_equals_the_item_in_a_batch() -> None:
    pushed = guided(COND, UNCOND, 7)
    np.testing.assert_allclose(rescaled(pushed[1], COND[1], 0.7), rescaled(pushed, COND, 0.7)[1])


def test_padding_does_not_count() -> None:
    mask = np.arange(50) < 30
    pushed = guided(COND, UNCOND, 7)
    disturbed, cond = pushed.copy(), COND.copy()
    disturbed[..., 30:], cond[..., 30:] = 1e3, -1e3
    ours = rescaled(disturbed, cond, 1, mask[None, None])[..., :30]
    np.testing.assert_allclose(ours, rescaled(pushed[..., :30], COND[..., :30], 1))


def test_a_velocity_without_spread_stays_finite() -> None:
    np.testing.assert_array_equal(rescaled(np.zeros((1, 2, 3)), np.ones((1, 2, 3)), 1), np.zeros((1, 2, 3)))


def test_torch_gives_what_numpy_gives() -> None:
    torch = pytest.importorskip("torch")
    mask = np.arange(50)[None, None] < np.array([30, 50])[:, None, None]
    pushed = guided(COND, UNCOND, 7)
    ours = rescaled(pushed, COND, 0.7, mask)
    cond, uncond = torch.from_numpy(COND), torch.from_numpy(UNCOND)
    theirs = rescaled(guided(cond, uncond, 7), cond, 0.7, torch.from_numpy(mask))
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-12)
    single = torch.randn(4, 50)
    assert rescaled(single, single, 0.7).dtype == torch.float32
    assert rescaled(COND.astype(np.float32), COND.astype(np.float32), 0.7).dtype == np.float32
