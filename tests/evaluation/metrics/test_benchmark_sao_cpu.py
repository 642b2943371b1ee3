"""The arithmetic of the comparison with the public program, without the program."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks import sao_cpu  # noqa: E402


def test_signal_to_noise() -> None:
    wanted = np.array([1.0, -1.0, 1.0, -1.0])
    assert sao_cpu.snr_db(wanted, wanted) == 200
    assert sao_cpu.snr_db(wanted, wanted + 0.1) == pytest.approx(20)


class _Side:
    """Takes the given seconds for each stage and gives values that are off by a part."""

    def __init__(self, seconds: float, error: float) -> None:
        self._seconds, self._error = seconds, error

    def make(self) -> sao_cpu.Made:
        values = {name: np.full(4, 1 + self._error) for name in ("velocity", "latents", "sound")}
        return dict.fromkeys(sao_cpu.STAGES, self._seconds), values

    def warm_up(self, latents: np.ndarray) -> np.ndarray:
        return latents * (1 + self._error)


def test_ratios_are_of_the_same_round_and_errors_against_the_first() -> None:
    sides = {sao_cpu.PEER: _Side(2.0, 0.0), sao_cpu.PEER_CAST: _Side(1.0, 0.1), sao_cpu.OURS_HALF: _Side(0.25, 0.01)}
    first, cast, ours = sao_cpu.compared(sides, rounds=2)["rows"]
    assert (first["total"], cast["total"], ours["total"]) == (6.0, 3.0, 0.75)
    assert ours["ratios"][sao_cpu.PEER]["median"] == 8.0
    assert ours["ratios"][sao_cpu.PEER_CAST]["lowest"] == 4.0
    assert (first["decoded_snr_db"], cast["velocity_snr_db"], ours["decoded_snr_db"]) == (200, 20.0, 40.0)
    result = {"rows": [first, cast, ours], "ceilings": {"float32": 100.0, "bfloat16": 1000.0}}
    result |= {"operations": {"text": 1, "sampling": 100.0, "decoding": 125.0}}
    table = sao_cpu._shares(result)
    # 226 billion operations at 100 billion a second take 2.26 s, and the public program took 6.
    assert "| public, float32 | 100 | 50 % | 62 % | 2.26 | 2.7x |" in table
    assert "| arctone, bfloat16 | 1000 | 40 % | 50 % | 0.23 | 26.5x |" in table


def test_the_ping_pong_of_the_public_program_is_ours_on_the_same_network() -> None:
    from arctone.flow.noise import item_noise
    from arctone.flow.samplers import ping_pong
    from arctone.flow.schedules import sampler_times

    shape = (64, sao_cpu.FRAMES)
    times = sampler_times("ping_pong", sao_cpu.STEPS, 1.0)
    noise = lambda step: item_noise(0, step, shape)  # noqa: E731
    steps = iter(range(1, sao_cpu.STEPS + 1))
    theirs = sao_cpu._sampled(
        lambda x, t: torch.tanh(x) * t,
        torch.from_numpy(noise(0))[None],
        {},
        lambda _: torch.from_numpy(noise(next(steps)))[None],
    )
    *_, last = ping_pong(lambda x, t: np.tanh(x) * np.float32(t), noise(0), times, noise)
    np.testing.assert_allclose(theirs[0].numpy(), last.x, atol=1e-5)
