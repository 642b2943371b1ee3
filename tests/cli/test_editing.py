"""Editing and batches from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from arctone.audio.tags import read_metadata

RATE = 44_100


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "hum.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, (RATE // 2, 2)), RATE, subtype="PCM_16")
    return path


def read(path):
    return soundfile.read(path, dtype="float32")[0]


def test_noise_level_0_writes_the_source_again(generate, source):
    assert generate("x", "--init-audio", source, "--init-noise-level", 0, "-o", "same.wav").code == 0
    assert np.array_equal(read("same.wav"), read(source))


def test_an_inpainted_file_is_the_source_outside_the_regions(generate, source):
    done = generate(
        "x", "--inpaint-audio", source, "--inpaint", "0.1:0.2", "--inpaint-range", "0.3:0.35", "-o", "e.wav"
    )
    assert done.code == 0
    changed = np.flatnonzero(np.any(read("e.wav") != read(source), axis=1))
    assert changed.min() >= 0.1 * RATE
    assert changed.max() < 0.35 * RATE
    assert not np.any((changed >= 0.2 * RATE) & (changed < 0.3 * RATE))
    assert read_metadata("e.wav")["request"]["inpaint"] == ["0.1:0.2", "0.3:0.35"]
    assert read_metadata("e.wav")["source"]["name"] == "hum.wav"


def test_a_continued_file_begins_with_the_source(generate, source):
    assert generate("x", "--continue", source, "-d", 1, "-o", "longer.flac").code == 0
    assert len(read("longer.flac")) == RATE
    assert np.array_equal(read("longer.flac")[: RATE // 4], read(source)[: RATE // 4])


def test_a_loop_of_bars_needs_no_duration(arctone, tiny_model_folder):
    words = ("x", "-m", tiny_model_folder, "--loop", "--bpm", 240, "--bars", 1, "-o", "loop.wav")
    assert arctone("generate", *words).code == 0
    assert len(read("loop.wav")) == RATE
    assert b"smpl" in Path("loop.wav").read_bytes()


def test_an_edit_is_made_again_from_its_source_and_from_no_other(arctone, generate, source, tiny_model_folder):
    generate("x", "-s", 3, "--init-audio", source, "--init-noise-level", 0.5, "-o", "take.wav")
    soundfile.write("copy.flac", *soundfile.read(source, dtype="int16"))
    done = arctone("redo", "take.wav", "-m", tiny_model_folder, "--source", "copy.flac")
    assert (done.code, "warning" in done.stderr) == (0, False)
    assert Path("take-redo.wav").read_bytes() == Path("take.wav").read_bytes()

    without = arctone("redo", "take.wav", "-m", tiny_model_folder, "-o", "b.wav")
    assert without.stderr == "error: take.wav was edited from another sound, 'hum.wav'; give it with --source FILE.\n"
    assert without.code == 2
    other = arctone("redo", "take.wav", "-m", tiny_model_folder, "-o", "b.wav", "--source", "take.wav")
    assert (other.code, "is not the sound that take.wav was edited from, 'hum.wav'" in other.stderr) == (3, True)
    generate("x", "-o", "plain.wav")
    odd = arctone("redo", "plain.wav", "-m", tiny_model_folder, "--source", source)
    assert (odd.code, "was made from text alone" in odd.stderr) == (2, True)
    assert not Path("b.wav").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--inpaint", "1:2"], "--inpaint needs --inpaint-audio FILE"),
        (["--inpaint-audio", "hum.wav"], "--inpaint-audio needs --inpaint A:B"),
        (["--init-noise-level", "0.5"], "--init-noise-level needs --init-audio FILE"),
        (["--init-audio", "hum.wav", "--continue", "hum.wav"], "--init-audio and --continue cannot be combined"),
        (
            ["--init-audio", "hum.wav", "--init-noise-level", "2"],
            "init_noise_level must be a number from 0 to 1, got 2.0",
        ),
        (["--inpaint-audio", "hum.wav", "--inpaint", "0.4:0.6"], "inpaint region 0.4:0.6 ends after the sound"),
        (["--inpaint-audio", "hum.wav", "--inpaint", "3"], "inpaint must name regions A:B in seconds"),
        (["--loop", "--bars", "2"], "bars needs a tempo"),
        (["--continue", "hum.wav", "-d", "0.3"], "duration_seconds must be more than the source's 0.5 seconds"),
    ],
)
def test_edits_that_make_no_sense(generate, source, words, sentence):
    done = generate("x", *words, "-o", "x.wav")
    assert done.code == 2
    assert done.stderr.startswith("error: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not Path("x.wav").exists()


@pytest.mark.parametrize("option", ["--init-audio", "--continue", "--inpaint-audio"])
@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "text", "constant", "nan"])
def test_sources_that_are_no_sound(generate, bad_sounds, option, kind):
    more = ["--inpaint", "0:0.01"] if option == "--inpaint-audio" else []
    done = generate("x", option, bad_sounds[kind], *more, "-o", "x.wav")
    assert (done.code, done.stderr.count("\n")) == (3, 1)
    assert f"{kind}.wav" in done.stderr
    assert not Path("x.wav").exists()


def test_a_source_that_is_too_long(generate, tmp_path):
    soundfile.write(tmp_path / "long.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 301 * 4000), 4000)
    done = generate("x", "--init-audio", "long.wav", "-o", "x.wav")
    assert done.code == 3
    assert done.stderr == "error: long.wav is 301.0 seconds long, but at most 300 are read.\n"


LINES = """{"prompt": "rain", "seconds": 0.2, "seed": 3}
{"prompt": "bells", "id": "bells", "variations": 2}

