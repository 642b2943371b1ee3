from pathlib import Path

import numpy as np
import pytest

from arctone.audio.waveform import Waveform
from arctone.errors import ModelError
from arctone.evaluation.embedders import aisfx
from arctone.evaluation.embedders.preparing import mel_statistics
from arctone.evaluation.metrics import probe
from tests.evaluation.metrics.metric_sounds import clicks, noise, notes, silence, tone

FAMILIES = ("bass", "flute", "piano")


def clouds(num_each: int, spread: float = 0.5, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Three clouds of points around fixed centres."""
    rng = np.random.default_rng(seed)
    centres = np.eye(3, 8)
    points = np.repeat(centres, num_each, axis=0) + spread * rng.standard_normal((3 * num_each, 8))
    return points.astype(np.float32), [family for family in FAMILIES for _ in range(num_each)]


def test_separate_families_are_classified_unseen() -> None:
    fitted = probe.fit(*clouds(40, 0.1), "mel", penalty=1e-4)
    points, families = clouds(20, 0.1, seed=1)
    assert probe.evaluate(families, fitted.predict(points))["accuracy"] == 1.0
    assert fitted.probabilities(points).sum(axis=1) == pytest.approx(np.ones(60), abs=1e-5)


def test_families_without_a_difference_stay_at_chance() -> None:
    rng = np.random.default_rng(0)
    points = rng.standard_normal((600, 8)).astype(np.float32)
    families = list(rng.permutation(np.repeat(FAMILIES, 200)))
    fitted = probe.fit(points[:300], families[:300], "mel")
    assert probe.evaluate(families[300:], fitted.predict(points[300:]))["accuracy"] == pytest.approx(1 / 3, abs=0.1)


def test_a_rare_family_is_not_overlooked() -> None:
    points, families = clouds(40, 0.3)
    keep = np.r_[0:40, 40:44, 80:120]
    fitted = probe.fit(points[keep], [families[i] for i in keep], "mel")
    fresh, truth = clouds(50, 0.3, seed=2)
    assert probe.evaluate(truth[50:100], fitted.predict(fresh[50:100]))["accuracy"] > 0.6


def test_same_data_same_probe() -> None:
    first, second = (probe.fit(*clouds(20), "mel") for _ in range(2))
    assert np.array_equal(first.weights, second.weights)


def test_saved_and_read_again(tmp_path: Path) -> None:
    fitted = probe.fit(*clouds(20), "mel", recipe={"seed": 3})
    fitted.save(tmp_path / "probe.npz")
    again = probe.load(tmp_path / "probe.npz")
    points, _ = clouds(20, seed=1)
    assert again.predict(points) == fitted.predict(points)
    assert again.recipe == {"penalty": 0.01, "seed": 3}
    assert (again.classes, again.embedding) == (FAMILIES, "mel")


@pytest.mark.parametrize("content", [None, b"", b"not a probe"])
def test_what_is_no_probe_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "probe.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"probe\.npz"):
        probe.load(path)


@pytest.mark.parametrize(
    ("points", "families", "reason"),
    [
        (np.zeros((2, 8)), ["bass"], "shape"),
        (np.zeros((0, 8)), [], "0 different"),
        (np.zeros((2, 8)), ["bass", "bass"], "1 different"),
        (np.full((2, 8), np.nan), ["bass", "flute"], "finite"),
    ],
)
def test_bad_training_data_are_refused(points: np.ndarray, families: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        probe.fit(points.astype(np.float32), families, "mel")


def test_embeddings_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="8"):
        probe.fit(*clouds(20), "mel").predict(np.zeros((1, 9), np.float32))


def test_known_shares() -> None:
    measures = probe.evaluate(["bass", "bass", "bass", "flute"], ["bass", "bass", "flute", "piano"])
    assert measures == {"accuracy": 0.5, "balanced_accuracy": pytest.approx(1 / 3), "chance": 0.75}
    with pytest.raises(ValueError, match="0 references"):
        probe.evaluate([], [])


def test_mel_statistics_ignore_level_and_tell_sounds_apart() -> None:
    melody, quiet = notes([[60], [64], [67]]), notes([[60], [64], [67]])
    quiet = quiet.with_samples(0.1 * quiet.samples)
    assert mel_statistics(quiet) == pytest.approx(mel_statistics(melody), abs=1e-2)
    assert np.abs(mel_statistics(melody) - mel_statistics(noise())).max() > 1
    assert not mel_statistics(silence()).any()


def test_mel_statistics_are_enough_for_tones_clicks_and_noise() -> None:
    sounds = [make(i) for make in (_tone, _clicks, _noise) for i in range(12)]
    names = [name for name in ("tone", "clicks", "noise") for _ in range(12)]
    points = np.stack([mel_statistics(sound) for sound in sounds])
    fitted = probe.fit(points[::2], names[::2], "mel")
    assert fitted.predict(points[1::2]) == names[1::2]


def _tone(index: int) -> Waveform:
    return tone(200.0 + 50 * index, 1.0)


def _clicks(index: int) -> Waveform:
    return clicks(100.0 + 10 * index, 2.0)


def _noise(index: int) -> Waveform:
    return noise(1.0, seed=index)


def test_aisfx_blocks_cover_short_and_long_sounds() -> None:
    assert aisfx.blocks(np.ones((30, 96), np.float32)).shape == (1, 100, 96)
    assert aisfx.blocks(np.ones((199, 96), np.float32)).shape == (2, 100, 96)
    assert aisfx.blocks(np.ones((200, 96), np.float32)).shape == (3, 100, 96)


def test_aisfx_refuses_other_sample_rates() -> None:
    with pytest.raises(ValueError, match="48000 Hz"):
        aisfx.embed(Waveform(np.zeros((2, 48_000), np.float32), 48_000))


def test_aisfx_without_its_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aisfx, "find_spec", lambda name: None)
    assert not aisfx.is_available()
    with pytest.raises(ModelError, match="pip install --no-deps aisfx"):
        aisfx._weights_path()


def test_aisfx_network_has_the_published_shape() -> None:
    import torch

    network = aisfx.build_network()
    assert network(torch.zeros(2, 100, 96)).shape == (2, 512)
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_686_144


@pytest.mark.skipif(not aisfx.is_available(), reason="the optional package aisfx is not installed")
def test_aisfx_hears_likeness() -> None:
    first, second, other = (aisfx.embed(sound) for sound in (noise(3.0), noise(3.0, seed=1), clicks(120, 3.0)))
    assert first.shape == (512,)
    assert np.linalg.norm(first - second) < 0.2 * np.linalg.norm(first - other)
    loud, quiet = notes([[60]]), notes([[60]]).with_samples(0.05 * notes([[60]]).samples)
    assert aisfx.embed(quiet) == pytest.approx(aisfx.embed(loud), abs=1e-3)
