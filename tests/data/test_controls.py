"""Controls of training examples: true to the clip, dropped at their rates, the same at every restart."""

import json

import numpy as np
import pytest

from arctone.audio.curves import measure_curves
from arctone.data.batches import load_batch
from arctone.data.controls import ControlDraws, ControlRates, smoothed
from arctone.data.encode import EncodeSettings, encode_corpus
from arctone.data.latents import LatentDataset
from arctone.data.sound import ClipInfo
from arctone.errors import InputFileError, UsageError
from tests.data.made_source import RATE, ToneSource, frame_means, letters

SMALL = EncodeSettings(clips_per_shard=4, batch_frames=64, frames_multiple=8, num_workers=0)
ALL = ("key", "note", "loudness", "brightness", "pitch")
ALWAYS = ControlRates(key=1, note=1, curves=1, each_curve=1, partial=0, smoothing_frames=1)


def encode(folder, settings=SMALL, num_clips=8):
    encode_corpus(
        ToneSource(num_clips), frame_means, letters, folder, autoencoder_hash="a" * 64, text_encoder_hash="t",
        settings=settings,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return encode(tmp_path_factory.mktemp("latents"))


def clip(key=None, pitch=""):
    return ClipInfo(id="x", caption="", captions=(), duration_seconds=1, key=key, attributes={"pitch": pitch})


def test_curves_of_each_clip_are_stored_next_to_its_latents(folder):
    dataset, source = LatentDataset(folder), ToneSource(8)
    assert dataset.has_curves
    for index in range(len(dataset)):
        measured = measure_curves(source.waveform(index).samples, RATE)
        stored = dataset.curves(index)
        assert stored.shape == (3, dataset.frames[index])
        np.testing.assert_allclose(stored, np.stack(measured), atol=0.05)


def test_folders_of_format_1_open_and_have_no_curves(tmp_path):
    old = encode(tmp_path, EncodeSettings(clips_per_shard=4, num_workers=0, curves=False))
    header = json.loads((old / "header.json").read_text())
    del header["curves"]
    (old / "header.json").write_text(json.dumps(header | {"format_version": 1}))
    dataset = LatentDataset(old)
    assert not dataset.has_curves
    assert not list(old.glob("latents/*.curves.npy"))
    with pytest.raises(InputFileError, match="holds no curves"):
        load_batch(dataset, [0], seed=0, epoch=0, controls=ControlDraws(("loudness",)))
    numbers = load_batch(dataset, [0, 1], seed=0, epoch=0, controls=ControlDraws(("key",)))
    assert numbers["key"].tolist() == [0, 0]


def test_a_batch_has_the_controls_of_its_clips_and_zeros_behind_them(folder):
    dataset = LatentDataset(folder)
    batch = load_batch(dataset, [0, 1, 2], seed=1, epoch=0, controls=ControlDraws(ALL, ALWAYS))
    longest = batch["frame_mask"].shape[1]
    for row, index in enumerate([0, 1, 2]):
        frames = dataset.frames[index]
        value, given = batch["loudness"][row]
        assert given.tolist() == [1.0] * frames + [0.0] * (longest - frames)
        np.testing.assert_allclose(value[:frames], np.clip(1 + dataset.curves(index)[0] / 80, 0, 1), atol=1e-6)
        assert not value[frames:].any()
    assert batch["key"].tolist() == batch["note"].tolist() == [0, 0, 0]


def test_without_controls_a_batch_is_what_it_was(folder):
    dataset = LatentDataset(folder)
    plain = load_batch(dataset, [0, 3], seed=1, epoch=2)
    more = load_batch(dataset, [0, 3], seed=1, epoch=2, controls=ControlDraws(ALL))
    assert set(more) - set(plain) == set(ALL)
    assert all(np.array_equal(plain[name], more[name]) for name in plain)


def test_numbers_are_the_clips_own_and_dropped_at_their_rates():
    draws = ControlDraws(ALL, ControlRates(key=0.7, note=0.25))
    found = [draws.draw_numbers(clip("C sharp minor", "A4"), 3, 0, index) for index in range(2_000)]
    assert {item["key"] for item in found} == {0.0, 14.0}
    assert {item["note"] for item in found} == {0.0, 69.0}
    assert np.mean([item["key"] > 0 for item in found]) == pytest.approx(0.7, abs=0.03)
    assert np.mean([item["note"] > 0 for item in found]) == pytest.approx(0.25, abs=0.03)
    assert found == [draws.draw_numbers(clip("C sharp minor", "A4"), 3, 0, index) for index in range(2_000)]
    assert draws.draw_numbers(clip(), 0, 0, 0) == {"key": 0.0, "note": 0.0}


def test_curves_are_dropped_together_and_one_by_one():
    curves = np.stack([np.full(40, -20.0), np.full(40, 0.6), np.full(40, 60.0)]).astype(np.float32)
    draws = ControlDraws(ALL, ControlRates(curves=0.5, each_curve=0.6, partial=0))
    given = np.array([
        [found[name][1].any() for name in ("loudness", "brightness", "pitch")]
        for found in (draws.draw_curves(curves, 1, 0, index) for index in range(1_500))
    ])  # fmt: skip
    assert given.mean(axis=0) == pytest.approx(0.3, abs=0.04)
    assert (~given.any(axis=1)).mean() == pytest.approx(0.5 + 0.5 * 0.4**3, abs=0.04)


def test_a_partial_curve_is_given_in_one_stretch():
    curves = np.stack([np.full(40, -20.0), np.full(40, 0.6), np.full(40, 60.0)]).astype(np.float32)
    draws = ControlDraws(("loudness",), ControlRates(curves=1, each_curve=1, partial=1))
    for index in range(50):
        given = draws.draw_curves(curves, 1, 0, index)["loudness"][1]
        assert np.abs(np.diff(np.pad(given, 1))).sum() in (0, 2)


def test_a_sound_without_pitch_has_no_pitch_curve():
    curves = np.stack([np.full(40, -20.0), np.full(40, 0.6), np.zeros(40)]).astype(np.float32)
    curves[2, :8] = 60
    assert not ControlDraws(ALL, ALWAYS).draw_curves(curves, 0, 0, 0)["pitch"].any()
    curves[2, :20] = 60
    assert ControlDraws(ALL, ALWAYS).draw_curves(curves, 0, 0, 0)["pitch"][1].all()


def test_smoothing_keeps_length_and_mean_and_flattens():
    ramp = np.linspace(0, 1, 30).astype(np.float32)
    assert smoothed(ramp, 5)[2:-2] == pytest.approx(ramp[2:-2], abs=1e-6)
    step = np.repeat([0.0, 1.0], 10).astype(np.float32)
    assert smoothed(step, 4).shape == step.shape
    assert np.abs(np.diff(smoothed(step, 4))).max() == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "message"), [({"key": 1.5}, "key: 1.5"), ({"smoothing_frames": 0}, "smoothing_fra")]
)
def test_impossible_rates_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        ControlRates(**values)
