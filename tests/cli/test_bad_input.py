"""Bad input: one clear sentence on stderr, the right exit code, and nothing half-written."""

import os
import shutil
from pathlib import Path

import pytest

from arctone.model_folder.folder import write_hashes


def left_behind() -> list[str]:
    return sorted(path.name for path in Path().rglob("*.wav")) + [path.name for path in Path().rglob("*.part")]


def assert_refused(done, code, *words):
    """One sentence: it starts with 'error:', is one line, and holds the words."""
    assert done.code == code, done.stderr
    assert done.stdout == b""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("prompt", ["", "   ", "\n\t"])
def test_empty_prompts(generate, prompt):
    assert_refused(generate(prompt, "-o", "x.wav"), 2, "prompt")
    assert left_behind() == []


def test_an_empty_standard_input(generate):
    assert_refused(generate("-", "-o", "x.wav", stdin=b"\n"), 2, "prompt", "empty")


def test_a_prompt_of_100_000_characters(generate):
    assert_refused(generate("x" * 100_000, "-o", "x.wav"), 2, "prompt", "2000 characters", "100000")
    assert_refused(generate("-", "-o", "x.wav", stdin=b"x" * 100_000), 2, "prompt", "2000 characters")
    assert left_behind() == []


def test_a_prompt_that_is_not_utf_8(generate):
    assert_refused(generate("-", "-o", "x.wav", stdin=b"\xff\xfe rain"), 2, "UTF-8")


@pytest.mark.parametrize("duration", ["0", "-1", "nan", "inf", "-inf", "abc", "1e400", "", "0x10"])
def test_durations_that_are_none(generate, duration):
    assert_refused(
        generate("rain", "-d", duration, "-o", "x.wav"), 2, "duration_seconds", "above 0 and at most 300 seconds"
    )
    assert left_behind() == []


@pytest.mark.parametrize("duration", ["300.1", "1e9"])
def test_durations_beyond_the_limit_are_refused_not_clamped(generate, duration):
    assert_refused(generate("rain", "-d", duration, "-o", "x.wav"), 2, "at most 300 seconds")
    assert left_behind() == []


@pytest.mark.parametrize(
    ("flag", "value", "allowed"),
    [
        ("--steps", "0", "from 1 to 200"),
        ("--steps", "2.5", "from 1 to 200"),
        ("--steps", "many", "from 1 to 200"),
        ("--cfg-scale", "-1", "from 0 to 20"),
        ("--cfg-scale", "nan", "from 0 to 20"),
        ("-n", "0", "from 1 to 64"),
        ("-n", "65", "from 1 to 64"),
        ("-s", "-1", "from 0 to 2**63 - 1"),
        ("-s", "9223372036854775808", "from 0 to 2**63 - 1"),
        ("--bpm", "5", "from 20 to 400"),
        ("--threads", "0", "from 1"),
        ("--sampler", "eulr", "did you mean 'euler'"),
        ("--normalize", "loud", "peak, loudness, off"),
        ("--format", "wma", "wav, flac, ogg"),
    ],
)
def test_options_out_of_range(generate, flag, value, allowed):
    assert_refused(generate("rain", flag, value, "-o", "x.wav"), 2, allowed, value)
    assert left_behind() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["generate", "--steps", "4"], "prompt"),
        (["generate", "rain", "--sedd", "7"], "--seed"),
        (["generate", "rain", "more"], "more"),
        (["generat", "rain"], "generate"),
        (["generate", "rain", "--engine", "onnx"], "onnx"),
    ],
)
def test_misspelt_command_lines_name_the_way_out(arctone, words, said):
    done = arctone(*words)
    assert done.code == 2
    assert said in done.stderr + done.out
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--json", "--play"])
def test_standard_output_carries_one_thing(generate, option):
    assert_refused(generate("rain", "-o", "-", option), 2, option)


def test_standard_output_carries_one_sound(generate):
    assert_refused(generate("rain", "-o", "-", "-n", 2), 2, "variations")


