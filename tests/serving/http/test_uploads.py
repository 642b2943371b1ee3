"""Uploads of every format that the command line reads: the same source, the same limits, the same sentences."""

from __future__ import annotations

import gc
import io
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from arctone.audio.files import read_audio
from arctone.audio.formats import format_names
from arctone.errors import InputFileError, TooLongError, install_hint
from arctone.inference.engine import Model
from arctone.inference.source import open_source
from arctone.serving.http.formats import Limits
from arctone.serving.http.uploads import read_shape, read_upload
from tests.audio.test_media import CASES, write_media
from tests.serving.http.conftest import Client, error_of, finished, sound_file, upload

M4A_HEAD = b"\0\0\0\x20ftypM4A " + bytes(100)


@pytest.mark.parametrize(("name", "codec", "rate", "container"), CASES)
def test_a_phone_recording_is_the_source_that_the_command_line_opens(
    model: Model, tmp_path: Path, name: str, codec: str, rate: int, container: str
) -> None:
    path = tmp_path / name
    write_media(path, codec, rate, container)
    file = io.BytesIO(path.read_bytes())
    shape = read_shape(file, Limits())
    found = read_upload(file, shape, model.config)
    expected = open_source(read_audio(path), "", model.config)
    assert found.record == expected.record
    assert found.waveform.samples.shape == expected.waveform.samples.shape
    assert np.abs(found.waveform.samples - expected.waveform.samples).max() < 1e-6
    assert shape.num_bytes(model.config) >= found.waveform.samples.nbytes


def test_a_phone_recording_is_edited_and_a_longer_one_refused(serve: Client, tmp_path: Path) -> None:
    client = serve(max_audio_seconds=1.5)
    short, long = tmp_path / "a.webm", tmp_path / "b.webm"
    write_media(short, "libopus", 48_000, "webm")
    write_media(long, "libopus", 48_000, "webm", seconds=2.0)
    accepted = upload(client, short.read_bytes(), init_noise_level=0.5)
    assert accepted.status_code == 202, accepted.text
    assert finished(client, accepted.json())["state"] == "done"
    error_of(upload(client, long.read_bytes(), init_noise_level=0.5), 413, "too_large")


def test_the_length_of_a_track_is_bounded_while_it_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.aac"  # announces no length that could be relied on
    write_media(path, "aac", 44_100, "adts", seconds=3.0)
    with pytest.raises(TooLongError, match=r"audio is .*long.* 1"):
        read_shape(io.BytesIO(path.read_bytes()), Limits(max_audio_seconds=1.0))


def test_without_pyav_the_answer_names_it(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    error = error_of(upload(client, M4A_HEAD, init_noise_level=0.5), 422, "invalid_audio")
    assert "PyAV" in error["message"]
    assert install_hint("media") in error["message"]


@pytest.mark.parametrize("format", ["AU", "W64", "CAF"])
def test_upload_and_command_line_read_the_same_formats(tmp_path: Path, format: str) -> None:
    """What libsndfile could read besides the formats that are listed is refused by both, or read by both."""
    data = sound_file(0.5, format=format)
    path = tmp_path / "sound"
    path.write_bytes(data)
    if format == "CAF":
        assert read_audio(path).num_samples == read_shape(io.BytesIO(data), Limits()).num_samples == 22_050
        return
    with pytest.raises(InputFileError, match=format_names()):
        read_audio(path)
    with pytest.raises(InputFileError, match=format_names()):
        read_shape(io.BytesIO(data), Limits())


@pytest.mark.parametrize(("rate", "channels", "seconds"), [(655_350, 8, 0.1), (3_999, 1, 0.5), (384_000, 8, 40.0)])
def test_upload_and_command_line_have_the_same_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int, channels: int, seconds: float
) -> None:
    path = tmp_path / "x.flac"
    with soundfile.SoundFile(path, "w", rate, channels, format="FLAC") as file:
        for _ in range(round(seconds * 10)):
            file.write(np.zeros((rate // 10, channels), np.int16))
    monkeypatch.setattr(soundfile.SoundFile, "read", None)
    with pytest.raises(InputFileError) as by_path:
        read_audio(path)
    with pytest.raises(InputFileError) as by_upload:
        read_shape(io.BytesIO(path.read_bytes()), Limits())
    assert str(by_path.value).removeprefix(str(path)) == str(by_upload.value).removeprefix("audio")


def test_no_samples_stay_after_a_job(serve: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve()
    kept: list[weakref.ref[np.ndarray]] = []

    def remembered(*arguments: Any) -> Any:
        source = read_upload(*arguments)
        kept.append(weakref.ref(source.waveform.samples))
        return source

    monkeypatch.setattr("arctone.serving.http.service.read_upload", remembered)
    finished(client, upload(client, sound_file(1.0), init_noise_level=0.5).json())
    client.get("/health")  # the worker has taken its next step: it waits for a job
    gc.collect()
    assert len(kept) == 1
    assert kept[0]() is None
