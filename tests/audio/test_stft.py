"""The transform inverts itself, and frame j is centred at sample 512 j + 256."""

from __future__ import annotations

import numpy as np
import pytest

from arctone.audio.spectral.stft import HOP, N_FFT, PADDING, OverlapAdd, Scratch, istft, stft


def test_inverse_returns_the_samples() -> None:
    samples = np.random.default_rng(0).standard_normal((2, 40 * HOP)).astype(np.float32)
    back = istft(stft(samples))
    assert back.shape == samples.shape
    assert np.abs(back - samples).max() < 1e-4


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4])
def test_short_sounds_invert_too(num_frames: int) -> None:
    samples = np.random.default_rng(1).standard_normal((2, num_frames * HOP)).astype(np.float32)
    assert np.abs(istft(stft(samples)) - samples).max() < 1e-3


def test_frames_are_centred() -> None:
    for frame in (0, 5, 19):
        samples = np.zeros((1, 20 * HOP), dtype=np.float32)
        samples[0, frame * HOP + HOP // 2] = 1
        energy = (np.abs(stft(samples)[0]) ** 2).sum(-1)
        assert energy.argmax() == frame


def test_a_sine_stands_in_its_bin_with_half_the_window() -> None:
    time = np.arange(64 * HOP)
    samples = np.sin(2 * np.pi * 100 * time / N_FFT).astype(np.float32)[None]
    magnitude = np.abs(stft(samples)[0, 32])
    assert magnitude.argmax() == 100
    assert magnitude.max() == pytest.approx(N_FFT / 4, rel=1e-3)


def test_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1000 is not a multiple of the hop 512"):
        stft(np.zeros((1, 1000), dtype=np.float32))


@pytest.mark.parametrize("cuts", [[1, 2, 3, 20], [7, 19], [20], [1, 1, 1, 1]])
def test_overlap_add_does_not_depend_on_the_pieces(cuts: list[int]) -> None:
    spectrum = stft(np.random.default_rng(2).standard_normal((1, 40 * HOP)).astype(np.float32))
    overlap = OverlapAdd(40)
    for piece in np.split(spectrum[0], np.cumsum(cuts)):
        overlap.add(piece, Scratch())
    assert overlap.padded()[PADDING:-PADDING].tobytes() == istft(spectrum)[0].tobytes()
