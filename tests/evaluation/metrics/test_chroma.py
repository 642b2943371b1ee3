import numpy as np
import pytest

from arctone.audio.waveform import Waveform
from arctone.evaluation.metrics import chroma
from tests.evaluation.metrics.metric_sounds import RATE, noise, notes, silence

MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0)
MINOR_SCALE = (0, 2, 3, 5, 7, 8, 10, 12, 7, 3, 0)


@pytest.mark.parametrize("tonic", range(12))
def test_scales_in_every_key(tonic: int) -> None:
    name = chroma.PITCH_CLASSES[tonic]
    assert chroma.estimate_key(notes([[60 + tonic + step] for step in MAJOR_SCALE])).name == f"{name} major"
    assert chroma.estimate_key(notes([[60 + tonic + step] for step in MINOR_SCALE])).name == f"{name} minor"


@pytest.mark.parametrize(("tonic", "name"), [(0, "C"), (6, "F#"), (9, "A")])
def test_cadences(tonic: int, name: str) -> None:
    major = [[0, 4, 7], [5, 9, 12], [7, 11, 14], [0, 4, 7]]
    minor = [[0, 3, 7], [5, 8, 12], [7, 10, 14], [0, 3, 7]]
    for chords, mode in ((major, "major"), (minor, "minor")):
        sound = notes([[48 + tonic + step for step in chord] for chord in chords], 0.8)
        assert chroma.estimate_key(sound).name == f"{name} {mode}"


def test_one_note_fills_one_pitch_class() -> None:
    t = np.arange(2 * RATE) / RATE
    shares = chroma.chroma(Waveform(np.sin(2 * np.pi * 440 * t)[None].astype(np.float32), RATE))
    assert chroma.PITCH_CLASSES[int(np.argmax(shares))] == "A"
    assert shares.max() > 0.95
    assert shares.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("nothing", [silence(), Waveform(np.zeros((2, 0), np.float32), RATE)])
def test_silence_has_no_key(nothing: Waveform) -> None:
    assert chroma.estimate_key(nothing) == chroma.Key("none", 0.0)


def test_noise_fits_no_key_well() -> None:
    assert chroma.estimate_key(noise(4.0)).confidence < 0.75


def test_perfect_estimates() -> None:
    assert chroma.evaluate(["C major", "F# minor"], ["C major", "Gb minor"])["same"] == 1.0


def test_empty_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        chroma.evaluate([], [])


@pytest.mark.parametrize(
    ("reference", "estimated", "reason"),
    [
        (["C major"], [], "1 references, but 0"),
        (["C"], ["C major"], '"C"'),
        (["H major"], ["C major"], "H major"),
        (["none"], ["C major"], "none"),
        (["C major"], ["C dorian"], "C dorian"),
    ],
)
def test_bad_names_are_refused(reference: list[str], estimated: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        chroma.evaluate(reference, estimated)


def test_chroma_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="twelve"):
        chroma.key_of_chroma(np.ones(11))


def test_known_relations() -> None:
    estimated = ["A minor", "F major", "G major", "C minor", "D major", "none"]
    measures = chroma.evaluate(["C major"] * 6, estimated)
    assert measures == {"same": 0, "relative": 1 / 6, "fifth": 2 / 6, "parallel": 1 / 6, "other": 2 / 6}
    assert chroma.relation("A minor", "C major") == "relative"
