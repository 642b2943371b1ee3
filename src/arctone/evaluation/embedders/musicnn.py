"""MusiCNN: a public music tagger whose last hidden layer is an embedding of 16 kHz music, with 50 tags as classes.

The weights are read from the installed package `musicnn` (install it with `--no-deps`) without TensorFlow; the network
is written out here. Needs torch.

Source: J. Pons and X. Serra, "musicnn: Pre-trained convolutional neural networks for music audio tagging",
late-breaking session of ISMIR 2019, arXiv 1909.06654; ISC licence; model trained on MagnaTagATune.

Legend: B windows, T frames, M mel bands, C features.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from arctone.audio.waveform import Waveform, conform
from arctone.errors import ModelError
from arctone.evaluation.metrics.audio_distance import slaney_mel_filters

if TYPE_CHECKING:
    import torch


Array = npt.NDArray[Any]

_MAGIC, _FOOTER_BYTES = 0xDB4775248B80FB57, 48
_UNCOMPRESSED = 0
# Numbers of tensorflow/core/framework/types.proto.
_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 2: np.dtype("<f8"), 3: np.dtype("<i4"), 9: np.dtype("<i8")}
_DTYPE, _SHAPE, _SHARD, _OFFSET, _SIZE = 1, 2, 3, 4, 5


def read_checkpoint(index: Path, data: Path) -> dict[str, Array]:
    """Read all tensors of a checkpoint.

    Args:
        index: Content of the index file.
        data: Content of the data file.

    Returns:
        Tensors by name.

    Raises:
        ModelError: if the files are missing, damaged, compressed or of another type.
    """
    try:
        table, content = index.read_bytes(), data.read_bytes()
        return {name.decode(): _tensor(_fields(entry), content) for name, entry in _entries(table) if name}
    except OSError as problem:
        raise ModelError(f"{problem.filename} cannot be read: {(problem.strerror or '').lower()}.") from None
    except (IndexError, KeyError, ValueError, struct.error) as problem:
        raise ModelError(f"{index.parent} holds no readable TensorFlow checkpoint: {problem}.") from None


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    footer = table[-_FOOTER_BYTES:]
    if struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise ValueError("the index does not end like a table")
    _, place = _handle(footer, 0)
    (offset, size), _ = _handle(footer, place)
    for _, handle in _block(table, offset, size):
        yield from _block(table, *_handle(handle, 0)[0])


def _handle(content: bytes, place: int) -> tuple[tuple[int, int], int]:
    """(offset, size) of a block, and where the next handle begins."""
    offset, place = _varint(content, place)
    size, place = _varint(content, place)
    return (offset, size), place


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if table[offset + size] != _UNCOMPRESSED:
        raise ValueError("the index is compressed")
    block = table[offset : offset + size]
    # At the end stand the places where keys are spelt in full, and their number.
    end = size - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    key, place = b"", 0
    while place < end:
        shared, place = _varint(block, place)
        added, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + added]
        place += added
        yield key, block[place : place + length]
        place += length


def _tensor(fields: dict[Any, Any], content: bytes) -> Array:
    if fields.get(_SHARD, 0) != 0:
        raise ValueError("the tensors lie in more than one data file")
    dtype: np.dtype[Any] = _TYPES[fields[_DTYPE]]
    offset, size = fields.get(_OFFSET, 0), fields[_SIZE]
    if offset + size > len(content):
        raise ValueError("the data file is too short")
    shape = [_fields(dimension).get(1, 0) for dimension in fields.get("dimensions", [])]
    flat: Array = np.frombuffer(content, dtype, size // dtype.itemsize, offset)
    return flat.reshape(shape)


def _fields(message: bytes) -> dict[Any, Any]:
    """The numbers of a protocol buffer by field; the dimensions of a shape are collected under "dimensions"."""
    found: dict[Any, Any] = {}
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        field, kind = tag >> 3, tag & 7
        if kind == 0:
            found[field], place = _varint(message, place)
        elif kind == 5:
            place += 4
        elif kind == 2:
            length, place = _varint(message, place)
            part, place = message[place : place + length], place + length
            if field == _SHAPE:
                found["dimensions"] = list(_repeated(part, _SHAPE))
        else:
            raise ValueError(f"field {field} has the unknown kind {kind}")
    return found


def _repeated(message: bytes, wanted: int) -> Iterator[bytes]:
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        if tag & 7 == 0:
            _, place = _varint(message, place)
            continue
        length, place = _varint(message, place)
        if tag >> 3 == wanted:
            yield message[place : place + length]
        place += length


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """An unsigned number in groups of seven bits, and where the next thing begins."""
    value = shift = 0
    while True:
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7


FloatArray = npt.NDArray[np.float32]

SAMPLE_RATE = 16_000
EMBEDDING_SIZE = 200
NUM_BANDS = 96
WINDOW_FRAMES = 187
CREDIT = "MusiCNN (J. Pons and X. Serra, 2019), ISC"
# The order of the output; names of the package's configuration.
TAGS = (
    "guitar",
    "classical",
    "slow",
    "techno",
    "strings",
    "drums",
    "electronic",
    "rock",
    "fast",
    "piano",
    "ambient",
    "beat",
    "violin",
    "vocal",
    "synth",
    "female",
    "indian",
    "opera",
    "male",
    "singing",
    "vocals",
    "no vocals",
    "harpsichord",
    "loud",
    "quiet",
    "flute",
    "woman",
    "male vocal",
    "no vocal",
    "pop",
    "soft",
    "sitar",
    "solo",
    "man",
    "classic",
    "choir",
    "voice",
    "new age",
    "dance",
    "male voice",
    "female vocal",
    "beats",
    "harp",
    "cello",
    "no voice",
    "weird",
    "country",
    "metal",
    "female voice",
    "choral",
)
_N_FFT, _HOP = 512, 256
_FLOAT16_MAX = 65_504.0
_TIMBRE_WIDTHS = (38, 67)
_TEMPO_LENGTHS = (128, 64, 32)


def is_available() -> bool:
    """Whether the package with the weights is installed."""
    return find_spec("musicnn") is not None


def embed(waveform: Waveform) -> tuple[FloatArray, FloatArray]:
    """Last hidden layer and tag logits of windows of 3 s side by side; the last one ends with the sound.

    Args:
        waveform: Any rate, channels and length; the level does not matter.

    Returns:
        [B, 200] and [B, 50], the latter in the order of `TAGS`.

    Raises:
        ModelError: without the weights.
    """
    import torch

    with torch.inference_mode():
        hidden, logits = _network()(torch.from_numpy(windows(spectrogram(waveform))))
    return np.asarray(hidden.numpy()), np.asarray(logits.numpy())


def spectrogram(waveform: Waveform) -> FloatArray:
    """Log mel power of the mono mix at 16 kHz and full level, [T, 96]: log10(1 + 10000 power)."""
    mono = conform(waveform, SAMPLE_RATE, 1).samples[0]
    level = np.abs(mono).max(initial=0.0)
    samples = mono / level if level > 0 else mono
    mode = "reflect" if len(samples) > _N_FFT // 2 else "constant"
    padded = np.pad(samples, _N_FFT // 2, mode=mode)  # type: ignore[call-overload]
    frames = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT)[::_HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_N_FFT + 1)[:-1])) ** 2
    mel = power @ slaney_mel_filters(SAMPLE_RATE, _N_FFT, NUM_BANDS)
    # The authors kept their spectrograms in 16 bits.
    return np.asarray(np.log10(1 + 1e4 * np.minimum(mel, _FLOAT16_MAX)), dtype=np.float32)


def windows(frames: FloatArray) -> FloatArray:
    """Windows of 187 frames, [B, 187, 96]: a short sound is repeated; the last window may overlap the one before."""
    if len(frames) < WINDOW_FRAMES:
        frames = np.tile(frames, (-(-WINDOW_FRAMES // len(frames)), 1))[:WINDOW_FRAMES]
    last = len(frames) - WINDOW_FRAMES
    starts = [*range(0, last, WINDOW_FRAMES), last]
    return np.stack([frames[start : start + WINDOW_FRAMES] for start in starts])


@lru_cache(maxsize=1)
def _network() -> torch.nn.Module:
    network = build_network()
    network.load_state_dict(_renamed(_read_weights()))
    return network.eval()


def build_network() -> torch.nn.Module:
    """The network without weights: [B, T, 96] to hidden [B, 200] and logits [B, 50]."""
    import torch
    from torch import Tensor, nn
    from torch.nn import functional

    class MusiCNN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm_in = nn.BatchNorm2d(1, eps=1e-3)
            self.timbre = nn.ModuleList(_Block(nn.Conv2d(1, 204, (7, width))) for width in _TIMBRE_WIDTHS)
            self.tempo = nn.ModuleList(_Block(nn.Conv2d(1, 51, (length, 1))) for length in _TEMPO_LENGTHS)
            self.middle = nn.ModuleList(_Block(nn.Conv1d(before, 64, 7, padding=3)) for before in (561, 64, 64))
            self.norm_pooled = nn.BatchNorm1d(2 * 753, eps=1e-3)
            self.hidden = nn.Linear(2 * 753, 200)
            self.norm_hidden = nn.BatchNorm1d(200, eps=1e-3)
            self.tags = nn.Linear(200, 50)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self.norm_in(x[:, None])  # [B, 1, T, M]
            features = [block(functional.pad(x, (0, 0, 3, 3))) for block in self.timbre]
            for block, length in zip(self.tempo, _TEMPO_LENGTHS, strict=True):
                features.append(block(functional.pad(x, (0, 0, (length - 1) // 2, length // 2))))
            front = torch.cat([feature.amax(dim=3) for feature in features], dim=1)  # [B, 561, T]
            first = self.middle[0](front)
            second = first + self.middle[1](first)
            third = second + self.middle[2](second)
            whole = torch.cat([front, first, second, third], dim=1)  # [B, 753, T]
            pooled = torch.stack([whole.amax(dim=2), whole.mean(dim=2)], dim=2).flatten(1)
            hidden = self.norm_hidden(self.hidden(self.norm_pooled(pooled)).relu())
            return hidden, self.tags(hidden)

    class _Block(nn.Module):
        """Convolution, rectifier, batch norm, in this order."""

        def __init__(self, conv: nn.Conv1d | nn.Conv2d) -> None:
            super().__init__()
            self.conv = conv
            norm = nn.BatchNorm1d if isinstance(conv, nn.Conv1d) else nn.BatchNorm2d
            self.norm = norm(conv.out_channels, eps=1e-3)

        def forward(self, x: Tensor) -> Tensor:
            normed: Tensor = self.norm(self.conv(x).relu())
            return normed

    return MusiCNN()


def _renamed(published: dict[str, Any]) -> dict[str, Any]:
    """TensorFlow's names, which count the layers of a kind, to those of `build_network`."""
    import torch

    blocks = [*(f"timbre.{i}" for i in range(2)), *(f"tempo.{i}" for i in range(3)), *(f"middle.{i}" for i in range(3))]
    norms = ["norm_in", *(f"{block}.norm" for block in blocks), "norm_pooled", "norm_hidden"]
    state: dict[str, Any] = {}
    for number, block in enumerate(blocks):
        theirs = "conv2d" + (f"_{number}" if number else "")
        kernel = published[f"{theirs}/kernel"].transpose(3, 2, 0, 1)  # to [out, in, time, bands]
        state[f"{block}.conv.weight"] = kernel[:, 0].transpose(0, 2, 1) if block.startswith("middle") else kernel
        state[f"{block}.conv.bias"] = published[f"{theirs}/bias"]
    for number, norm in enumerate(norms):
        theirs = "batch_normalization" + (f"_{number}" if number else "")
        pairs = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        state.update({f"{norm}.{ours}": published[f"{theirs}/{name}"] for ours, name in pairs.items()})
        state[f"{norm}.num_batches_tracked"] = np.zeros((), np.int64)
    for ours, theirs in (("hidden", "dense"), ("tags", "dense_1")):
        state[f"{ours}.weight"] = published[f"{theirs}/kernel"].T
        state[f"{ours}.bias"] = published[f"{theirs}/bias"]
    return {name: torch.from_numpy(np.array(value)) for name, value in state.items()}


def _read_weights() -> dict[str, Any]:
    package = find_spec("musicnn")
    if package is None or package.origin is None:
        raise ModelError(
            "the embedding needs the package musicnn, which is missing: pip install --no-deps musicnn==0.1.0."
        )
    folder = Path(package.origin).parent / "MTT_musicnn"
    return read_checkpoint(folder / ".index", folder / ".data-00000-of-00001")
