"""No input makes a reader raise what nobody listed, hang, or answer in more than one line; see tests/fuzz.py."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from arctone.audio.waveform import Waveform
from tests.fuzz import _published, answer, mutated, readers, run, torch_readers
from tests.fuzz_programs import program_readers, recording

ALL = [*readers(), *torch_readers(), *program_readers()]
READERS = {f"{number}-{reader.name}": reader for number, reader in enumerate(ALL)}
NUM_INPUTS = 40
# Inputs that an earlier version failed at.
FOUND = {
    "deep comment": ("comment.txt", b"[" * 100_000),
    "deep object": ("record.json", b'{"a":' * 100_000),
    "long header": ("m.csv", b"path,caption\n".replace(b"caption", b"," * 200_000)),
    "long cell": ("m.csv", b'path,"' + b"x" * 200_000 + b'"\na.wav,b\n'),
    "long name in a map": ("weights_map.json", b'{"a": {"file": "' + b"2" * 5000 + b'"}}'),
    "type of many digits": (
        "weights_map.json",
        b'{"a": {"file": "text.tflite", "dtype": "' + b"2" * 5000 + b'", '
        b'"graph_shape": [1], "offset": 0, "shape": [1], "transposed": false}}',
    ),
    "header of two lines": ("m.csv", b'"pa\nth",caption\na.wav,rain\n'),
    "huge number": (
        "model_config.json",
        _published().replace(b'"sample_rate": 44100', b'"sample_rate": 1' + b"0" * 400),
    ),
    "option that steers the terminal": ("words.json", b'["info", "--\\u001b[2J"]'),
    "name of many digits": ("words.json", b'["info", 1' + b"0" * 400 + b"]"),
    "length of many digits": ("estimate.json", b'{"request": {"prompt": "x"}, "source_seconds": 1' + b"0" * 400 + b"}"),
    "unknown codec": (
        "r.m4a",
        recording(Waveform(np.zeros((2, 4410), np.float32), 44_100), "aac", 44_100, "ipod").replace(b"stsd", b"xtsd"),
    ),
    "many chunks": ("a.wav", b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * 200_000),
}


@pytest.mark.parametrize("name", READERS)
def test_damaged_input_is_read_or_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    draws = random.Random(name)
    for _ in range(NUM_INPUTS):
        run(READERS[name], draws, tmp_path)


@pytest.mark.parametrize("found", FOUND)
def test_inputs_that_were_found_stay_mended(found: str, tmp_path: Path) -> None:
    name, data = FOUND[found]
    reader = next(each for each in READERS.values() if each.name == name)

    answer(reader, tmp_path / name, data)


def test_mutations_are_repeatable_and_change_something() -> None:
    data = b'{"a": [1, 2, {"b": "c"}]}'
    first, second = ([mutated(data, random.Random(seed)) for seed in range(30)] for _ in range(2))
    assert first == second
    assert sum(each != data for each in first) > 25
