"""A take made again: the same bytes with the same model, a warning with another."""

import json
import shutil
from pathlib import Path

import numpy as np
import soundfile

from arctone.audio.files import read_audio, write_audio
from arctone.audio.tags import read_metadata
from arctone.model_folder.folder import write_hashes


def test_the_same_model_gives_the_same_bytes(arctone, generate, tiny_model_folder):
    generate("rain on tin", "-s", 11, "--steps", 3, "--bpm", 120, "-o", "take.wav")
    done = arctone("redo", "take.wav", "-m", tiny_model_folder)
    assert (done.code, done.out) == (0, "take-redo.wav\n")
    assert "warning" not in done.stderr
    assert Path("take.wav").read_bytes() == Path("take-redo.wav").read_bytes()


def test_one_of_several_variations_is_made_again_alone(arctone, generate, tiny_model_folder):
    generate("rain", "-s", 11, "-n", 3, "-o", "take-{n}.wav")
    arctone("redo", "take-2.wav", "-o", "again.wav", "-m", tiny_model_folder)
    assert Path("again.wav").read_bytes() == Path("take-2.wav").read_bytes()


def test_a_lossy_take_gives_the_samples_before_the_loss(arctone, generate, tiny_model_folder):
    generate("rain", "-s", 11, "-o", "take.mp3")
    generate("rain", "-s", 11, "-o", "take.wav")
    arctone("redo", "take.mp3", "-o", "again.wav", "-m", tiny_model_folder)
    assert np.array_equal(soundfile.read("again.wav")[0], soundfile.read("take.wav")[0])


def test_another_model_brings_a_warning(arctone, generate, tiny_model_folder):
    generate("rain", "-s", 11, "-o", "take.wav")
    shutil.copytree(tiny_model_folder, "other")
    Path("other/card.md").write_text("another card, another hash")
    write_hashes(Path("other"))
    done = arctone("redo", "take.wav", "-o", "again.wav", "-m", "other", "--json")
    assert done.code == 0
    assert "warning: the take was made by another model" in done.stderr
    assert "another model" in json.loads(done.out)["differences"][0]


def test_a_take_of_another_version_brings_a_warning(arctone, generate, tiny_model_folder):
    generate("rain", "-s", 11, "-o", "take.wav")
    record = {**read_metadata("take.wav"), "version": "0.0.1"}
    write_audio("old.wav", read_audio("take.wav"), metadata=record)
    done = arctone("redo", "old.wav", "-m", tiny_model_folder)
    assert "warning: the take was made by arctone 0.0.1" in done.stderr


def test_a_changed_take_is_noticed(arctone, generate, tiny_model_folder):
    generate("rain", "-s", 11, "-o", "take.wav")
    take = read_audio("take.wav")
    write_audio("cut.wav", take.with_samples(take.samples[:, ::-1]), metadata=read_metadata("take.wav"))
    assert "warning: the new file differs" in arctone("redo", "cut.wav", "-m", tiny_model_folder).stderr


def test_a_model_that_is_not_at_hand(arctone, generate):
    generate("rain", "-s", 11, "-o", "take.wav")
    done = arctone("redo", "take.wav")
    assert done.code == 4
    assert (
        done.stderr
        == "error: take.wav was made by the model 'tiny', which is not bundled; give its folder with --model.\n"
    )


def test_a_record_with_impossible_values(arctone, generate, tiny_model_folder):
    generate("rain", "-s", 11, "-o", "take.wav")
    record = read_metadata("take.wav")
    record["request"]["steps"] = 0
    write_audio("bad.wav", read_audio("take.wav"), metadata=record)
    done = arctone("redo", "bad.wav", "-m", tiny_model_folder)
    assert done.code == 3
    assert "steps" in done.stderr
    assert not Path("bad-redo.wav").exists()


def test_a_take_is_not_replaced_by_accident(arctone, generate, tiny_model_folder):
    generate("rain", "-s", 11, "-o", "take.wav")
    before = Path("take.wav").read_bytes()
    assert arctone("redo", "take.wav", "-o", "take.wav", "-m", tiny_model_folder).code == 2
    assert Path("take.wav").read_bytes() == before
