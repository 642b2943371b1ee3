"""Sounds that phones and browsers record: read through PyAV, within the same limits as all others."""

from __future__ import annotations

import builtins
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from arctone.audio.files import read_audio
from arctone.audio.formats import MAX_CHANNELS, MAX_SAMPLE_RATE, MEDIA_SUFFIXES, SOUND_SUFFIXES, check_shape
from arctone.audio.media import decode_media
from arctone.data.sound import SoundPlace, read_format, read_stretch
from arctone.errors import InputFileError

av = pytest.importorskip("av")
CASES = [("a.m4a", "aac", 44_100, "ipod"), ("a.aac", "aac", 44_100, "adts"), ("a.webm", "libopus", 48_000, "webm")]


def write_media(
    path: Path, codec: str, rate: int, container: str, layout: str = "stereo", seconds: float = 1.0
) -> None:
    """A tone of 440 Hz at 0.3, in another format than libsndfile's."""
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)).astype(np.float32)
    samples = np.ascontiguousarray(np.tile(tone, (2 if layout == "stereo" else 1, 1)))
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
    frame.rate, frame.pts = rate, 0
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        size = stream.codec_context.frame_size or 1024
        cut = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate, frame_size=size)
        for part in [*cut.resample(frame), *cut.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))


@pytest.mark.parametrize(("name", "codec", "rate", "container"), CASES)
def test_a_phone_recording_is_read_as_the_sound_it_is(
    tmp_path: Path, name: str, codec: str, rate: int, container: str
) -> None:
    path = tmp_path / name
    write_media(path, codec, rate, container)
    waveform = read_audio(path)
    assert (waveform.sample_rate, waveform.num_channels) == (rate, 2)
    assert waveform.duration_seconds == pytest.approx(1.0, abs=0.06)
    middle = waveform.samples[0, rate // 4 : rate // 4 * 3]
    assert np.abs(np.fft.rfft(middle)).argmax() * rate / len(middle) == pytest.approx(440, abs=3)
    assert np.abs(middle).max() == pytest.approx(0.3, abs=0.02)
    place = SoundPlace(path, name)
    found = read_format(place)
    assert found.num_samples == waveform.num_samples
    assert read_stretch(place, 0, found.num_samples).duration_seconds == pytest.approx(1.0, abs=0.06)
    assert decode_media(io.BytesIO(path.read_bytes()), "audio", 600)[0].shape == waveform.samples.shape


def test_what_is_too_long_cut_or_no_sound_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    write_media(path, "aac", 44_100, "ipod", "mono", 3.0)
    with pytest.raises(InputFileError, match=r"a\.m4a is 2\.\d seconds long, but at most 1 are read\.$"):
        read_audio(path, max_seconds=1.0)
    whole = path.read_bytes()
    for data in (whole[:500], whole[:32], whole[:16] + os.urandom(400), b"\x1a\x45\xdf\xa3" + bytes(100)):
        path.write_bytes(data)
        with pytest.raises(InputFileError, match=r"a\.m4a is not a sound file that can be read") as refused:
            read_audio(path)
        assert "\n" not in str(refused.value)


def test_without_pyav_one_sentence_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    find = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name == "av":
            raise ImportError(name="av")
        return find(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputFileError, match=r"a\.m4a needs PyAV to be read, which is not installed: .*pip install"):
        read_audio(path)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((MAX_SAMPLE_RATE + 1, 1, 0, 600.0), "sample rate of 384001 Hz"),
        ((3_999, 1, 0, 600.0), "4000 to 384000 Hz are read"),
        ((44_100, MAX_CHANNELS + 1, 0, 600.0), "has 9 channels, but 1 to 8 are read"),
        ((44_100, 0, 0, 600.0), "has 0 channels"),
        ((44_100, 2, 44_100 * 601, 600.0), "601.0 seconds long, but at most 600"),
        ((192_000, 8, 192_000 * 299, 600.0), "459 million values in 8 channels at 192000 Hz"),
    ],
)
def test_what_a_file_announces_is_bounded_before_it_is_decoded(shape: Any, message: str) -> None:
    with pytest.raises(InputFileError, match=message):
        check_shape("x.flac", *shape)


def test_a_small_file_of_an_absurd_rate_is_refused_undecoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.flac"
    soundfile.write(path, np.zeros((4410, 8)), 655_350, format="FLAC")
    monkeypatch.setattr(soundfile.SoundFile, "read", None)
    with pytest.raises(InputFileError, match="655350 Hz, but 4000 to 384000 Hz are read"):
        read_audio(path)


def test_no_suffix_belongs_to_two_readers() -> None:
    assert not SOUND_SUFFIXES & MEDIA_SUFFIXES


def test_what_points_outside_a_file_ends_it_without_a_word(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each such place was a traceback on stderr, and half a megabyte held 41,000 of them."""
    write_media(tmp_path / "a.caf", "pcm_s16le", 44_100, "caf", seconds=0.1)
    with (tmp_path / "a.caf").open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(b"<" * 5_000)
        file.seek(0)
        samples, _ = decode_media(file, "a", 10.0)

    assert samples.shape == (2, 4_410)
    assert capfd.readouterr().err == ""
