"""Loops: lengths, turns, and what samplers and sequencers read in the file."""

import io
import struct

import numpy as np
import pytest
import soundfile

from arctone.audio import tags as riff
from arctone.audio.files import encode_audio
from arctone.audio.loops import bars_seconds, num_beats, rotated, rotation
from arctone.audio.waveform import Waveform

SOUND = Waveform(np.random.default_rng(0).uniform(-0.5, 0.5, (2, 44_100)).astype(np.float32), 44_100)


@pytest.mark.parametrize(("bars", "bpm", "seconds"), [(4, 120, 8), (1, 60, 4), (2, 128, 3.75), (3, 90, 8)])
def test_bars_last_as_long_as_their_beats(bars: int, bpm: float, seconds: float) -> None:
    assert bars_seconds(bars, bpm) == pytest.approx(seconds, abs=1e-12)
    assert num_beats(seconds, bpm) == 4 * bars


@pytest.mark.parametrize(("bars", "turned_beats"), [(1, 2), (2, 4), (3, 8), (4, 8)])
def test_a_loop_is_turned_by_whole_beats(bars: int, turned_beats: int) -> None:
    num_samples = round(bars_seconds(bars, 120) * 44_100)
    assert rotation(num_samples, 44_100, 120) == turned_beats * 22_050


def test_a_loop_without_tempo_is_turned_by_half() -> None:
    assert rotation(1001, 44_100, None) == 500
    assert rotation(1000, 44_100, 20) == 500  # shorter than a beat


def test_turning_back_gives_the_sound() -> None:
    samples = SOUND.samples
    turned = rotated(samples, 300)
    assert np.array_equal(turned[:, 0], samples[:, 300])
    assert np.array_equal(rotated(turned, -300), samples)


def chunks(data: bytes) -> dict[bytes, bytes]:
    return {name: data[at : at + size] for name, at, size in riff.chunks(io.BytesIO(data))}


def test_a_loop_file_holds_loop_points_tempo_and_beats() -> None:
    record = {"request": {"prompt": "x", "loop": True, "bpm": 240.0}}
    data = encode_audio(SOUND, "wav", metadata=record)
    found = chunks(data)
    sampler = struct.unpack("<15I", found[b"smpl"])
    assert sampler[2] == round(1e9 / 44_100)
    assert (sampler[3], sampler[7]) == (60, 1)  # middle C, one loop
    assert sampler[10:] == (0, 0, 44_099, 0, 0)  # forward, first sample to last, fraction, for ever
    flags, note, _, _, beats, denominator, numerator, tempo = struct.unpack("<IHHfIHHf", found[b"acid"])
    assert (flags, note, beats, denominator, numerator, tempo) == (4, 60, 4, 4, 4, 240.0)
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8
    read, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate == 44_100
    assert np.abs(read.T - SOUND.samples).max() < 2**-15
    assert data == encode_audio(SOUND, "wav", metadata=record)


def test_without_tempo_there_are_loop_points_only() -> None:
    found = chunks(encode_audio(SOUND, "wav", metadata={"request": {"loop": True, "bpm": None}}))
    assert b"smpl" in found
    assert b"acid" not in found


@pytest.mark.parametrize("record", [None, {"prompt": "x"}, {"request": {"loop": False}}, {"request": "odd"}])
def test_other_files_hold_neither(record: dict[str, object] | None) -> None:
    assert not {b"smpl", b"acid"} & chunks(encode_audio(SOUND, "wav", metadata=record)).keys()


def test_an_odd_length_is_padded_as_riff_wants() -> None:
    mono = Waveform(SOUND.samples[:1, :3], 44_100)
    data = encode_audio(mono, "wav", subtype="pcm24", metadata={"request": {"loop": True}})
    assert chunks(data)[b"smpl"][44:52] == struct.pack("<II", 0, 2)
    assert soundfile.read(io.BytesIO(data))[0].shape == (3,)
