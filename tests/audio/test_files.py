"""Sound files: what comes back, what is refused, and that the same sound is the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from arctone.audio import formats
from arctone.audio import formats as ogg
from arctone.audio.files import FORMATS, encode_audio, read_audio, write_audio
from arctone.audio.waveform import Waveform
from arctone.errors import InputFileError, UsageError

RATE = 44_100


def chord(seconds: float = 0.5, num_channels: int = 2) -> Waveform:
    """Different sines on each channel, faded at the ends so that no codec rings."""
    time = np.arange(round(seconds * RATE)) / RATE
    window = np.sin(np.pi * time / seconds) ** 2
    waves = [0.5 * window * np.sin(2 * np.pi * 330 * (channel + 1) * time) for channel in range(num_channels)]
    return Waveform(np.array(waves, np.float32), RATE)


def snr_db(reference: Waveform, other: Waveform) -> float:
    error = reference.samples.astype(float) - other.samples
    return float(10 * np.log10((reference.samples.astype(float) ** 2).sum() / max((error**2).sum(), 1e-30)))


@pytest.mark.parametrize(
    "ending, subtype, least_snr_db",
    [
        ("wav", "pcm16", 80),
        ("wav", "pcm24", 125),
        ("wav", "float32", 290),
        ("flac", "pcm16", 80),
        ("flac", "pcm24", 125),
        ("ogg", None, 20),
        ("mp3", None, 20),
    ],
)
@pytest.mark.parametrize("num_channels", [1, 2])
def test_round_trip(tmp_path: Path, ending: str, subtype: str | None, least_snr_db: float, num_channels: int) -> None:
    path = tmp_path / f"a.{ending}"
    write_audio(path, chord(num_channels=num_channels), subtype=subtype)
    back = read_audio(path)
    assert back.sample_rate == RATE
    assert back.samples.shape == (num_channels, RATE // 2)
    assert snr_db(chord(num_channels=num_channels), back) > least_snr_db


def test_opus_comes_back_at_its_own_rate(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.opus", chord())
    back = read_audio(tmp_path / "a.opus")
    assert (back.sample_rate, back.samples.shape) == (48_000, (2, 24_000))


def test_ending_and_case(tmp_path: Path) -> None:
    write_audio(tmp_path / "A.WAV", chord())
    write_audio(tmp_path / "raw", chord(), "flac")
    assert soundfile.info(str(tmp_path / "A.WAV")).format == "WAV"
    assert soundfile.info(str(tmp_path / "raw")).format == "FLAC"


def test_16_bit_rounds_to_the_nearest_and_never_wraps(tmp_path: Path) -> None:
    steps = np.array([[0, 0.4, 0.6, -0.4, -0.6, 32767, 32768, 40000, -32768, -32769, 1e30, -1e30]]) / 32768
    write_audio(tmp_path / "a.wav", Waveform(steps, RATE))
    stored, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert stored.tolist() == [0, 0, 1, 0, -1, 32767, 32767, 32767, -32768, -32768, 32767, -32768]


def test_24_bit_never_wraps(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.flac", Waveform(np.array([[0.0, 1.0, 2.0, -1.0, -2.0] * 100]), RATE), subtype="pcm24")
    back = read_audio(tmp_path / "a.flac").samples[0, :5]
    np.testing.assert_allclose(back, [0, 1, 1, -1, -1], atol=2e-7)


def test_float_files_keep_overs(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", Waveform(np.array([[3.5, -2.0]]), RATE), subtype="float32")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav").samples, [[3.5, -2.0]])


@pytest.mark.parametrize("overs", ["ogg", "opus", "mp3"])
def test_lossy_overs_do_not_wrap(tmp_path: Path, overs: str) -> None:
    loud = Waveform(4 * chord(1.0, 1).samples, RATE)
    write_audio(tmp_path / f"a.{overs}", loud)
    back = read_audio(tmp_path / f"a.{overs}").samples[0]
    time = np.arange(back.size) / back.size * loud.num_samples
    expected = np.interp(time, np.arange(loud.num_samples), loud.samples[0])
    assert (back[np.abs(expected) > 0.5] * expected[np.abs(expected) > 0.5] > 0).all()


RECORD = {"prompt": "rain on tin", "version": "1"}


def test_same_sound_same_bytes_in_another_process_and_second() -> None:
    code = (
        "import sys, time, hashlib; time.sleep(float(sys.argv[1])); import numpy as np;"
        "from arctone.audio.files import FORMATS, encode_audio; from arctone.audio.waveform import Waveform;"
        "sound = Waveform((np.sin(np.arange(22050) / 20)[None] * 0.5).astype(np.float32), 44100);"
        f"record = {RECORD!r};"
        "made = [encode_audio(sound, name, metadata=record) for name in FORMATS];"
        "made.append(encode_audio(sound, 'wav', subtype='float32', metadata=record));"
        "print(*(hashlib.sha256(data).hexdigest() for data in made))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    runs = [
        subprocess.Popen([sys.executable, "-c", code, delay], stdout=subprocess.PIPE, env=environment)
        for delay in ("0", "1.1")
    ]
    first, second = (run.communicate()[0].split() for run in runs)
    assert len(set(first)) == len(FORMATS) + 1
    assert first == second


def test_float_wav_carries_no_clock() -> None:
    data = encode_audio(chord(), "wav", subtype="float32", metadata={"prompt": "x" * 9000})
    at = data.index(b"PEAK")
    assert data[at + 12 : at + 16] == bytes(4)


def test_ogg_checksums_are_right(tmp_path: Path) -> None:
    """Decoders other than libsndfile drop pages with a wrong checksum: compare with libsndfile's own pages."""
    soundfile.write(tmp_path / "a.ogg", chord().samples.T, RATE)
    data = (tmp_path / "a.ogg").read_bytes()
    serial = int.from_bytes(data[14:18], "little")
    assert ogg.with_serial(data, serial) == data
    assert ogg.with_serial(data, 1) != data