@pytest.mark.parametrize("output", ["nowhere/x.wav", "a-file/x.wav", "x", "x.txt", "a-folder.wav", "/dev/full"])
def test_outputs_that_cannot_be_written(generate, output):
    Path("a-file").touch()
    Path("a-folder.wav").mkdir()
    (Path("a-folder.wav") / "rain-7.wav").mkdir()
    assert_refused(generate("rain", "-s", 7, "-o", output), 2, output)
    assert [path for path in Path().rglob("*") if path.is_file()] == [Path("a-file")]


def test_a_read_only_folder(generate, monkeypatch):
    Path("locked").mkdir()
    # The mode of a folder does not stop root, so the system's answer is made here.
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path) and access(path, mode))
    assert_refused(generate("rain", "-o", "locked/x.wav"), 2, "read-only")


def test_a_disk_that_fills_up_leaves_nothing(generate, monkeypatch):
    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert_refused(generate("rain", "-o", "x.wav"), 2, "no space left on device")
    assert left_behind() == []


@pytest.mark.parametrize("command", ["info", "redo"])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "does not exist"),
        ("empty", ""),
        ("truncated", ""),
        ("text", ""),
        ("nan", ""),
    ],
)
def test_files_that_are_no_sound(arctone, bad_sounds, command, kind, said):
    done = arctone(command, bad_sounds[kind])
    assert_refused(done, 3, f"{kind}.wav", said)
    assert not list(bad_sounds["empty"].parent.glob("*redo*"))


def test_a_constant_is_described_and_called_no_sound(arctone, bad_sounds):
    done = arctone("info", bad_sounds["constant"])
    assert done.code == 3
    assert "duration_seconds" in done.out
    assert (
        done.stderr
        == f"error: {bad_sounds['constant']} holds no sound: every sample of a channel has the same value.\n"
    )
    assert_refused(arctone("redo", bad_sounds["constant"]), 3, "carries no record")


def test_a_name_longer_than_any_system_has(arctone):
    assert_refused(arctone("info", "9" * 5000), 2, "file name too long: 9999")


def test_a_folder_is_no_sound(arctone, tmp_path):
    assert_refused(arctone("redo", tmp_path), 3, "folder")


@pytest.mark.parametrize("command", [["generate", "rain", "-o", "x.wav", "-m"], ["bench", "--repeats", "1", "-m"]])
def test_unknown_models(arctone, command):
    assert_refused(arctone(*command, "sparkk"), 4, "sparkk")
    assert left_behind() == []


def test_a_folder_that_is_no_model(arctone):
    Path("empty").mkdir()
    assert_refused(arctone("generate", "rain", "-o", "x.wav", "-m", "empty"), 4, "config.json")
    assert_refused(arctone("info", "empty"), 4, "config.json")


@pytest.mark.parametrize("name", ["dit.tflite", "text.tflite", "tokenizer.json", "config.json", "hashes.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_damaged_models(arctone, tiny_model_folder, name, damage):
    shutil.copytree(tiny_model_folder, "model")
    file = Path("model") / name
    whole = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"\x00 nonsense")
    if name != "hashes.json":
        assert_refused(arctone("generate", "rain", "-o", "x.wav", "-m", "model"), 4, name)
        write_hashes(Path("model"))  # now the damage has to be found without the hashes
    elif damage == "gone":
        return  # a model in the making has no hashes yet
    assert_refused(arctone("generate", "rain", "-o", "x.wav", "-d", 1, "-m", "model"), 4)
    assert left_behind() == []


def test_memory_that_does_not_suffice(generate, monkeypatch):
    def too_much(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("arctone.inference.backends.litert.LiteRTBackend.decode", too_much)
    assert_refused(generate("rain", "-o", "x.wav"), 5, "memory")
    assert left_behind() == []


def test_the_unexpected_is_one_sentence_too(generate, monkeypatch):
    def broken(*arguments, **options):
        raise ZeroDivisionError("deep inside")

    monkeypatch.setattr("arctone.inference.backends.litert.LiteRTBackend.decode", broken)
    assert_refused(generate("rain", "-o", "x.wav"), 1, "ZeroDivisionError", "ARCTONE_DEBUG=1")
    monkeypatch.setenv("ARCTONE_DEBUG", "1")
    assert "Traceback" in generate("rain", "-o", "x.wav").stderr
