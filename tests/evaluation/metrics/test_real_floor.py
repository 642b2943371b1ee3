"""The floor is what two halves of one source show."""

import numpy as np
import pytest

from arctone.evaluation.metrics import frechet, real_floor


def floor(real: np.ndarray, made: np.ndarray, splits: int = 5) -> real_floor.Floor:
    return real_floor.evaluate(
        lambda a, b: {"frechet": frechet.frechet_distance(real[a], real[b])},
        lambda a, b: {"frechet": frechet.frechet_distance(real[a], made[b])},
        len(real),
        len(made),
        splits,
    )["frechet"]


def test_a_set_of_the_same_source_lies_at_the_floor_and_another_above() -> None:
    rng = np.random.default_rng(0)
    real, good, bad = rng.standard_normal((3, 200, 16))
    found = floor(real, good, 20)
    assert found.size == 100
    assert found.generated == pytest.approx(found.real, rel=0.15)
    assert floor(real, bad + 1).generated > found.real + 14


def test_halves_do_not_share_a_clip() -> None:
    seen = []

    def record(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
        seen.append((set(first), set(second)))
        return {"distance": 0.0}

    real_floor.evaluate(record, lambda a, b: {"distance": 0.0}, 9, 3)
    assert all(len(a) == len(b) == 3 and not a & b for a, b in seen)


def test_too_few_clips_are_refused() -> None:
    for sizes in ((3, 5), (4, 1)):
        with pytest.raises(ValueError, match="4 and 2 are needed"):
            real_floor.validate(*sizes, 5)
    with pytest.raises(ValueError, match="num_splits"):
        real_floor.validate(4, 4, 0)
