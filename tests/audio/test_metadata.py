"""A file tells how it was made, in every format, for every prompt, and that a machine made it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from arctone.audio.files import FORMATS, encode_audio, write_audio
from arctone.audio.tags import MARK, MAX_RECORD_BYTES, read_metadata
from arctone.audio.waveform import Waveform
from arctone.errors import InputFileError, UsageError
from arctone.inference.request import GenerationRequest, from_metadata, to_metadata

SOUND = Waveform(np.sin(np.arange(4410) / 10)[None].astype(np.float32) * 0.5, 44_100)
PROMPTS = {
    "plain": "rain on a tin roof",
    "quotes": "say \"hello\" 'there' \\ and \\n not a line",
    "lines": "first line\nsecond line\r\n\ttabbed",
    "accents": "Gitarre über café, naïve Ñandú",
    "scripts": "雨が降る привет עברית 안녕",
    "emoji": "🎵 drums 👩‍👩‍👧 🏳️‍🌈",
    "long emoji": ("🎵é\n\"'" * 400)[:2000],
    "markup": "<b>&amp;</b> \u2028 {json: [1]}",
}


def record(prompt: str, **fields: Any) -> dict[str, Any]:
    request = GenerationRequest(prompt=prompt, seed=2**63 - 1, steps=8, duration_seconds=1.5, **fields)
    return to_metadata(request, model_name="spark", model_hash="0123abcd", engine="native")


@pytest.mark.parametrize("format", list(FORMATS))
@pytest.mark.parametrize("name", list(PROMPTS))
def test_every_prompt_survives_every_format(tmp_path: Path, format: str, name: str) -> None:
    written = record(PROMPTS[name], negative_prompt=PROMPTS[name][::-1])
    write_audio(tmp_path / f"a.{format}", SOUND, metadata=written)
    read = read_metadata(tmp_path / f"a.{format}")
    assert read == {"mark": MARK, **written}
    assert from_metadata(read).prompt == PROMPTS[name]
    assert from_metadata(read).seed == 2**63 - 1


@settings(max_examples=25, deadline=None)
@given(prompt=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
@pytest.mark.parametrize("format", ["wav", "flac", "mp3"])
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, format: str, prompt: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"any.{format}"
    write_audio(path, SOUND, metadata=record(prompt), force=True)
    read = read_metadata(path)
    assert read is not None
    assert read["request"]["prompt"] == prompt


@pytest.mark.parametrize("format", list(FORMATS))
def test_the_mark_is_in_plain_sight(format: str) -> None:
    data = encode_audio(SOUND, format, metadata=record("rain"))
    assert data.count(MARK.encode()) >= 2
    assert b"arctone" in data


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3"])
def test_other_programs_see_it(tmp_path: Path, format: str) -> None:
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed")
    path = tmp_path / f"a.{format}"
    write_audio(path, SOUND, metadata=record("rain on tin"))
    command = ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", str(path)]
    shown = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    tags = {k.lower(): v for part in (shown["format"], *shown["streams"]) for k, v in part.get("tags", {}).items()}
    assert MARK in tags["artist"]
    assert tags["title"] == "rain on tin"
    assert json.loads(tags["comment"])["mark"] == MARK


@pytest.mark.parametrize("format", list(FORMATS))
def test_sound_is_the_same_with_and_without(tmp_path: Path, format: str) -> None:
    write_audio(tmp_path / f"with.{format}", SOUND, metadata=record(PROMPTS["long emoji"]))
    write_audio(tmp_path / f"without.{format}", SOUND)
    with_tags, _ = soundfile.read(tmp_path / f"with.{format}")
    without_tags, _ = soundfile.read(tmp_path / f"without.{format}")
    np.testing.assert_array_equal(with_tags, without_tags)
    assert read_metadata(tmp_path / f"without.{format}") is None


def test_foreign_comments_are_no_record(tmp_path: Path) -> None:
    for number, comment in enumerate(["made by hand", "[1, 2]", '{"mark": "other"}', "3"]):
        path = tmp_path / f"{number}.flac"
        with soundfile.SoundFile(path, "w", 44_100, 1) as file:
            file.comment = comment
            file.write(SOUND.samples.T)
        assert read_metadata(path) is None


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    for path in (tmp_path / "text.wav", tmp_path / "none.wav", tmp_path):
        with pytest.raises(InputFileError, match=r"\.$"):
            read_metadata(path)


def test_numbers_that_json_does_not_know_are_refused() -> None:
    with pytest.raises(ValueError, match="Out of range float values are not JSON"):
        encode_audio(SOUND, "wav", metadata={"value": float("nan")})


@pytest.mark.parametrize("format", list(FORMATS))
def test_the_longest_record_survives_and_longer_ones_are_refused(tmp_path: Path, format: str) -> None:
    room = MAX_RECORD_BYTES - len(json.dumps({"mark": MARK, "a": ""}))
    path = tmp_path / f"a.{format}"
    write_audio(path, SOUND, metadata={"a": "x" * room})
    assert read_metadata(path) == {"mark": MARK, "a": "x" * room}
    with pytest.raises(UsageError, match="metadata must fit 50000 bytes as JSON, got 50001"):
        encode_audio(SOUND, format, metadata={"a": "x" * (room + 1)})