{bad
{"prompt": "x", "step": 0}
{"prompt": "organ", "source": "hum.wav", "init_noise_level": 0.5}
{"prompt": "organ", "source": "nowhere.wav"}
{"prompt": "organ", "id": "../up"}
{"prompt": "organ", "id": "bells-1"}
[1]
"""
FILES = {"0001-rain.wav", "bells-1.wav", "bells-2.wav", "0006-organ.wav"}


@pytest.fixture
def batch(generate, source, tmp_path):
    (tmp_path / "prompts.jsonl").write_text(LINES)
    return lambda *words: generate("--batch", "prompts.jsonl", "-o", "out", "--steps", 1, *words)


def made():
    return {path.name: path.read_bytes() for path in Path("out").iterdir()}


def test_a_batch_makes_the_good_lines_and_names_the_bad_ones(batch):
    done = batch()
    assert set(made()) == FILES
    assert done.code == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [error.split(": ", 2)[1] for error in errors] == [f"line {n}" for n in (4, 5, 7, 8, 9, 10)]
    assert "it is not valid JSON: " in errors[0]
    assert "'step' is not a field of a request; did you mean steps?" in errors[1]
    assert "nowhere.wav does not exist." in errors[2]
    assert "id must be a file name without its ending" in errors[3]
    assert "its file bells-1.wav is that of line 2 too" in errors[4]
    assert done.stderr.splitlines()[-1] == "3 made, 0 already there, 6 failed"


def test_lines_overrule_options_and_equal_single_runs(batch, generate):
    batch()
    generate("rain", "-d", 0.2, "-s", 3, "--steps", 1, "-o", "alone.wav")
    assert Path("alone.wav").read_bytes() == Path("out/0001-rain.wav").read_bytes()
    assert len(read("out/bells-1.wav")) == RATE // 2


def test_a_batch_goes_on_where_it_stopped(batch):
    batch()
    before = made()
    Path("out/0006-organ.wav").unlink()
    report = json.loads(batch("--json").out)
    assert (report["made"], report["skipped"]) == ([6], [1, 2])
    assert {name: data for name, data in made().items() if name != "0006-organ.wav"} == {
        name: data for name, data in before.items() if name != "0006-organ.wav"
    }
    assert set(report["failed"]) == {"4", "5", "7", "8", "9", "10"}


def test_a_batch_replaces_nothing_of_other_requests_unless_forced(batch):
    batch()
    before = made()
    report = json.loads(batch("--cfg-scale", 3, "--json").out)
    assert (report["made"], report["skipped"]) == ([], [])
    assert "was not made by this line; it is replaced only with --force" in report["failed"]["1"]
    assert made() == before
    assert json.loads(batch("--cfg-scale", 3, "--json", "--force").out)["made"] == [1, 2, 6]
    assert made() != before


def test_a_batch_goes_on_only_in_the_precision_that_it_began_with(batch):
    batch()
    before = made()
    report = json.loads(batch("--precision", "float32", "--json").out)
    assert (report["made"], report["skipped"]) == ([], [])
    assert "was made with precision auto, not float32; it is replaced only with --force" in report["failed"]["1"]
    assert made() == before
    assert json.loads(batch("--precision", "float32", "--json", "--force").out)["made"] == [1, 2, 6]
    assert json.loads(batch("--precision", "float32", "--json").out)["skipped"] == [1, 2, 6]
    assert "not auto" in json.loads(batch("--json").out)["failed"]["1"]


def test_an_interrupted_batch_leaves_whole_files_only(batch, monkeypatch):
    from arctone.serving import batch as module

    write, count = module.write_audio, 0

    def interrupted(*arguments, **options):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        write(*arguments, **options)

    monkeypatch.setattr(module, "write_audio", interrupted)
    assert batch().code == 130
    assert set(made()) == {"0001-rain.wav", "bells-1.wav"}
    monkeypatch.setattr(module, "write_audio", write)
    report = json.loads(batch("--json").out)
    assert (report["made"], report["skipped"]) == ([2, 6], [1])


@pytest.mark.parametrize(
    ("words", "sentence", "code"),
    [
        (["rain", "--batch", "prompts.jsonl"], "--batch takes prompts and sources from its lines", 2),
        (["--batch", "none.jsonl"], "none.jsonl does not exist", 3),
        (["--batch", "prompts.jsonl", "-o", "-"], "-o must be a folder", 2),
        (["--batch", "prompts.jsonl", "-o", "hum.wav"], "hum.wav cannot be the folder of a batch", 2),
        (["--batch", "prompts.jsonl", "--format", "aac"], "format must be one of", 2),
        (["--steps", "2"], "prompt is missing", 2),
    ],
)
def test_batches_that_cannot_begin(generate, source, tmp_path, words, sentence, code):
    (tmp_path / "prompts.jsonl").write_text(LINES)
    done = generate(*words)
    assert done.code == code
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
