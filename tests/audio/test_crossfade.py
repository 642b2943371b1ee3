"""Cross-fades: constant power whatever the correlation, and nothing touched outside."""

from typing import Any

import numpy as np
import pytest

from arctone.audio.regions import correlation, crossfaded, fade_gains, level_difference_db, put

RNG = np.random.default_rng(0)
NOISE, OTHER = RNG.standard_normal((2, 2, 400_000)).astype(np.float32)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_the_power_stays_constant(share: float) -> None:
    alike = share * NOISE + np.sqrt(1 - share**2).astype(np.float32) * OTHER
    assert correlation(NOISE, alike) == pytest.approx(share, abs=0.01)
    power = np.square(crossfaded(NOISE, alike)).mean(axis=0).reshape(10, -1).mean(axis=1)
    assert power == pytest.approx(np.ones(10), abs=0.03)


def replaced(sound: np.ndarray, *arguments: Any, **fades: int) -> np.ndarray:
    out = sound.copy()
    put(out, *arguments, **fades)
    return out


def test_unrelated_sounds_get_sine_and_cosine() -> None:
    down, up = fade_gains(1001)
    assert down**2 + up**2 == pytest.approx(np.ones(1001), abs=1e-6)
    assert (down[500], up[500]) == pytest.approx((0.5**0.5, 0.5**0.5), abs=1e-6)
    assert np.all(np.diff(up) > 0)
    assert np.all(np.diff(down) < 0)


def test_opposite_and_silent_sounds_count_as_unrelated() -> None:
    assert correlation(NOISE, -NOISE) == 0
    assert correlation(NOISE, 0 * NOISE) == 0


def test_a_part_is_replaced_and_nothing_else() -> None:
    sound, new = NOISE[:, :1000], OTHER[:, :300]
    made = replaced(sound, new, 400, fade_in=50, fade_out=20)
    assert np.array_equal(made[:, :400], sound[:, :400])
    assert np.array_equal(made[:, 700:], sound[:, 700:])
    assert np.array_equal(made[:, 450:680], new[:, 50:280])
    # The fade begins with the old sound and ends with the new.
    assert made[:, 400] == pytest.approx(sound[:, 400], abs=0.15)
    assert made[:, 449] == pytest.approx(new[:, 49], abs=0.15)
    assert made[:, 699] == pytest.approx(sound[:, 699], abs=0.3)


def test_without_fades_the_new_part_is_bit_equal() -> None:
    assert np.array_equal(replaced(NOISE[:, :9], OTHER[:, :4], 5)[:, 5:], OTHER[:, :4])


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_fades_longer_than_the_part_share_it(length: int) -> None:
    made = replaced(NOISE[:, :20], OTHER[:, :length], 10, fade_in=50, fade_out=50)
    assert np.isfinite(made).all()
    assert np.array_equal(made[:, :10], NOISE[:, :10])
    assert np.array_equal(made[:, 10 + length :], NOISE[:, 10 + length : 20])


def test_levels_are_compared_in_decibels() -> None:
    assert level_difference_db(NOISE, 2 * NOISE) == pytest.approx(6.0206, abs=1e-3)
    assert level_difference_db(NOISE, NOISE) == pytest.approx(0, abs=1e-6)
    assert level_difference_db(0 * NOISE, NOISE) is None
    assert level_difference_db(NOISE, NOISE[:, :0]) is None
