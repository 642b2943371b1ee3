"""MusiCNN: the checkpoint is read right, and the network is that of the package, number by number."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from arctone.audio.waveform import Waveform
from arctone.errors import ModelError
from arctone.evaluation.embedders import musicnn
from arctone.evaluation.embedders.musicnn import read_checkpoint
from arctone.evaluation.metrics.audio_distance import slaney_mel_filters
from tests.evaluation.metrics.metric_sounds import drums, noise, notes
from tests.evaluation.metrics.musicnn_answers import PATH, chirp, spectrograms

PUBLIC = {name: np.array(values) for name, values in json.loads(PATH.read_text()).items()}
needs_package = pytest.mark.skipif(not musicnn.is_available(), reason="the optional package musicnn is not installed")


@needs_package
def test_the_network_is_that_of_tensorflow() -> None:
    with torch.inference_mode():
        hidden, logits = musicnn._network()(torch.from_numpy(spectrograms()))
    assert np.abs(logits.numpy() - PUBLIC["logits"]).max() < 1e-6 * np.abs(PUBLIC["logits"]).max() * 2
    assert np.abs(hidden.numpy() - PUBLIC["hidden"]).max() < 1e-6 * np.abs(PUBLIC["hidden"]).max() * 2


def test_mel_bands_are_those_of_librosa() -> None:
    assert np.abs(slaney_mel_filters(16_000, 512, 96).T[::7] - PUBLIC["filters"]).max() < 1e-8
    found = musicnn.spectrogram(Waveform(chirp()[None], 16_000))[::9]
    assert found == pytest.approx(np.log10(1 + 1e4 * PUBLIC["power"]), abs=1e-5)


@needs_package
def test_tags_are_plausible() -> None:
    """The first tags of plain sounds made here."""

    def tags(sound: Waveform) -> set[str]:
        _, logits = musicnn.embed(sound)
        return {musicnn.TAGS[index] for index in logits.mean(axis=0).argsort()[-8:]}

    assert tags(drums(120)) & {"drums", "beat", "beats", "techno"}
    melody = tags(notes([[60], [64], [67], [72], [67], [64], [60]]))
    assert melody & {"piano", "guitar", "harp", "classical", "solo", "electronic", "synth"}
    assert not tags(noise(6.0)) & {"piano", "violin", "opera", "choir"}


def test_windows_cover_short_and_long_sounds() -> None:
    frames = np.arange(400 * 96, dtype=np.float32).reshape(400, 96)
    assert musicnn.windows(frames[:187]).shape == (1, 187, 96)
    long = musicnn.windows(frames)
    assert long.shape == (3, 187, 96)
    assert np.array_equal(long[-1], frames[-187:])
    short = musicnn.windows(frames[:50])
    assert np.array_equal(short[0, 50:100], frames[:50])


def test_without_its_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(musicnn, "find_spec", lambda name: None)
    assert not musicnn.is_available()
    with pytest.raises(ModelError, match="pip install --no-deps musicnn"):
        musicnn._read_weights()


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """A block whose keys share prefixes, as LevelDB writes it."""
    body, before = b"", b""
    for key, value in entries:
        shared = next(
            (n for n, (a, b) in enumerate(zip(key, before, strict=False)) if a != b), min(len(key), len(before))
        )
        body += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return body + struct.pack("<II", 0, 1)


def entry(dtype: int, shape: list[int], offset: int, size: int) -> bytes:
    dimensions = b"".join(b"\x12" + varint(len(d)) + d for d in (b"\x08" + varint(n) for n in shape))
    head = b"\x08" + varint(dtype) + b"\x12" + varint(len(dimensions)) + dimensions
    return head + b"\x20" + varint(offset) + b"\x28" + varint(size) + b"\x35" + bytes(4)


def checkpoint(folder: Path, compression: int = 0, magic: int = 0xDB4775248B80FB57) -> tuple[Path, Path]:
    """Two tensors in a checkpoint written here, byte by byte."""
    values = np.arange(6, dtype="<f4"), np.array(300, "<i8")
    tensors = block(
        [(b"", b"\x08\x01"), (b"layer/bias", entry(9, [], 24, 8)), (b"layer/kernel", entry(1, [2, 3], 0, 24))]
    )
    index = block([(b"z", varint(0) + varint(len(tensors)))])
    table = tensors + bytes([compression]) + bytes(4)
    handle = varint(len(table)) + varint(len(index))
    table += index + bytes(5)
    footer = varint(0) + varint(0) + handle
    table += footer.ljust(40, b"\0") + struct.pack("<Q", magic)
    (folder / "x.index").write_bytes(table)
    (folder / "x.data").write_bytes(b"".join(value.tobytes() for value in values))
    return folder / "x.index", folder / "x.data"


def test_a_checkpoint_made_by_hand(tmp_path: Path) -> None:
    found = read_checkpoint(*checkpoint(tmp_path))
    assert found["layer/kernel"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (found["layer/bias"].shape, int(found["layer/bias"])) == ((), 300)
    assert len(found) == 2


def test_bad_checkpoints_are_refused(tmp_path: Path) -> None:
    index, data = checkpoint(tmp_path, compression=1)
    with pytest.raises(ModelError, match="compressed"):
        read_checkpoint(index, data)
    index, data = checkpoint(tmp_path, magic=1)
    with pytest.raises(ModelError, match="does not end like a table"):
        read_checkpoint(index, data)
    index, data = checkpoint(tmp_path)
    data.write_bytes(data.read_bytes()[:10])
    with pytest.raises(ModelError, match="too short"):
        read_checkpoint(index, data)
    index.write_bytes(index.read_bytes()[-48:])
    with pytest.raises(ModelError, match="no readable TensorFlow checkpoint"):
        read_checkpoint(index, data)
    with pytest.raises(ModelError, match="cannot be read"):
        read_checkpoint(tmp_path / "none", data)
