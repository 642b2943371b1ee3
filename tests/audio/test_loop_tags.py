"""Loop points and tempo in the places that each format has for them, read back by another program's library."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import soundfile

from arctone.audio.files import encode_audio
from arctone.audio.formats import with_serial
from arctone.audio.tags import with_comments
from arctone.audio.waveform import Waveform

av = pytest.importorskip("av")
SOUND = Waveform((0.1 * np.random.default_rng(0).standard_normal((2, 44_100))).astype(np.float32), 44_100)


def record(**request: Any) -> dict[str, Any]:
    return {"version": "0.1.0", "request": {"prompt": "funky drums", **request}}


def tags_of(data: bytes) -> dict[str, str]:
    """Tags of a file by their names in capitals."""
    with av.open(io.BytesIO(data)) as file:
        return {name.upper(): text for name, text in {**file.metadata, **file.streams.audio[0].metadata}.items()}


@pytest.mark.parametrize(("format", "length"), [("flac", 44_100), ("ogg", 44_100), ("opus", 48_000)])
def test_a_loop_names_its_points_and_its_tempo(format: str, length: int) -> None:
    data = encode_audio(SOUND, format, metadata=record(loop=True, bpm=122.5))
    found = tags_of(data)
    assert (found["LOOPSTART"], found["LOOPLENGTH"], found["BPM"]) == ("0", str(length), "122.5")
    assert found["TITLE"] == "funky drums"
    assert soundfile.info(io.BytesIO(data)).frames == length


def test_an_mp3_names_its_tempo(tmp_path: Any) -> None:
    data = encode_audio(SOUND, "mp3", metadata=record(loop=True, bpm=122.5))
    found = tags_of(data)
    assert found["TBPM"] == "122"
    assert found["TITLE"] == "funky drums"
    assert not any(name.startswith("LOOP") for name in found)


@pytest.mark.parametrize("format", ["flac", "ogg", "opus", "mp3"])
def test_what_has_neither_loop_nor_tempo_says_nothing_of_them(format: str) -> None:
    plain = tags_of(encode_audio(SOUND, format, metadata=record(bpm=None)))
    assert not {"LOOPSTART", "LOOPLENGTH", "BPM", "TBPM"} & set(plain)


@pytest.mark.parametrize("format", ["flac", "ogg", "opus", "mp3"])
def test_tags_change_no_sample(format: str) -> None:
    plain, tagged = (encode_audio(SOUND, format, metadata=record(bpm=bpm, loop=True)) for bpm in (None, 90))
    one, two = (soundfile.read(io.BytesIO(data))[0] for data in (plain, tagged))
    assert np.array_equal(one, two)
    assert tagged == encode_audio(SOUND, format, metadata=record(bpm=90, loop=True))


@pytest.mark.parametrize("format", ["flac", "ogg", "opus"])
def test_comments_longer_than_a_page_stay_whole(format: str) -> None:
    data = with_comments(encode_audio(SOUND, format, metadata=record()), {"LONG": "x" * 200_000, "END": "1"})
    data = with_serial(data, 1) if data[:4] == b"OggS" else data
    found = tags_of(data)
    assert (found["LONG"], found["END"], found["TITLE"]) == ("x" * 200_000, "1", "funky drums")
    assert soundfile.read(io.BytesIO(data))[0].shape[1] == 2


def test_opus_of_stereo_noise_has_about_160_kbit_a_second() -> None:
    assert len(encode_audio(SOUND, "opus")) * 8 == pytest.approx(160_000, rel=0.1)
