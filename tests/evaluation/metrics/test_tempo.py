import numpy as np
import pytest

from arctone.audio.waveform import Waveform
from arctone.evaluation.metrics import tempo
from tests.evaluation.metrics.metric_sounds import RATE, clicks, drums, noise, silence, tone


@pytest.mark.parametrize("bpm", range(60, 181, 10))
def test_click_tracks_are_right_but_for_the_octave(bpm: int) -> None:
    found = tempo.estimate_tempo(clicks(bpm))
    assert any(found.bpm == pytest.approx(factor * bpm, rel=0.005) for factor in (0.5, 1, 2))
    assert found.confidence > 0.8


@pytest.mark.parametrize("bpm", range(70, 141, 10))
def test_click_tracks_of_usual_tempo_are_exact(bpm: int) -> None:
    assert tempo.estimate_tempo(clicks(bpm)).bpm == pytest.approx(bpm, rel=0.005)


@pytest.mark.parametrize("swing", [0.5, 0.58, 2 / 3])
@pytest.mark.parametrize("bpm", [85, 93, 110, 127, 140])
def test_straight_and_swung_drums(bpm: int, swing: float) -> None:
    assert tempo.estimate_tempo(drums(bpm, swing)).bpm == pytest.approx(bpm, rel=0.01)


def test_level_does_not_matter() -> None:
    quiet = drums(110).with_samples(0.01 * drums(110).samples)
    assert tempo.estimate_tempo(quiet).bpm == pytest.approx(tempo.estimate_tempo(drums(110)).bpm, rel=1e-3)


@pytest.mark.parametrize("nothing", [silence(8.0), silence(0.01), Waveform(np.zeros((2, 0), np.float32), RATE)])
def test_silence_and_nothing_have_no_tempo(nothing: Waveform) -> None:
    assert tempo.estimate_tempo(nothing) == tempo.NO_TEMPO


@pytest.mark.parametrize("steady", [noise(8.0), tone(440.0, 8.0)])
def test_steady_sounds_give_no_confidence(steady: Waveform) -> None:
    assert tempo.estimate_tempo(steady).confidence < 0.25


def test_perfect_estimates() -> None:
    assert tempo.evaluate([90, 120], [90, 120]) == {"accuracy": 1.0, "accuracy_octave": 1.0}


def test_empty_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        tempo.evaluate([], [])


@pytest.mark.parametrize(
    ("reference", "estimated", "reason"),
    [
        ([120], [120, 60], "1 references, but 2"),
        ([0], [120], "above 0"),
        ([float("nan")], [1], "finite"),
        ([120], [-1], "below 0"),
    ],
)
def test_bad_lists_are_refused(reference: list[float], estimated: list[float], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        tempo.evaluate(reference, estimated)


def test_known_shares() -> None:
    measures = tempo.evaluate([100, 100, 100, 100, 100], [103, 104, 50, 300, 0])
    assert measures == {"accuracy": 0.2, "accuracy_octave": pytest.approx(0.6)}
