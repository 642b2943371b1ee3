"""Whole evaluations whose outcome is known: a perfect system, a deaf one, a thief."""

import json
from pathlib import Path

import numpy as np
import pytest

from arctone.audio.files import write_audio
from arctone.audio.waveform import Waveform, resample
from arctone.errors import InputFileError, UsageError
from arctone.evaluation.metrics.probe import KINDS as EFFECTS
from arctone.evaluation.metrics.probe import Probe
from arctone.evaluation.scoring.measurement import BETTER, HEAD, Measurement, Report, as_json, as_markdown, rows
from arctone.evaluation.scoring.measures import MEASURES
from arctone.evaluation.scoring.score import ATTACK, FACTS, PROBED, Material, ScoringOptions, score
from arctone.evaluation.scoring.takes import Take, read_takes
from tests.evaluation.metrics.metric_sounds import RATE, drums, noise, notes, silence, tone
from tests.evaluation.metrics.tiny_embedder import TinyEmbedder, TinyReader

KINDS = {
    "tone": lambda n: tone(220 + 30 * n, 0.5),
    "noise": lambda n: noise(0.5, seed=n),
    "drums": lambda n: drums(90 + 10 * n, seconds=1.5),
    "notes": lambda n: notes([[55 + n], [60 + n]], 0.3),
}
CAPTIONS = [f"{kind} {number}" for kind in KINDS for number in range(6)]


def sound_of(caption: str) -> Waveform:
    kind, number = caption.split()
    return KINDS[kind](int(number))


def damaged(sound: Waveform, seed: int = 0) -> Waveform:
    """The same sound a little noisier."""
    hiss = 1e-3 * np.random.default_rng(seed).standard_normal(sound.samples.shape)
    return sound.with_samples((sound.samples + hiss).astype(np.float32))


def written(folder: Path, sounds: dict[str, tuple[Waveform, str]]) -> list[Take]:
    """Files by name, with a caption each."""
    folder.mkdir()
    for name, (sound, caption) in sounds.items():
        write_audio(folder / f"{name}.wav", sound, subtype="float32")
        (folder / f"{name}.txt").write_text(caption)
    return read_takes(folder)[0]


@pytest.fixture
def real(tmp_path: Path) -> list[Take]:
    return written(tmp_path / "real", {f"real-{n}": (sound_of(c), c) for n, c in enumerate(CAPTIONS)})


def values(report: Report) -> dict[str, Measurement]:
    return {one.metric: one for one in report.measurements}


def test_a_perfect_system(real: list[Take], tmp_path: Path) -> None:
    made = written(tmp_path / "made", {f"take-{n}": (sound_of(c), c) for n, c in enumerate(CAPTIONS)})
    report = score("perfect", Material(made, real), [TinyReader(sound_of)])
    found = values(report)
    assert found["frechet_distance"].value == pytest.approx(0, abs=1e-6)
    assert found["class_divergence"].value == pytest.approx(0, abs=1e-4)
    assert found["text_audio_score"].value == pytest.approx(1, abs=1e-5)
    assert found["text_audio_score"].real == pytest.approx(1, abs=1e-5)
    assert {found[name].value for name in ("recall_at_1", "precision", "recall", "coverage")} == {1.0}
    assert found["frechet_distance"].real > 0
    assert found["frechet_distance"].matched_count == 12
    assert found["recall_at_5"].chance == pytest.approx(5 / 24)
    assert found["vendi_score"].value == pytest.approx(found["vendi_score"].real)
    assert report.counts == {"generated": 24, "reference": 24}
    assert {skipped.metric for skipped in report.skipped} == {"diversity", "memorisation"}


def test_a_deaf_system_is_worse_in_every_measure(real: list[Take], tmp_path: Path) -> None:
    made = written(tmp_path / "made", {f"take-{n}": (noise(0.5, seed=n + 50), c) for n, c in enumerate(CAPTIONS)})
    found = values(score("deaf", Material(made, real), [TinyReader(sound_of)]))
    assert found["frechet_distance"].low > 0
    assert found["frechet_distance"].matched > 2 * found["frechet_distance"].real
    assert found["kernel_distance"].low > 0
    assert found["class_divergence"].value > 0.1
    # Cosines of mel statistics are all near 1: what counts is that they are no higher than by chance.
    assert found["text_audio_score"].value == pytest.approx(found["text_audio_score"].chance, abs=0.02)
    assert found["recall_at_1"].value < 0.2
    assert found["recall"].value < 0.5
    assert found["coverage"].value < 0.5
    assert found["vendi_score"].high < found["vendi_score"].real


def test_several_takes_of_a_prompt(real: list[Take], tmp_path: Path) -> None:
    twice = {f"{n}-{take}": (damaged(sound_of(c), take), c) for n, c in enumerate(CAPTIONS) for take in range(2)}
    made = written(tmp_path / "made", twice)
    found = values(score("takes", Material(made, real), [TinyReader(sound_of)]))
    diversity = found["conditional_diversity"]
    assert diversity.count == 24
    assert 0 <= diversity.value < 0.02 < diversity.chance
    assert found["text_audio_score"].count == 48
    # More generated sounds than real ones: the real retrieval would be among fewer.
    assert found["recall_at_1"].real is None
    assert found["text_audio_score"].real is not None


