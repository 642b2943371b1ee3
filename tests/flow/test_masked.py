"""Sampling next to what is known, on a flow whose right answer is known: sounds of which all frames are equal."""

import numpy as np
import pytest

from arctone.flow.inpainting import bridged, holding, noised_again, noisy_start, resampled
from arctone.flow.noise import item_noise
from arctone.flow.samplers import SAMPLERS
from arctone.flow.schedules import sampler_times

SHAPE = (4, 40)
KNOWN = np.arange(40) < 25
BASE = np.where(KNOWN, 2.0, 0.0).astype(np.float32) * np.ones(SHAPE, np.float32)


def equal_frames(x: np.ndarray, t: float) -> np.ndarray:
    """The exact velocity where x_0 is one standard normal number, repeated in every frame of a channel."""
    weight = (1 - t) / ((1 - t) ** 2 * x.shape[1] + t**2)
    x_0 = weight * x.sum(axis=1, keepdims=True)
    return ((x - x_0) / t).astype(np.float32)


def sampled(name: str, seed: int, rounds: int) -> np.ndarray:
    velocity = holding(equal_frames, BASE, KNOWN)
    times = sampler_times(name, 12)
    steps = resampled(
        SAMPLERS[name], velocity, item_noise(seed, 0, SHAPE), times, lambda i: item_noise(seed, i, SHAPE), rounds
    )
    *_, last = steps
    return last.x


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("rounds", [1, 3])
def test_known_frames_come_back_and_the_others_agree_with_them(name: str, rounds: int) -> None:
    made = np.stack([sampled(name, seed, rounds) for seed in range(8)])
    assert np.abs(made[:, :, KNOWN] - 2.0).max() < 1e-4
    assert made[:, :, ~KNOWN].mean() == pytest.approx(2.0, abs=0.15)


def test_without_what_is_known_the_answer_is_free() -> None:
    free = holding(equal_frames, BASE, np.zeros(40, bool))
    assert free is equal_frames
    *_, last = SAMPLERS["euler"](free, item_noise(1, 0, SHAPE), sampler_times("euler", 12), lambda i: 0)
    assert np.abs(last.x.mean() - 2.0) > 0.5


def test_taking_each_step_several_times_brings_single_frames_nearer() -> None:
    errors = [
        np.mean([np.abs(sampled("euler", seed, rounds)[:, ~KNOWN] - 2.0).mean() for seed in range(16)])
        for rounds in (1, 4)
    ]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("name", ["euler", "heun", "ping_pong"])
def test_one_round_is_the_sampler_itself(name: str) -> None:
    times, start = sampler_times(name, 6), item_noise(3, 0, SHAPE)
    noise = lambda i: item_noise(3, i, SHAPE)  # noqa: E731
    plain = [step.x for step in SAMPLERS[name](equal_frames, start, times, noise)]
    again = [step.x for step in resampled(SAMPLERS[name], equal_frames, start, times, noise, 1)]
    assert all(np.array_equal(one, two) for one, two in zip(plain, again, strict=True))


def test_no_noise_is_used_twice() -> None:
    used: list[int] = []

    def noise(number: int) -> np.ndarray:
        used.append(number)
        return item_noise(0, number, SHAPE)

    for name in SAMPLERS:
        used.clear()
        list(resampled(SAMPLERS[name], equal_frames, item_noise(0, 0, SHAPE), sampler_times(name, 5), noise, 3))
        assert len(used) == len(set(used)) > 0
        assert 0 not in used  # the start's own


def test_noise_put_back_is_as_if_noised_at_once() -> None:
    rng = np.random.default_rng(0)
    first, more = rng.standard_normal((2, 200_000))
    x = 0.7 * 3.0 + 0.3 * first  # x_0 = 3 at t = 0.3
    higher = noised_again(x, 0.3, 0.8, more)
    assert higher.mean() == pytest.approx(0.2 * 3.0, abs=0.01)
    assert higher.std() == pytest.approx(0.8, abs=0.01)
    assert np.corrcoef(higher, first)[0, 1] > 0.1  # what was noise already stays part of it


def test_a_gap_is_bridged_from_mean_to_mean() -> None:
    known = np.array([True, True, False, False, True, False])
    latents = np.array([[1.0, 3.0, 99.0, 99.0, 6.0, 99.0]])
    # From the mean of 1 and 3 to 6; after the last known frame the mean of all that is near stays.
    assert bridged(latents, known)[0] == pytest.approx([1, 3, 3, 5, 6, 10 / 3])
    nothing = np.zeros(6, bool)
    assert np.array_equal(bridged(latents, nothing), latents)


def test_full_noise_forgets_the_latents_bit_by_bit() -> None:
    noise = item_noise(1, 0, SHAPE)
    assert np.array_equal(noisy_start(BASE, noise, 1.0), noise)
    assert noisy_start(BASE, noise, 0.25) == pytest.approx(0.75 * BASE + 0.25 * noise)
