"""A waveform is right or does not exist."""

from typing import Any

import numpy as np
import pytest

from arctone.audio.waveform import Waveform
from arctone.errors import UsageError


def test_what_it_says_about_itself() -> None:
    waveform = Waveform(np.zeros((2, 22_050), np.float32), 44_100)
    assert (waveform.num_channels, waveform.num_samples, waveform.duration_seconds) == (2, 22_050, 0.5)


def test_other_floats_become_float32_and_overs_are_kept() -> None:
    waveform = Waveform(np.array([[1.5, -2.0]]), 8000)
    assert waveform.samples.dtype == np.float32
    np.testing.assert_array_equal(waveform.samples, [[1.5, -2.0]])
    assert Waveform(np.zeros((1, 4))[:, ::2], 8000).samples.flags.c_contiguous


@pytest.mark.parametrize(
    "samples, message",
    [
        (np.zeros(4, np.float32), r"shape \[channels, samples\], got \[4\]"),
        (np.zeros((0, 4), np.float32), r"got \[0, 4\]"),
        (np.zeros((1, 2, 4), np.float32), r"got \[1, 2, 4\]"),
        (np.zeros((2, 4), np.int16), "floating point numbers, got int16"),
        ([[0.0]], "floating point numbers, got list"),
        (np.array([[0, np.nan]]), "NaN or infinite"),
        (np.array([[0, -np.inf]]), "NaN or infinite"),
    ],
)
def test_wrong_samples(samples: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Waveform(samples, 44_100)


@pytest.mark.parametrize("sample_rate", [0, -1, 44_100.0, "44100", True, None, 10**9])
def test_wrong_rate(sample_rate: Any) -> None:
    with pytest.raises(UsageError, match="sample_rate must be a whole number from 1 to 768000 Hz, got"):
        Waveform(np.zeros((1, 1)), sample_rate)


def test_it_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Waveform(np.zeros((1, 1)), 8000).sample_rate = 1  # type: ignore[misc]
