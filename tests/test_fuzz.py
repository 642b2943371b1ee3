"""No input makes a reader raise what nobody listed, hang, or answer in more than one line; see tests/fuzz.py."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz import _published, answer, mutated, readers, run, torch_readers

READERS = {f"{number}-{reader.name}": reader for number, reader in enumerate([*readers(), *torch_readers()])}
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