# Refusals when reading.


def refused(path: Path, message: str, **options: float) -> None:
    with pytest.raises(InputFileError, match=message) as caught:
        read_audio(path, **options)  # type: ignore[arg-type]
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_missing_empty_folder_and_text(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("not a sound" * 100)
    (tmp_path / "random.mp3").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "image.ogg").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    refused(tmp_path / "none.wav", "does not exist")
    refused(tmp_path / "empty.wav", "is empty")
    refused(tmp_path, "is a folder, but a sound file is needed")
    refused(tmp_path / "text.wav", "is not a sound file that can be read")
    refused(tmp_path / "random.mp3", "is not a sound file that can be read: its content is of no known format")
    refused(tmp_path / "image.ogg", "is not a sound file that can be read")
    refused(tmp_path / "text.wav" / "deeper.wav", "cannot be read|does not exist")
    refused(Path("/dev/zero"), "is no regular file")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_no_permission(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", chord())
    (tmp_path / "a.wav").chmod(0)
    refused(tmp_path / "a.wav", "cannot be read: permission denied")


def test_no_permission_as_reported_by_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_audio(tmp_path / "a.wav", chord())

    def denied(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(formats, "open", denied, raising=False)
    refused(tmp_path / "a.wav", "cannot be read: permission denied")


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "opus", "mp3"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
def test_cut_files_are_refused(tmp_path: Path, ending: str, part: float) -> None:
    path = tmp_path / f"a.{ending}"
    data = encode_audio(noise(), ending)
    path.write_bytes(data[: int(part * len(data))])
    refused(path, "is cut off|is not a sound file|holds no samples")


def noise() -> Waveform:
    return Waveform(np.random.default_rng(0).uniform(-0.5, 0.5, (2, 2 * RATE)).astype(np.float32), RATE)


def test_streamed_wav_of_unknown_length_is_read(tmp_path: Path) -> None:
    data = bytearray(encode_audio(chord()))
    at = data.index(b"data")
    data[4:8] = data[at + 4 : at + 8] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(data)
    assert read_audio(tmp_path / "a.wav").num_samples == chord().num_samples


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_samples(tmp_path: Path, value: float) -> None:
    samples = np.zeros((100, 2), np.float32)
    samples[50] = value
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    refused(tmp_path / "a.wav", "cannot be used: samples must be finite")


def test_no_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 2)), RATE)
    refused(tmp_path / "a.wav", "holds no samples")


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_too_long_files_are_refused(tmp_path: Path, ending: str) -> None:
    write_audio(tmp_path / f"a.{ending}", chord(2.0))
    refused(tmp_path / f"a.{ending}", r"seconds long, but at most 1\.9 are read|longer than", max_seconds=1.9)
    assert read_audio(tmp_path / f"a.{ending}", max_seconds=2.0).num_samples == 2 * RATE


def test_silence_and_constants_only_where_sound_is_not_required(tmp_path: Path) -> None:
    for name, level in (("silent", 0.0), ("constant", 0.25)):
        path = tmp_path / f"{name}.wav"
        write_audio(path, Waveform(np.full((2, 100), level), RATE))
        assert read_audio(path).num_samples == 100
        refused(path, "holds no sound", require_sound=True)
    write_audio(tmp_path / "sound.wav", chord())
    assert read_audio(tmp_path / "sound.wav", require_sound=True).num_samples == chord().num_samples


# Refusals when writing.


def test_existing_file_only_with_force(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_text("precious")
    with pytest.raises(UsageError, match="already exists"):
        write_audio(path, chord())
    assert path.read_text() == "precious"
    write_audio(path, chord(), force=True)
    assert read_audio(path).num_samples == chord().num_samples


@pytest.mark.parametrize(
    "name, message",
    [
        ("a.xyz", r"ends in '\.xyz', but sound is written as wav, flac, ogg, opus, mp3\.$"),
        ("a", r"ends in '', but sound is written as"),
        ("no/a.wav", "folder .*no does not exist"),
    ],
)
def test_unwritable_names(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_audio(tmp_path / name, chord())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "format, subtype, message",
    [
        ("wav", "pcm8", "subtype is 'pcm8', but wav takes pcm16 or pcm24 or float32"),
        ("flac", "float32", "flac takes pcm16 or pcm24"),
        ("mp3", "pcm16", "mp3 takes no subtype"),
        ("ogg", "lossy", "ogg takes no subtype"),
        ("aac", None, "format is 'aac', but sound is written as"),
    ],
)
def test_wrong_subtypes(format: str, subtype: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        encode_audio(chord(), format, subtype=subtype)


def test_what_a_format_cannot_hold() -> None:
    with pytest.raises(UsageError, match="mp3 cannot hold 6 channels at 44100 Hz"):
        encode_audio(Waveform(np.zeros((6, 100)), RATE), "mp3")
    with pytest.raises(UsageError, match="mp3 cannot hold 2 channels at 96000 Hz"):
        encode_audio(Waveform(np.zeros((2, 100)), 96_000), "mp3")


def test_nothing_is_left_behind_when_the_encoder_fails(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mp3 cannot hold"):
        write_audio(tmp_path / "a.mp3", Waveform(np.zeros((6, 100)), RATE))
    assert os.listdir(tmp_path) == []
