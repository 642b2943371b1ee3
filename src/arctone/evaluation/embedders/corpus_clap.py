"""`corpus-clap`: a small CLAP trained on our corpus, to measure whether a sound is what its caption says.

Two small networks on frozen public ones: all-MiniLM-L6-v2 (pooled) for words, aiSFX and MusiCNN (means over a sound)
for audio. They were trained with a contrastive loss on the training split of the corpus only. It
knows the words of the corpus alone, so its cosines cannot be compared with published CLAP scores.

Source of the loss: A. Radford et al., "Learning transferable visual models from natural language supervision", ICML
2021; of a pair of small heads: this project.

Legend: N sounds or captions, F features, D size of the joint space.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from arctone.audio.waveform import Waveform, conform
from arctone.errors import ModelError
from arctone.evaluation.embedders import aisfx, musicnn
from arctone.files.atomic import file_atomically

FloatArray = npt.NDArray[np.float32]

PATH = Path(__file__).parent / "corpus_clap.safetensors"
EMBEDDING_SIZE = 128
AUDIO_SIZE = aisfx.EMBEDDING_SIZE + musicnn.EMBEDDING_SIZE
TEXT_SIZE = 384
_TENSORS = ("mean", "scale", "weight_in", "bias_in", "weight_out", "bias_out")


@dataclass(frozen=True, eq=False)
class Head:
    """Standardise, linear, rectifier, linear, unit length.

    Args:
        mean: [F].
        scale: [F].
        weight_in: [F, H].
        bias_in: [H].
        weight_out: [H, D].
        bias_out: [D].
    """

    mean: FloatArray
    scale: FloatArray
    weight_in: FloatArray
    bias_in: FloatArray
    weight_out: FloatArray
    bias_out: FloatArray

    def __call__(self, features: FloatArray) -> FloatArray:
        """Map features [N, F] to the joint space.

        Args:
            features: [N, F].

        Returns:
            Unit vectors [N, D].

        Raises:
            ValueError: for another F.
        """
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise ValueError(f"features have the shape {features.shape}, but must be [items, {len(self.mean)}].")
        hidden = np.maximum((features - self.mean) / self.scale @ self.weight_in + self.bias_in, 0.0)
        joint = hidden @ self.weight_out + self.bias_out
        return np.asarray(joint / np.maximum(np.linalg.norm(joint, axis=1, keepdims=True), 1e-12), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class CorpusClap:
    """Both heads.

    Args:
        recipe: How they were trained, plain values only.
        version: Names the weights.
    """

    audio: Head
    text: Head
    recipe: Mapping[str, str | int | float] = field(default_factory=dict)
    version: str = ""

    def save(self, path: Path) -> None:
        """Write both heads in 16 bits, with the recipe."""
        from safetensors.numpy import save_file

        tensors = {
            f"{side}.{name}": np.ascontiguousarray(getattr(getattr(self, side), name), dtype=np.float16)
            for side in ("audio", "text")
            for name in _TENSORS
        }
        with file_atomically(path, force=True) as part:
            save_file(tensors, part, metadata={"recipe": json.dumps(dict(self.recipe), sort_keys=True)})


@lru_cache(maxsize=2)
def load(path: Path = PATH) -> CorpusClap:
    """Read what `CorpusClap.save` wrote.

    Args:
        path: File of the weights.

    Returns:
        Both heads.

    Raises:
        ModelError: if the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            recipe = json.loads(file.metadata()["recipe"])
            heads = {side: _head(file, side) for side in ("audio", "text")}
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as problem:
        raise ModelError(f"the heads {path.name} cannot be read: {problem}.") from problem
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return CorpusClap(heads["audio"], heads["text"], recipe, digest)


def audio_features(waveform: Waveform) -> FloatArray:
    """Compute the input of the audio head: mean aiSFX and mean MusiCNN embedding.

    Args:
        waveform: Any rate, channels and length.

    Returns:
        [712].

    Raises:
        ModelError: without the weights of either.
    """
    blocks = aisfx.embed(conform(waveform, aisfx.SAMPLE_RATE, 1))
    tagged, _ = musicnn.embed(waveform)
    return np.concatenate([blocks, tagged.mean(axis=0)])


def text_features(captions: list[str]) -> FloatArray:
    """Compute the input of the text head: pooled MiniLM vectors.

    Args:
        captions: Texts, N of them.

    Returns:
        [N, 384].

    Raises:
        ModelError: without its weights.
    """
    encode = _text_encoder()
    starts = range(0, len(captions), _CAPTIONS_AT_ONCE)
    pooled = [vector for start in starts for _, vector in encode(captions[start : start + _CAPTIONS_AT_ONCE])]
    return np.asarray(np.stack(pooled), dtype=np.float32)


_CAPTIONS_AT_ONCE = 64


@lru_cache(maxsize=1)
def _text_encoder():  # type: ignore[no-untyped-def]
    from arctone.checkpoints.text import find_text_folder
    from arctone.data.encoders import text_encoding
    from arctone.model_folder.config import TextConfig

    return text_encoding(find_text_folder(None), TextConfig()).encode


def _head(file, side: str) -> Head:  # type: ignore[no-untyped-def]
    return Head(*(file.get_tensor(f"{side}.{name}").astype(np.float32) for name in _TENSORS))
