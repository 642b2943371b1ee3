"""File names: from prompts, patterns and folders, checked before the work."""

from pathlib import Path

import pytest

from arctone.cli.targets import slug, targets, with_word
from arctone.errors import UsageError
from arctone.inference.request import GenerationRequest


def request(**fields: object) -> GenerationRequest:
    return GenerationRequest(**{"prompt": "Rain, on tin!", "seed": 5, **fields})


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("Funky drum loop, 120 BPM", "funky-drum-loop-120-bpm"),
        ("../../etc/passwd", "etc-passwd"),
        ("!!!", "sound"),
        ("Größe", "größe"),
        ("x" * 300, "sound"),
        ("one two three four five six seven eight nine ten", "one-two-three-four-five-six-seven-eight"),
    ],
)
def test_slugs(prompt, name):
    assert slug(prompt) == name


def test_standard_output_needs_no_path():
    assert targets("-", request(), None, force=False) == []


def test_patterns_are_filled(tmp_path):
    found = targets(f"{tmp_path}/a{{n}}-{{seed}}.wav", request(variations=2), None, force=False)
    assert [path.name for path in found] == ["a1-5.wav", "a2-6.wav"]


def test_other_braces_stay(tmp_path):
    assert targets(f"{tmp_path}/{{x}}.wav", request(), None, force=False)[0].name == "{x}.wav"


def test_the_default_name_takes_the_format(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert targets(None, request(), "flac", force=False) == [Path("rain-on-tin-5.flac")]


def test_a_folder_that_does_not_exist_is_said(tmp_path):
    with pytest.raises(UsageError, match=r"the folder .*nowhere does not exist"):
        targets(f"{tmp_path}/nowhere/", request(), None, force=False)


def test_with_word():
    assert with_word(Path("a/take.wav"), "redo") == Path("a/take-redo.wav")


def test_a_diverse_request_checks_every_path_that_it_may_write_to(tmp_path):
    (tmp_path / "a-10.wav").write_bytes(b"precious")
    pattern = f"{tmp_path}/a-{{seed}}.wav"
    assert len(targets(pattern, request(variations=2), None, force=False)) == 2
    with pytest.raises(UsageError, match=r"a-10\.wav already exists"):
        targets(pattern, request(variations=2, diverse=True), None, force=False)
    found = targets(pattern, request(variations=2, diverse=True), None, force=False, seeds=(6, 9))
    assert [path.name for path in found] == ["a-6.wav", "a-9.wav"]
