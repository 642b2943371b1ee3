"""Embedders from packages or foreign weights: OpenL3, PaSST and others."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from arctone.audio.waveform import Samples, Waveform, conform
from arctone.errors import ModelError
from arctone.evaluation.embedders import aisfx, corpus_clap, musicnn
from arctone.evaluation.embedders.preparing import existing, imported, mono_at, peak_normalised, resampled, weights_hash
from arctone.evaluation.embedders.protocol import Embedded, FloatArray

Rows = Literal["clips", "windows"]
# Part of every version: raise it when the code that surrounds the published weights changes its numbers.
_REVISION = 1


class AisfxEmbedder:
    """aiSFX: 512 numbers and 78 class logits for each block of 2.3 s, full band.

    Raises:
        ModelError: without it.
    """

    name = "aisfx"
    sample_rate = aisfx.SAMPLE_RATE
    credit = aisfx.CREDIT
    frechet_rows: Rows = "clips"

    def __init__(self) -> None:
        self.version = package_version("aisfx", "0.1.2")

    def embed(self, waveform: Waveform) -> Embedded:
        """Blocks of 2.3 s of the mono mix at 44.1 kHz."""
        return Embedded(*aisfx.embed_blocks(conform(waveform, aisfx.SAMPLE_RATE, 1)))


class MusicnnEmbedder:
    """MusiCNN: 200 numbers and 50 tag logits for each 3 s, up to 8 kHz.

    Raises:
        ModelError: without it.
    """

    name = "musicnn"
    sample_rate = musicnn.SAMPLE_RATE
    credit = musicnn.CREDIT
    frechet_rows: Rows = "clips"

    def __init__(self) -> None:
        self.version = package_version("musicnn", "0.1.0")

    def embed(self, waveform: Waveform) -> Embedded:
        """Windows of 3 s of the mono mix at 16 kHz."""
        return Embedded(*musicnn.embed(waveform))


class CorpusClapEmbedder:
    """The small CLAP trained on our corpus: 128 numbers for a sound or a caption, in the same space.

    Raises:
        ModelError: without the packages aisfx and musicnn; embed_text also without all-MiniLM-L6-v2.
    """

    name = "corpus-clap"
    sample_rate = aisfx.SAMPLE_RATE
    credit = f"{aisfx.CREDIT}; {musicnn.CREDIT}; all-MiniLM-L6-v2, Apache-2.0; heads of this project"
    frechet_rows: Rows = "clips"

    def __init__(self) -> None:
        self.parts = (AisfxEmbedder(), MusicnnEmbedder())
        self._heads = corpus_clap.load()
        self.version = f"{self._heads.version} on " + ", ".join(f"{part.name} {part.version}" for part in self.parts)

    def embed(self, waveform: Waveform) -> Embedded:
        """One row, of length 1."""
        return self.combine([part.embed(waveform) for part in self.parts])

    def combine(self, embedded: Sequence[Embedded]) -> Embedded:
        """See `DerivedEmbedder`."""
        features = np.concatenate([one.pooled for one in embedded])
        return Embedded(self._heads.audio(features[None]))

    def embed_text(self, captions: Sequence[str]) -> FloatArray:
        """[N, 128], each of length 1."""
        return self._heads.text(corpus_clap.text_features(list(captions)))


def package_version(name: str, wanted: str) -> str:
    """Read the version of an installed package, and add that of our use of it.

    Args:
        name: Of the package.
        wanted: Version that the sentence names.

    Returns:
        Such as "0.1.2.1".

    Raises:
        ModelError: if it is missing.
    """
    try:
        return f"{version(name)}.{_REVISION}"
    except PackageNotFoundError:
        raise ModelError(
            f"the package {name} is not installed, but its weights are needed: pip install --no-deps {name}=={wanted}."
        ) from None


OPENL3_WEIGHTS = "the file openl3_audio_mel256_env.h5 of the package openl3"
HOP_SECONDS = 0.5


class OpenL3Embedder:
    """1,024 numbers for each second, hop 0.5 s.

    Args:
        weights: The .h5 file; None = where the package itself keeps it.

    Raises:
        ModelError: without either.
    """

    name = "openl3"
    sample_rate = 44_100
    credit = "OpenL3 (A. L. Cramer et al., ICASSP 2019), CC BY 4.0"
    frechet_rows: Literal["clips", "windows"] = "windows"

    def __init__(self, weights: Path | None = None) -> None:
        self._library: Any = imported("openl3", "openl3")
        folder = Path(self._library.__file__ or ".").parent
        path = existing(weights or folder / "openl3_audio_mel256_env.h5", self.name, OPENL3_WEIGHTS)
        self._model = self._library.models.load_audio_embedding_model_from_path(str(path), "mel256", 512)
        self.version = f"{weights_hash(path)}.mel256.env.512x2.hop{HOP_SECONDS}"

    def embed(self, waveform: Waveform) -> Embedded:
        """Windows of 1 s."""
        prepared = resampled(peak_normalised(waveform.samples), waveform.sample_rate, self.sample_rate)
        left, right = prepared[0], prepared[min(1, len(prepared) - 1)]
        found, _ = self._library.get_audio_embedding(
            [left, right], [self.sample_rate] * 2, model=self._model, hop_size=HOP_SECONDS, verbose=False
        )
        return Embedded(np.asarray(np.concatenate(found, axis=1), dtype=np.float32))


ARCHITECTURE = "passt_s_swa_p16_128_ap476"
PASST_WEIGHTS = "the file passt-s-f128-p16-s10-ap.476-swa.pt of kkoutini/PaSST"
NUM_CLASSES = 527
WINDOW_SECONDS, STEP_SECONDS = 10, 5
# A shorter rest is not filled up.
_MIN_SHARE = 0.15
_MEL = {
    "n_mels": 128,
    "sr": 32_000,
    "win_length": 800,
    "hopsize": 320,
    "n_fft": 1024,
    "freqm": 48,
    "timem": 192,
    "htk": False,
    "fmin": 0.0,
    "fmax": None,
    "norm": 1,
    "fmin_aug_range": 10,
    "fmax_aug_range": 2000,
}


class PasstEmbedder:
    """768 features and 527 logits for each 10 s.

    Args:
        weights: The .pt file.

    Raises:
        ModelError: without it or without the package.
    """

    name = "passt"
    sample_rate = 32_000
    credit = "PaSST (K. Koutini et al., Interspeech 2022), Apache-2.0"
    frechet_rows: Literal["clips", "windows"] = "clips"

    def __init__(self, weights: Path | None = None) -> None:
        base = imported("hear21passt.base", "hear21passt")
        path = existing(weights, self.name, PASST_WEIGHTS)
        self._model = _load(base, path)
        self.version = f"{weights_hash(path)}.{ARCHITECTURE}"

    def embed(self, waveform: Waveform) -> Embedded:
        """Windows of 10 s, 5 s apart."""
        import torch

        found = []
        with torch.inference_mode():
            for window in windows(mono_at(waveform, self.sample_rate), self.sample_rate):
                found.append(self._model(torch.from_numpy(window)[None])[0].numpy())
        both = np.stack(found)
        return Embedded(both[:, NUM_CLASSES:], both[:, :NUM_CLASSES])


def windows(samples: Samples, sample_rate: int) -> Iterator[Samples]:
    """10 s each, 5 s apart; the last is filled up with zeros unless it is shorter than 1.5 s."""
    length, step = WINDOW_SECONDS * sample_rate, STEP_SECONDS * sample_rate
    for start in range(0, max(step, len(samples) - step), step):
        window = samples[start : start + length]
        missing = length - len(window)
        fill = missing if len(window) > length * _MIN_SHARE else 0
        yield np.pad(window, (0, fill)).astype(np.float32)


def _load(base: Any, path: Path) -> Any:
    import torch

    try:
        # The package prints the whole network.
        with contextlib.redirect_stdout(io.StringIO()):
            net = base.get_model_passt(arch=ARCHITECTURE, pretrained=False)
            model = base.PasstBasicWrapper(mel=base.AugmentMelSTFT(**_MEL), net=net, mode="all")
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, KeyError, EOFError) as problem:
        sentence = " ".join(str(problem).split())[:300]
        raise ModelError(f"{path} holds no weights of {ARCHITECTURE}: {sentence}.") from None
    return model.eval()
