"""Files at the rate, with the channels, bits and edges that were asked for."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest
import soundfile

from arctone.audio.delivery import Delivery, as_zip, trimmed
from arctone.audio.waveform import Waveform
from arctone.errors import UsageError

RATE = 44_100


def burst(seconds: float = 0.5, silence: float = 0.25) -> Waveform:
    """A tone of 0.5 with silence before and after it, louder on the left."""
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)
    padded = np.pad(tone, round(silence * RATE))
    return Waveform(np.stack([padded, padded / 2]).astype(np.float32), RATE)


def written(delivery: Delivery, format: str = "wav", record: dict[str, Any] | None = None) -> soundfile.SoundFile:
    return soundfile.SoundFile(io.BytesIO(delivery.encode(burst(), format, record or {"request": {"prompt": "x"}})))


@pytest.mark.parametrize(
    ("delivery", "rate", "channels", "subtype"),
    [
        (Delivery(), RATE, 2, "PCM_16"),
        (Delivery(sample_rate=48_000, bit_depth=24), 48_000, 2, "PCM_24"),
        (Delivery(sample_rate=22_050, channels="mono", bit_depth=32), 22_050, 1, "FLOAT"),
    ],
)
def test_a_file_has_the_rate_channels_and_bits(delivery: Delivery, rate: int, channels: int, subtype: str) -> None:
    with written(delivery) as file:
        assert (file.samplerate, file.channels, file.subtype) == (rate, channels, subtype)
        assert file.frames == pytest.approx(rate, abs=2)
        level = np.abs(file.read(always_2d=True)[:, 0]).max()
    assert level == pytest.approx(0.375 if channels == 1 else 0.5, abs=0.01)


def test_silence_is_cut_off_both_ends_with_fades_and_the_sound_stays() -> None:
    sound = trimmed(burst())
    assert sound.duration_seconds == pytest.approx(0.51, abs=0.002)
    assert abs(sound.samples[:, 0]).max() < 1e-6
    middle = slice(RATE // 10, RATE // 5)
    assert abs(sound.samples[0, middle]).max() == pytest.approx(0.5, abs=0.001)


def test_a_loop_and_silence_keep_their_length() -> None:
    loop = {"request": {"prompt": "x", "loop": True, "bpm": 120}}
    with written(Delivery(trim=True), record=loop) as file:
        assert file.frames == burst().num_samples
    silence = Waveform(np.zeros((2, 100), np.float32), RATE)
    assert trimmed(silence).num_samples == 100


def test_without_metadata_a_file_says_nothing_of_its_request() -> None:
    record = {"request": {"prompt": "a secret prompt"}}
    assert b"secret" in Delivery().encode(burst(), "wav", record)
    assert b"secret" not in Delivery(metadata=False).encode(burst(), "wav", record)


@pytest.mark.parametrize(
    ("values", "format", "message"),
    [
        ({"sample_rate": 100}, "wav", "sample_rate must be a whole number from 4000 to 384000 Hz, got 100."),
        ({"channels": "quad"}, "wav", "channels must be one of mono, stereo, got 'quad'."),
        ({"bit_depth": 12}, "wav", "bit_depth must be one of 16, 24, 32, got 12."),
        ({"bit_depth": 32}, "flac", "bit_depth must be 16 or 24 in a flac file, got 32."),
        ({"bit_depth": 16}, "mp3", "bit_depth must be left out for mp3, which is lossy, got 16."),
        ({"sample_rate": 44_100}, "opus", "sample_rate must be 48000 in an opus file, got 44100."),
        ({"sample_rate": 96_000}, "mp3", "sample_rate must be at most 48000 in an mp3 file, got 96000."),
    ],
)
def test_what_a_format_cannot_hold_is_refused_by_name(values: dict[str, Any], format: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        Delivery(**values).check(format)
    assert str(refused.value) == message
    assert refused.value.field in values


def test_a_zip_holds_the_files_and_is_repeatable() -> None:
    files = {"a.wav": b"one", "b.wav": b"two"}
    assert as_zip(files) == as_zip(files)
    with zipfile.ZipFile(io.BytesIO(as_zip(files))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files
