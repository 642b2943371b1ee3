"""aiSFX: a public embedding of full-band sound, trained on sound-effect libraries, which arctone's models have never
seen.

The weights are read from the installed package `aisfx` (install it with `--no-deps`); its network is written out here,
because the package itself asks for old versions of numpy and librosa. Needs torch.

Source: A. B. Ma and A. Lerch, "Representation learning for the automatic indexing of sound effects libraries", ISMIR
2022; code MIT, model CC BY 4.0. Network after the DCASE cross-task baseline (arXiv 1808.00773).

Legend: B blocks, T frames, M mel bands.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from arctone.audio.waveform import Waveform
from arctone.errors import ModelError
from arctone.evaluation.metrics.audio_distance import mel_power

if TYPE_CHECKING:
    import torch

SAMPLE_RATE = 44_100
EMBEDDING_SIZE = 512
# Which of the nine classifiers, one a sound library, gives the classes, and how many it has.
LIBRARY, NUM_CLASSES = 0, 78
NUM_BANDS = 96
BLOCK_FRAMES = 100
CREDIT = "aiSFX (A. B. Ma and A. Lerch, ISMIR 2022), CC BY 4.0"
_N_FFT, _HOP = 2048, 1024
# The largest value of the authors' training spectrograms, to which their network is scaled.
_SPECTROGRAM_MAX = 9.457798957824707
_WIDTHS = (64, 128, 256, 512)


def is_available() -> bool:
    """Whether the package with the weights is installed."""
    return find_spec("aisfx") is not None


def embed(waveform: Waveform) -> npt.NDArray[np.float32]:
    """Mean embedding of a sound over blocks of 2.3 s that overlap by half.

    Args:
        waveform: 44,100 Hz, any channels (mixed to one) and length; the level does not matter.

    Returns:
        [512], all from 0 upwards.

    Raises:
        ValueError: for another sample rate.
        ModelError: without the weights.
    """
    return np.asarray(embed_blocks(waveform)[0].mean(axis=0), dtype=np.float32)


def embed_blocks(waveform: Waveform) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Embedding and class logits of each block of 2.3 s, hop half of it.

    The classes are the 78 categories of the library that the authors call prosfx; their names are not published.

    Args:
        waveform: See `embed`.

    Returns:
        [B, 512] and [B, 78].
    """
    import torch

    if waveform.sample_rate != SAMPLE_RATE:
        raise ValueError(f"sample_rate is {waveform.sample_rate} Hz, but aiSFX needs {SAMPLE_RATE} Hz.")
    network, classifier = _network()
    with torch.inference_mode():
        embeddings = network(torch.from_numpy(blocks(spectrogram(waveform))))
        return embeddings.numpy(), classifier(embeddings).numpy()


def spectrogram(waveform: Waveform) -> npt.NDArray[np.float32]:
    """Log mel power of the mono mix at full level, [T, 96], about 0 to 1."""
    mono = waveform.samples.mean(axis=0, keepdims=True)
    level = np.abs(mono).max(initial=0.0)
    mel = mel_power(mono / level if level > 0 else mono, SAMPLE_RATE, _N_FFT, _HOP, NUM_BANDS)[0]
    # `mel_power` divides the spectrum by the sum of the window, the authors' analysis does not.
    unscaled = mel * np.float32((_N_FFT / 2) ** 2)
    return np.asarray(np.log10(1 + 1e4 * unscaled) / _SPECTROGRAM_MAX, dtype=np.float32)


def blocks(frames: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Blocks of 100 frames, hop 50, [B, 100, 96]; a short sound is filled up with silence, an incomplete end left
    out.
    """
    missing = max(BLOCK_FRAMES - len(frames), 0)
    padded = np.pad(frames, ((0, missing), (0, 0)))
    starts = range(0, len(padded) - BLOCK_FRAMES + 1, BLOCK_FRAMES // 2)
    return np.stack([padded[start : start + BLOCK_FRAMES] for start in starts])


@lru_cache(maxsize=1)
def _network() -> tuple[torch.nn.Module, torch.nn.Module]:
    """Embedding network and the classifier on top of it."""
    weights = _read_weights(_weights_path())
    network, classifier = build_network(), build_classifier()
    network.load_state_dict(_renamed(weights))
    prefix = f"fc.{LIBRARY}."
    classifier.load_state_dict({n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)})
    return network.eval(), classifier.eval()


def build_classifier() -> torch.nn.Module:
    """The classifier without weights: [B, 512] to logits [B, 78]."""
    from torch import nn

    return nn.Sequential(nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, NUM_CLASSES))


def build_network() -> torch.nn.Module:
    """The network without weights: [B, 100, 96] to [B, 512]."""
    from torch import nn

    layers: list[nn.Module] = [nn.Unflatten(1, (1, -1))]
    for index, (before, after) in enumerate(zip((1, *_WIDTHS), _WIDTHS, strict=False)):
        for channels in (before, after):
            layers += [nn.Conv2d(channels, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        if index < len(_WIDTHS) - 1:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, _pooling())


def _pooling() -> torch.nn.Module:
    from torch import Tensor, nn

    class MeanBandsMaxTime(nn.Module):
        """[B, 512, T, M] to [B, 512]."""

        def forward(self, x: Tensor) -> Tensor:
            return x.mean(dim=3).amax(dim=2)

    return MeanBandsMaxTime()


def _renamed(weights: dict[str, Any]) -> dict[str, Any]:
    """The authors' parameter names to the positions in `build_network`."""
    positions = {}
    for block in range(len(_WIDTHS)):
        for layer in (1, 2):
            position = 1 + 7 * block + 3 * (layer - 1)
            positions[f"embedding_net.conv_block{block + 1}.conv{layer}"] = position
            positions[f"embedding_net.conv_block{block + 1}.bn{layer}"] = position + 1
    named = {}
    for name, value in weights.items():
        module, _, parameter = name.rpartition(".")
        if module in positions:
            named[f"{positions[module]}.{parameter}"] = value
    return named


def _weights_path() -> Path:
    package = find_spec("aisfx")
    if package is None or package.origin is None:
        raise ModelError("the embedding needs the package aisfx, which is missing: pip install --no-deps aisfx==0.1.2.")
    return Path(package.origin).parent / "models" / "checkpoint.pth"


def _read_weights(path: Path) -> dict[str, Any]:
    """Tensors only: the file also holds class counts as numpy numbers, the sole other type that is let through."""
    import torch
    from numpy.dtypes import Int64DType

    # The function that pickled numpy numbers call is reached without numpy's private modules.
    scalar = np.int64(0).__reduce__()[0]
    allowed: list[Any] = [(scalar, "numpy.core.multiarray.scalar"), np.dtype, Int64DType]
    with torch.serialization.safe_globals(allowed):
        weights, _ = torch.load(path, map_location="cpu", weights_only=True)
    return dict(weights)
