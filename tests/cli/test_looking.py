"""info, models, doctor and bench: what they say is true."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from arctone.cli import doctor, output
from arctone.model_folder.catalogue import CATALOGUE
from arctone.model_folder.folder import folder_hash, list_known_models
from arctone.version import __version__


def test_info_tells_the_facts_of_a_foreign_file(arctone):
    tone = 0.5 * np.sin(2 * np.pi * 441 * np.arange(4410) / 44100)
    soundfile.write("tone.wav", tone, 44100)
    record = json.loads(arctone("info", "tone.wav", "--json").out)
    assert record["duration_seconds"] == pytest.approx(0.1)
    assert (record["channels"], record["sample_rate"]) == (1, 44100)
    assert record["peak_dbfs"] == pytest.approx(-6.02, abs=0.01)
    assert record["made_by_arctone"] is None


def test_info_shows_the_request_of_a_take(arctone, generate):
    generate("rain on tin", "-s", 7, "-o", "x.wav")
    done = arctone("info", "x.wav")
    assert done.code == 0
    lines = {line.split()[0]: line.split(maxsplit=1)[-1] for line in done.out.splitlines()}
    assert lines["made_by_arctone.request.prompt"] == "rain on tin"
    assert lines["made_by_arctone.mark"] == "AI-generated"


def test_info_shows_a_model(arctone, tiny_model_folder):
    record = json.loads(arctone("info", tiny_model_folder, "--json").out)
    assert record["name"] == "tiny"
    assert record["max_duration_seconds"] == 2.97
    assert record["hash"] == folder_hash(tiny_model_folder)
    assert record["size_bytes"] == sum(path.stat().st_size for path in tiny_model_folder.iterdir())


def test_models_lists_what_is_bundled(arctone):
    listed = json.loads(arctone("models", "--json").out)
    assert [record["name"] for record in listed] == list(list_known_models())
    rows = arctone("models").out.splitlines()
    end = rows.index("")
    assert [row.split()[0] for row in rows[1:end]] == [record["name"] for record in listed]
    assert rows[0].split() == ["name", "longest", "steps", "size", "where"]
    fetchable = " ".join(rows[end:])
    assert all(model.name in fetchable for model in CATALOGUE)


def test_doctor_finds_a_whole_model_whole(arctone, tiny_model_folder):
    done = arctone("doctor", "-m", tiny_model_folder, "--json")
    findings = {finding["check"]: finding for finding in json.loads(done.out)}
    assert done.code == 0
    assert findings["arctone"]["detail"].startswith(__version__)
    assert {findings[name]["verdict"] for name in ("numpy", "model files", "engine")} == {"ok"}
    assert "one second of sound" in findings["engine"]["detail"]


def test_doctor_finds_a_damaged_model(arctone, tiny_model_folder):
    shutil.copytree(tiny_model_folder, "sick")
    file = Path("sick/dit.tflite")
    file.write_bytes(file.read_bytes()[:-1])
    done = arctone("doctor", "-m", "sick")
    assert done.code == 4
    assert "FAILED  model files" in done.out
    assert "dit.tflite" in done.out
    assert done.stderr == "error: not everything works: model files, engine.\n"


def test_doctor_finds_a_silent_model(arctone, tiny_model_folder, monkeypatch):
    monkeypatch.setattr(
        "arctone.inference.backends.litert.LiteRTBackend.decode",
        lambda self, latents, seed=0: np.zeros((2, 2048 * latents.shape[1]), np.float32),
    )
    done = arctone("doctor", "-m", tiny_model_folder)
    assert done.code == 4
    assert "silence" in done.out


def test_bench_measures_what_it_says(arctone, tiny_model_folder):
    done = arctone("bench", "-m", tiny_model_folder, "-d", 1, "--steps", 3, "--repeats", 2, "--threads", 1, "--json")
    record = json.loads(done.out)
    assert (record["steps"], record["threads"], record["repeats"], record["sound_seconds"]) == (3, 1, 2, 1.0)
    parts = sum(record["stages_ms"][name] for name in ("text", "sampling", "decoding"))
    assert 0 < parts <= record["warm_ms"] * 1.2
    assert record["times_real_time"] == pytest.approx(1000 / record["warm_ms"], rel=0.02)
    assert record["machine"] == doctor.sentence()
    readable = arctone("bench", "-m", tiny_model_folder, "-d", 1, "--steps", 3, "--repeats", 1).out
    assert "times faster than it plays" in readable


def test_columns_are_as_wide_as_their_longest_cell(capsys):
    output.print_rows([["a", "bb"], ["ccc", "d"]])
    assert capsys.readouterr().out == "a    bb\nccc  d\n"


def test_memory_is_at_most_all_of_it():
    found = doctor.memory_bytes()
    assert found is None or 0 < found[0] <= found[1]


def test_the_largest_stable_audio_3_is_not_offered(arctone):
    done = arctone("models", "pull", "stable-audio-3-large")
    assert done.code == 2
    assert "stable-audio-3-large is not among the models that can be fetched" in done.stderr


def test_the_terms_of_both_owners_are_shown(arctone):
    printed = arctone("models", "licence", "stable-audio-3-small-music").out
    assert "Stability AI Community License" in printed
    assert "google/t5gemma-b-b-ul2, Gemma Terms of Use" in printed
