"""arctone eval: folders and models from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from arctone.errors import install_hint
from arctone.evaluation.embedders import protocol


class LevelEmbedder:
    """Hears spectra of the first tenth of a second; a caption is the sine of that many hertz."""

    name, version, sample_rate, credit, frechet_rows = "corpus-clap", "9", 44_100, "the test", "clips"

    def embed(self, waveform):
        from arctone.evaluation.embedders.protocol import Embedded

        return Embedded(_spectrum(waveform.samples[0])[None])

    def embed_text(self, captions):
        return np.stack([_spectrum(_sine(float(caption.split()[0]))) for caption in captions])


def _sine(hertz):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(4410) / 44100)


def _spectrum(samples):
    return np.abs(np.fft.rfft(samples[:4410], 4410))[10:200:5].astype(np.float32)


@pytest.fixture
def loaded(monkeypatch):
    """The embedders that were asked for; all are the one above."""
    asked = []

    def opened(name, weights=None):
        asked.append((name, weights))
        return LevelEmbedder()

    monkeypatch.setattr(protocol, "open_embedder", opened)
    return asked


@pytest.fixture
def folders(tmp_path):
    """Eight sines in `made`, the same eight and a little louder in `real`, all with captions."""
    for folder, gain in (("made", 1.0), ("real", 1.1)):
        (tmp_path / folder).mkdir()
        for number in range(8):
            hertz = 200 + 150 * number
            soundfile.write(tmp_path / folder / f"{number}.wav", gain * _sine(hertz), 44100)
            (tmp_path / folder / f"{number}.txt").write_text(f"{hertz} hertz")
    return tmp_path


def test_a_folder_is_scored(arctone, loaded, folders):
    done = arctone("eval", "folder", "made", "--reference", "real", "-o", "r.json", "--markdown", "r.md", "--no-cache")
    assert done.code == 0
    assert [name for name, _ in loaded] == ["aisfx", "musicnn", "corpus-clap"]
    report = json.loads(Path("r.json").read_text())
    found = {one["metric"]: one for one in report["measurements"]}
    assert found["recall_at_1"]["value"] == 1.0
    assert found["text_audio_score"]["value"] == pytest.approx(1, abs=1e-3)
    assert report["counts"] == {"generated": 8, "reference": 8}
    assert "| recall_at_1 | higher | corpus-clap | 1.000 |" in Path("r.md").read_text()
    assert "recall_at_1" in done.out
    assert "not measured: diversity, corpus-clap: every prompt has one clip only" in done.out


def test_reports_are_not_replaced_unless_forced(arctone, loaded, folders):
    Path("r.json").write_text("mine")
    refused = arctone("eval", "folder", "made", "-o", "r.json", "--no-cache")
    assert (refused.code, Path("r.json").read_text()) == (2, "mine")
    assert "r.json already exists" in refused.stderr
    assert arctone("eval", "folder", "made", "-o", "r.json", "--no-cache", "-f").code == 0
    assert json.loads(Path("r.json").read_text())["title"] == "made"


def test_captions_from_a_table_and_json_on_stdout(arctone, loaded, folders):
    rows = [f"{number},{200 + 150 * ((number + 1) % 8)} hertz" for number in range(8)]
    Path("captions.csv").write_text("path,caption\n" + "\n".join(rows))
    words = ["--captions", "captions.csv", "-e", "corpus-clap", "--metrics", "adherence", "--json", "--cache", "cache"]
    report = json.loads(arctone("eval", "folder", "made", *words).out)
    found = {one["metric"]: one["value"] for one in report["measurements"]}
    assert found["recall_at_1"] == 0.0
    assert len(list(Path("cache").rglob("*.npz"))) == 8


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["nowhere"], 3, "nowhere does not exist"),
        (["made", "--metrics", "fid"], 2, "metrics must be among frechet"),
        (["made", "--weights", "clap"], 2, "weights must be NAME=PATH"),
        (["made", "--weights", "clip=x"], 2, "weights must be NAME=PATH"),
        (["made", "--reference", "empty"], 3, "holds no sound file"),
        (["made", "--captions", "made/0.txt"], 3, "no column names the sound"),
    ],
)
def test_bad_words_end_in_one_sentence(arctone, loaded, folders, words, code, sentence):
    Path("empty").mkdir()
    done = arctone("eval", "folder", *words, "--no-cache")
    assert done.code == code
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_embedder_without_its_weights_says_what_it_needs(arctone, folders):
    done = arctone("eval", "folder", "made", "-e", "clap", "--no-cache")
    assert done.code == 4
    assert "630k-audioset-fusion-best.pt" in done.stderr
    assert arctone("eval", "folder", "made", "-e", "clip", "--no-cache").code == 2


def test_weights_choose_their_embedder(arctone, loaded, folders):
    arctone("eval", "folder", "made", "--weights", "clap=clap.pt", "--no-cache")
    assert loaded == [("clap", Path("clap.pt"))]


def test_a_model_is_scored_on_captions_of_a_source_and_made_once(arctone, loaded, folders, tiny_model_folder):
    words = ["eval", "model", tiny_model_folder, "--source", "real", "--prompts", "6", "--takes", "2", "--steps", "1"]
    first = arctone(*words, "--work", "work", "--json", "--cache", "cache")
    assert first.code == 0, first.stderr
    report = json.loads(first.out)
    assert report["counts"] == {"generated": 12, "reference": 6}
    found = {one["metric"]: one for one in report["measurements"]}
    assert found["conditional_diversity"]["count"] == 6
    assert found["frechet_distance"]["value"] > 0
    made = {path: path.stat().st_mtime_ns for path in Path("work").rglob("*.wav")}
    assert len(made) == 12
    assert all(path.with_suffix(".txt").read_text().endswith("hertz") for path in made)
    again = arctone(*words, "--work", "work", "--json", "--cache", "cache")
    assert again.out == first.out
    assert {path: path.stat().st_mtime_ns for path in Path("work").rglob("*.wav")} == made
    other = arctone(*words[:-1], "2", "--work", "work", "--json", "--cache", "cache")
    assert len(list(Path("work").rglob("*.wav"))) == 24
    assert json.loads(other.out)["settings"]["steps"] == 2


def test_without_torch_it_says_what_to_install(arctone, folders, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else found(name))
    done = arctone("eval", "folder", "made", "--no-cache")
    assert done.code == 2
    assert f"{install_hint('eval')}." in done.stderr
