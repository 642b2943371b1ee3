"""Facts that captions state: read from words, measured on sounds whose truth is known, reported with their share."""

from pathlib import Path

import numpy as np
import pytest

from arctone.audio.files import write_audio
from arctone.audio.waveform import Waveform
from arctone.errors import UsageError
from arctone.evaluation.metrics.probe import KINDS, Probe
from arctone.evaluation.scoring.score import (
    FACTS,
    Material,
    ScoringOptions,
    kind_fact,
    measure_fact,
    parse_class,
    parse_stated_key,
    parse_tempo,
    score,
)
from arctone.evaluation.scoring.takes import Take, read_takes
from tests.evaluation.metrics.metric_sounds import clicks, notes

C_MAJOR = [[60, 64, 67], [65, 69, 72], [67, 71, 74], [60, 64, 67]]
TEMPO, KEY, SILENCE = FACTS


def takes(folder: Path, sounds: dict[str, tuple[Waveform, str]]) -> list[Take]:
    folder.mkdir()
    for name, (sound, caption) in sounds.items():
        write_audio(folder / f"{name}.wav", sound, subtype="float32")
        (folder / f"{name}.txt").write_text(caption)
    return read_takes(folder)[0]


@pytest.mark.parametrize(
    ("caption", "key"),
    [
        ("a pad in C minor", "C minor"),
        ("piano, F sharp major, slow", "F sharp major"),
        ("from C major to A minor", None),
        ("a minor problem", None),
    ],
)
def test_a_key_is_read_where_one_is_stated(caption: str, key: str | None) -> None:
    assert parse_stated_key(caption) == key


def test_a_tempo_and_a_class_are_read_where_one_is_stated() -> None:
    assert parse_tempo("drums, 120 BPM") == 120
    assert parse_tempo("drums") is None
    assert parse_class("two Flutes play", ["flute", "drum"]) == "flute"
    assert parse_class("flute and drum", ["flute", "drum"]) is None


def test_the_share_of_right_sounds_is_that_of_the_sounds_that_are_right(tmp_path: Path) -> None:
    made = takes(
        tmp_path / "made",
        {
            "right": (clicks(120), "a click at 120 BPM"),
            "wrong": (clicks(97), "a click at 120 BPM"),
            "silent on it": (clicks(97), "a click"),
        },
    )
    found = {one.metric: one for one in measure_fact(TEMPO, made, made[:1])}
    assert found["tempo_accuracy"].value == 0.5
    assert found["tempo_accuracy"].count == 2
    assert found["tempo_accuracy"].note == "2 of 3 captions state it"


def test_keys_are_measured_against_the_stated_one(tmp_path: Path) -> None:
    sound = notes(C_MAJOR * 2)
    made = takes(tmp_path / "made", {"a": (sound, "chords in C major"), "b": (sound, "chords in A minor")})
    found = {one.metric: one.value for one in measure_fact(KEY, made)}
    assert found == {"key_accuracy": 0.5, "key_accuracy_relative": 1.0}


def test_facts_alone_need_no_embedder_and_say_why_they_cannot_be_measured(tmp_path: Path) -> None:
    made = takes(tmp_path / "made", {"a": (clicks(120), "a click at 120 BPM")})
    report = score("clicks", Material(made), [], ScoringOptions(("tempo", "key")))
    assert {one.metric for one in report.measurements} == {"tempo_accuracy", "tempo_accuracy_octave"}
    assert [(one.metric, one.reason) for one in report.skipped] == [("key", "no caption states the key")]


def test_families_need_a_probe() -> None:
    with pytest.raises(UsageError, match="metrics family needs a probe"):
        ScoringOptions(("family",))


def test_the_share_of_silent_sounds_counts_those_without_a_caption_too(tmp_path: Path) -> None:
    loud = notes(C_MAJOR, 0.2)
    quiet = loud.with_samples(loud.samples * np.float32(1e-4))
    made = takes(tmp_path / "made", {"a": (loud, "a chord"), "b": (quiet, ""), "c": (loud, ""), "d": (loud, "x")})
    (found,) = measure_fact(SILENCE, made)
    assert (found.metric, found.value, found.count) == ("silent_share", 0.25, 4)


def test_kinds_are_asked_of_captions_that_name_one(tmp_path: Path) -> None:
    always_rain = Probe(
        KINDS, np.zeros((192, 25), np.float32), (np.array(KINDS) == "rain").astype(np.float32),
        np.zeros(192, np.float32), np.ones(192, np.float32), "mel",
    )  # fmt: skip
    sound = notes(C_MAJOR, 0.2)
    made = takes(tmp_path / "made", {"a": (sound, "rain"), "b": (sound, "a dog barking"), "c": (sound, "a flute")})
    (found,) = measure_fact(kind_fact(always_rain), made)
    assert (found.metric, found.value, found.count) == ("kind_accuracy", 0.5, 2)
    with pytest.raises(UsageError, match="metrics kind needs a probe of kinds of effects"):
        ScoringOptions(measures=("kind",))


def _barks(seconds: float, hertz: float) -> Waveform:
    """A tone that rises in a straight line for so long, after 0.1 s of nothing."""
    time = np.arange(44_100) / 44_100
    tone = np.sin(2 * np.pi * hertz * time) * np.clip((time - 0.1) / seconds, 0, 1)
    return Waveform(np.repeat(tone[None], 2, axis=0).astype(np.float32), 44_100)


def test_attacks_are_compared_with_real_ones_of_the_kind_that_the_caption_names(tmp_path: Path) -> None:
    real = takes(tmp_path / "real", {"a": (_barks(0.05, 500), "a dog barking"), "b": (_barks(0.05, 500), "a dog")})
    made = takes(tmp_path / "made", {"a": (_barks(0.2, 500), "a dog barking"), "b": (clicks(120), "a violin")})
    report = score("dogs", Material(made, real), [], ScoringOptions(("attack",)))
    found = {one.metric: one for one in report.measurements}
    assert found["rise_octaves"].value == pytest.approx(2, abs=0.1)
    assert found["treble_db"].value == pytest.approx(0, abs=0.1)
    assert found["rise_octaves"].real == 0
    assert found["rise_octaves"].note == "1 of 2 captions name a kind"
    (skipped,) = score("dogs", Material(made), [], ScoringOptions(("attack",))).skipped
    assert skipped.reason.startswith("needs a reference")
    (skipped,) = score("dogs", Material(made[1:], real), [], ScoringOptions(("attack",))).skipped
    assert skipped.reason == "no sound has a real one of its kind"
