"""The seam measures: a bad seam stands out, none where there is none."""

import numpy as np
import pytest

from arctone.audio.loops import seam_score
from arctone.audio.waveform import Waveform

RATE = 44_100
NOISE = np.random.default_rng(0).standard_normal((2, 2 * RATE)).astype(np.float32) * 0.1
TIMES = np.arange(2 * RATE) / RATE


def test_a_jump_in_a_tone_is_a_click() -> None:
    tone = np.sin(2 * np.pi * 220 * TIMES)
    jumps = np.where(TIMES < 1, tone, -np.sin(2 * np.pi * 220 * TIMES + 1))
    whole, cut = (seam_score(Waveform(x[None].astype(np.float32), RATE), RATE) for x in (tone, jumps))
    assert cut.click_rank == 1
    assert cut.click > 5 * whole.click


def test_another_spectrum_is_a_step() -> None:
    low = np.cumsum(NOISE, axis=1) * 0.1
    joined = Waveform(np.where(TIMES < 1, NOISE, low).astype(np.float32), RATE)
    assert seam_score(joined, RATE).step_rank > 0.98
    assert seam_score(joined, RATE).step_db > 10


def test_noise_has_no_seam_anywhere() -> None:
    ranks = [seam_score(Waveform(NOISE, RATE), at).step_rank for at in range(20_000, 60_000, 2_000)]
    assert 0.3 < np.mean(ranks) < 0.7


def test_the_seam_of_a_loop_is_where_it_repeats() -> None:
    whole_periods = Waveform(np.sin(2 * np.pi * 100 * TIMES)[None].astype(np.float32), RATE)
    half_a_period_more = Waveform(np.sin(2 * np.pi * 100.25 * TIMES)[None].astype(np.float32), RATE)
    assert seam_score(half_a_period_more, 0, is_loop=True).click_rank == 1
    dying = Waveform((NOISE * np.exp(-5 * TIMES)).astype(np.float32), RATE)
    assert seam_score(dying, 0, is_loop=True).step_db > 20
    assert seam_score(whole_periods, 0, is_loop=True).step_db == pytest.approx(0, abs=0.1)
