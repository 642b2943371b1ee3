"""`arctone pick`: rounds of files, their state, and its replay."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from arctone.audio.tags import read_metadata


@pytest.fixture
def pick(arctone, tiny_model_folder):
    def call(command, *words):
        model = ("-m", tiny_model_folder, "-d", "0.3", "-n", 2, "-s", 5) if command == "begin" else ()
        return arctone("pick", command, *words, *model)

    return call


def test_rounds_come_nearer_and_can_be_replayed(pick, arctone):
    done = pick("begin", "rain", "-o", "rain")
    assert (done.code, done.out) == (0, "rain/round-1-1.wav\nrain/round-1-2.wav\n")
    report = json.loads(pick("next", "rain", "--keep", "2", "--json").out)
    assert report["files"] == ["rain/round-2-1.wav", "rain/round-2-2.wav"]
    assert report["picks"]["rounds"][0]["kept"] == [2]
    assert [take["seed"] for take in report["picks"]["rounds"][1]["takes"]] == [7, 8]
    record = read_metadata("rain/round-2-1.wav")
    assert record["request"]["near"].startswith("6:")
    assert pick("replay", "rain/picks.json", "-o", "again").code == 0
    names = ["picks.json", "round-1-1.wav", "round-1-2.wav", "round-2-1.wav", "round-2-2.wav"]
    assert sorted(path.name for path in Path("again").iterdir()) == names
    for name in names:
        assert (Path("rain") / name).read_bytes() == (Path("again") / name).read_bytes()
    model = report["picks"]["model"]
    assert arctone("redo", "rain/round-2-1.wav", "-o", "redone.wav", "-m", model).code == 0
    assert np.array_equal(soundfile.read("redone.wav")[0], soundfile.read("rain/round-2-1.wav")[0])


def test_keeping_none_draws_other_takes(pick):
    pick("begin", "rain", "-o", "rain")
    report = json.loads(pick("next", "rain", "--keep", "none", "--json").out)
    assert report["picks"]["rounds"][0]["kept"] == []
    assert [take["near"] for take in report["picks"]["rounds"][1]["takes"]] == [None, None]


@pytest.mark.parametrize(("words", "sentence"), [
    (("next", "rain", "--keep", "3"), "error: keep must be numbers of takes from 1 to 2, got 3.\n"),
    (("next", "rain", "--keep", "two"), "error: keep must be numbers of takes such as "),
    (("begin", "rain", "-o", "rain"), "error: rain already exists and is not an empty folder; "),
    (("next", "nowhere", "--keep", "1"), "error: nowhere/picks.json does not exist.\n"),
])  # fmt: skip
def test_what_cannot_be_is_said_and_nothing_changes(pick, words, sentence):
    pick("begin", "rain", "-o", "rain")
    before = {path: path.read_bytes() for path in Path("rain").iterdir()}
    done = pick(*words)
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
    assert done.code != 0
    assert {path: path.read_bytes() for path in Path("rain").iterdir()} == before
