"""What lies beyond full scale is said: in the result's warnings and in the record, for sources and for results."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import arctone
from arctone.audio.loudness import level, over_warning, peak_db
from arctone.audio.waveform import Waveform
from arctone.inference.engine import Model

RATE = 44_100
TONE = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
LOUD = Waveform(np.stack([1.5 * TONE, 0.5 * TONE]), RATE)


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> Iterator[Model]:
    loaded = arctone.load(tiny_model_folder, engine="native", threads=1)
    yield loaded
    loaded.close()


def test_a_source_beyond_full_scale_is_reported_and_its_result_recorded(model: Model) -> None:
    made = model.generate("rain", source=LOUD, seed=1, steps=1, init_noise_level=0)
    num_over = int(np.sum(np.abs(LOUD.samples) > 1))
    assert made.warnings == (
        f"The source has {num_over} samples beyond full scale (peak +3.5 dBFS).",
        f"The sound has {num_over} samples beyond full scale (peak +3.5 dBFS), "
        "which files of whole numbers clip; normalize peak or 32-bit files keep it.",
    )
    assert np.array_equal(made.waveforms[0].samples, LOUD.samples)
    assert made.to_metadata(0)["num_samples_over_full_scale"] == num_over


def test_a_level_below_full_scale_needs_no_warning(model: Model) -> None:
    made = model.generate("rain", source=LOUD, seed=1, steps=1, init_noise_level=0, normalize="peak")
    assert len(made.warnings) == 2  # of the source, and that the kept parts change their level
    assert peak_db(made.waveforms[0]) == pytest.approx(-1, abs=0.01)
    assert "num_samples_over_full_scale" not in made.to_metadata(0)


def test_each_variation_has_its_own_count(model: Model) -> None:
    quiet = Waveform(0.5 * LOUD.samples, RATE)
    made = model.generate("rain", source=quiet, seed=1, steps=1, init_noise_level=0, variations=2)
    assert made.num_over == (0, 0)
    assert made.warnings == ()


def test_levelling_in_place_gives_the_same_samples() -> None:
    for policy in ("peak", "loudness", "off"):
        own = Waveform(LOUD.samples.copy(), RATE)
        found = level(own, policy, in_place=True)  # type: ignore[arg-type]
        assert found.waveform.samples is own.samples
        assert np.array_equal(own.samples, level(LOUD, policy).waveform.samples)  # type: ignore[arg-type]


def test_nothing_beyond_full_scale_is_no_sentence() -> None:
    assert over_warning(Waveform(np.array([[1.0, -1.0]], np.float32), RATE), "The sound") == ""


def test_a_continuation_ends_at_zero_and_keeps_its_source(model: Model) -> None:
    source = Waveform(0.2 * LOUD.samples, RATE)
    made = model.generate("rain", source=source, seed=1, steps=1, extend=True, duration_seconds=1.5).waveforms[0]
    assert np.abs(made.samples[:, -1]).max() < 1e-3
    kept = RATE - round(0.25 * RATE)
    assert np.array_equal(made.samples[:, :kept], source.samples[:, :kept])
