"""What an encoder is shown: long sounds in pieces that agree, gaps filled with their surroundings."""

from pathlib import Path

import numpy as np

import arctone
from arctone.inference.source import encode_samples, mirrored

RAMP = np.arange(1.0, 13.0, dtype=np.float32)[None]


def test_a_gap_shows_its_surroundings_mirrored() -> None:
    # Between 4 and 8 lie mirror images of 4 3 2 and of 10 9 8, of constant power together; alone, they go to and fro.
    middle = mirrored(RAMP, [(4, 7)])[0]
    assert list(middle[:4]) == [1, 2, 3, 4]
    assert list(middle[7:]) == [8, 9, 10, 11, 12]
    angle = np.pi / 2 * np.arange(1, 4) / 4
    assert np.allclose(middle[4:7], np.cos(angle) * [4, 3, 2] + np.sin(angle) * [10, 9, 8])
    assert list(mirrored(RAMP[:, :5], [(2, 5)])[0]) == [1, 2, 2, 1, 1]
    assert list(mirrored(RAMP[:, :5], [(0, 3)])[0]) == [5, 5, 4, 4, 5]


def test_of_another_gap_nothing_is_shown() -> None:
    other = RAMP.copy()
    other[:, 5:8] = 99
    spans = [(2, 4), (5, 8)]
    assert np.array_equal(mirrored(RAMP, spans), mirrored(other, spans))


def test_a_sound_that_is_all_gap_is_silence() -> None:
    assert not mirrored(RAMP, [(0, 12)]).any()


def test_pieces_of_a_long_sound_agree_with_the_whole(tiny_model_folder: Path) -> None:
    parts = arctone.load(tiny_model_folder, engine="native", threads=1).engine.backend
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 60 * 2048 - 7)).astype(np.float32)
    whole = encode_samples(parts, samples, 2048, 64)  # type: ignore[arg-type]
    pieces = encode_samples(parts, samples, 2048, 40)  # type: ignore[arg-type]
    assert whole.shape == pieces.shape == (8, 60)
    # The tiny encoder reaches four frames; eight or more are shown on each side.
    assert np.abs(whole - pieces).max() < 1e-4 * np.abs(whole).max()