def test_a_thief_is_named_with_its_loot(real: list[Take], tmp_path: Path) -> None:
    training = {f"t{n}": (notes([[50 + n], [57 + n, 60 + n], [40 + 2 * n]], 0.4), f"c{n}") for n in range(12)}
    trained = written(tmp_path / "training", training)
    stolen = {f"made-{n}": (damaged(training[f"t{n}"][0]) if n < 3 else noise(1.2, seed=n), "x") for n in range(8)}
    made = written(tmp_path / "made", {name: (sound, "x") for name, (sound, _) in stolen.items()})
    report = score("thief", Material(made, real, trained), [TinyEmbedder()], ScoringOptions(("memorisation",)))
    found = values(report)["memorised_share"]
    assert found.value == pytest.approx(3 / 8)
    assert [
        (suspect.generated, suspect.training) for suspect in sorted(report.suspects, key=lambda s: s.generated)
    ] == [(f"made-{n}.wav", f"t{n}.wav") for n in range(3)]
    assert all(suspect.waveform > 0.9 and suspect.spectrum > 0.5 for suspect in report.suspects)


def test_mixed_rates_channels_silence_and_bad_files(real: list[Take], tmp_path: Path) -> None:
    sounds = {
        "rate": (resample(tone(), 48_000), "tone 1"),
        "mono": (Waveform(tone().samples[:1], RATE), "tone 1"),
        "silent": (silence(0.5), "noise 1"),
        "short": (tone(seconds=0.01), "tone 2"),
    }
    written(tmp_path / "made", sounds)
    (tmp_path / "made" / "broken.wav").write_bytes(b"RIFF nothing")
    made, _ = read_takes(tmp_path / "made")
    report = score("mixed", Material(made, real), [TinyReader(sound_of)])
    assert len(report.left_out) == 1
    assert "broken.wav" in report.left_out[0]
    assert all(np.isfinite(one.value) for one in report.measurements)
    assert values(report)["text_audio_score"].count == 4
    assert {skipped.metric for skipped in report.skipped} == {"manifold", "memorisation"}


def test_one_clip_alone_says_why_almost_nothing_can_be_measured(tmp_path: Path) -> None:
    made = written(tmp_path / "made", {"one": (tone(), "tone 1")})
    report = score("one", Material(made), [TinyReader(sound_of)])
    assert set(values(report)) == {"text_audio_score", "recall_at_1", "recall_at_5"}
    reasons = {skipped.metric: skipped.reason for skipped in report.skipped}
    assert "--reference" in reasons["frechet"]
    assert "one clip only" in reasons["diversity"]
    assert "--training" in reasons["memorisation"]


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    broken = [Take("broken.wav", tmp_path / "broken.wav")]
    with pytest.raises(InputFileError, match="none of the 1 sounds can be read"):
        score("broken", Material(broken), [TinyEmbedder()])
    with pytest.raises(UsageError, match=r"metrics must be among frechet, .*, got 'fid'"):
        ScoringOptions(("fid",))
    with pytest.raises(UsageError, match="no embedder"):
        score("nobody", Material(broken), [])


def test_embeddings_are_kept_and_the_report_is_the_same(real: list[Take], tmp_path: Path) -> None:
    made = written(tmp_path / "made", {f"take-{n}": (damaged(sound_of(c)), c) for n, c in enumerate(CAPTIONS)})
    options = ScoringOptions(cache=tmp_path / "cache")
    seen: list[str] = []
    reports, counts = [], []
    for _ in range(2):
        reader = TinyReader(sound_of)
        progress = lambda done, total, stage: seen.append(stage)  # noqa: E731
        reports.append(as_json(score("same", Material(made, real), [reader], options, progress)))
        counts.append(reader.num_calls)
    assert counts == [48, 0]
    assert reports[0] == reports[1]
    assert {"generated, tiny-reader", "reference, tiny-reader", "measuring, tiny-reader"} <= set(seen)


def test_every_number_carries_its_circumstances(real: list[Take], tmp_path: Path) -> None:
    # One caption also states all that sounds are checked for alone, so that every measure there is has a number.
    states = {"drums 3": "drums 3, rain, 120 BPM, C major"}
    captions = [states.get(c, c) for c in CAPTIONS]
    hears = lambda caption: sound_of(caption.split(",")[0])  # noqa: E731
    made = written(tmp_path / "made", {f"{n}-{t}": (hears(c), c) for n, c in enumerate(captions) for t in range(2)})
    weights, mean, scale = np.zeros((192, len(EFFECTS)), np.float32), np.zeros(192), np.ones(192)
    Probe(EFFECTS, weights, np.array(EFFECTS) == "rain", mean, scale, "mel").save(tmp_path / "probe.npz")
    names = (*MEASURES, *(fact.name for fact in FACTS), *PROBED, ATTACK)
    options = ScoringOptions(names, seed=5, probe=tmp_path / "probe.npz")
    rain = written(tmp_path / "rain", {f"rain-{n}": (sound_of("drums 3"), "drums 3, rain") for n in range(2)})
    report = score("all", Material(made, [*real, *rain], real), [TinyReader(hears)], options)
    assert {one.metric for one in report.measurements} == set(BETTER)
    alone = {"tempo": "onsets", "key": "chroma", "silent": "level", "family": "probe on mel", "kind": "probe on mel"}
    alone |= {"rise": "kinds in captions", "treble": "kinds in captions"}
    for one in json.loads(as_json(report))["measurements"]:
        by = alone.get(one["metric"].split("_")[0], "tiny-reader")
        assert (one["embedder"], one["version"], one["seed"]) == (by, "1", 5)
        assert one["count"] > 0
        assert one["low"] <= one["value"] <= one["high"]
        assert one["interval"].startswith(("bootstrap over", "jackknife over"))
    page = as_markdown(report)
    assert all(f"| {name} |" in page for name in BETTER)
    explained = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text().partition("## What each number says")[2]
    assert [name for name in BETTER if f"`{name}`" not in explained.partition("\n## ")[0]] == []
    assert len(rows(report)[0]) == len(HEAD)
    assert len(MEASURES) == 8
