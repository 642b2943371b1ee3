"""LAION-CLAP as stable-audio-metrics uses it: the space of published CLAP scores, and of CCDS.

Settings: checkpoint 630k-audioset-fusion-best, mono at 48 kHz and -1 dB peak, rounded to 16 bits. Two ways to the same
network: the published .pt file with the package laion_clap, or a folder in the format of transformers (its converted
copy is laion/clap-htsat-fused). Of a sound longer than 10 s the fusion model sees the whole, made small, and three
pieces, drawn alike each time.

Source: Y. Wu et al., "Large-scale contrastive language-audio pretraining", ICASSP 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from arctone.audio.waveform import Samples, Waveform
from arctone.errors import ModelError
from arctone.evaluation.embedders.preparing import existing, fixed_draws, imported, mono_at, weights_hash
from arctone.evaluation.embedders.protocol import Embedded, FloatArray

WEIGHTS = "the file 630k-audioset-fusion-best.pt of LAION-CLAP, or a folder with laion/clap-htsat-fused"
CAPTIONS_AT_ONCE = 64


class _Library(Protocol):
    def audio(self, samples: Samples) -> FloatArray: ...

    def text(self, captions: list[str]) -> FloatArray: ...


class ClapEmbedder:
    """512 numbers for a sound and for a caption, in the same space.

    Args:
        weights: The .pt file or the folder.

    Raises:
        ModelError: without it or without the package that reads it.
    """

    name = "clap"
    sample_rate = 48_000
    credit = "LAION-CLAP (Y. Wu et al., ICASSP 2023), CC0"
    frechet_rows: Literal["clips", "windows"] = "clips"

    def __init__(self, weights: Path | None = None) -> None:
        path = existing(weights, self.name, WEIGHTS)
        self._library: _Library = _Transformers(path) if path.is_dir() else _LaionClap(path)
        self.version = f"{weights_hash(path)}.{'transformers' if path.is_dir() else 'laion_clap'}"

    def embed(self, waveform: Waveform) -> Embedded:
        """One row."""
        samples = rounded(mono_at(waveform, self.sample_rate))
        with fixed_draws():
            return Embedded(self._library.audio(samples))

    def embed_text(self, captions: Sequence[str]) -> FloatArray:
        """[N, 512]."""
        starts = range(0, len(captions), CAPTIONS_AT_ONCE)
        parts = [self._library.text(list(captions[start : start + CAPTIONS_AT_ONCE])) for start in starts]
        return np.concatenate(parts)


def rounded(samples: Samples) -> Samples:
    """To 16 bits and back, towards zero, as the published code does."""
    whole = (np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16)
    return np.asarray(whole / 32767.0, dtype=np.float32)


class _Transformers:
    def __init__(self, folder: Path) -> None:
        library = imported("transformers", "transformers")
        try:
            self._model = library.ClapModel.from_pretrained(folder, local_files_only=True).eval()
            self._processor = library.ClapProcessor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as problem:
            sentence = " ".join(str(problem).split())[:300]
            raise ModelError(f"{folder} holds no CLAP model of transformers: {sentence}.") from None

    def audio(self, samples: Samples) -> FloatArray:
        given = self._processor(audio=[samples], sampling_rate=ClapEmbedder.sample_rate, return_tensors="pt")
        return self._pooled(self._model.get_audio_features, given)

    def text(self, captions: list[str]) -> FloatArray:
        given = self._processor(text=captions, padding=True, truncation=True, max_length=77, return_tensors="pt")
        return self._pooled(self._model.get_text_features, given)

    def _pooled(self, compute: Any, given: Any) -> FloatArray:
        import torch

        with torch.inference_mode():
            found = compute(**given)
        # Before version 5 the vectors came bare.
        return np.asarray(getattr(found, "pooler_output", found).numpy(), dtype=np.float32)


class _LaionClap:
    def __init__(self, path: Path) -> None:
        library = imported("laion_clap", "laion-clap")
        factory = imported("clap_module.factory", "laion-clap")
        self._model = library.CLAP_Module(enable_fusion=True, device="cpu")
        try:
            state = factory.load_state_dict(str(path))
        except (OSError, RuntimeError, KeyError) as problem:
            raise ModelError(f"{path} holds no weights of LAION-CLAP: {problem}.") from None
        state.pop("text_branch.embeddings.position_ids", None)  # newer versions of transformers do not know it
        self._model.model.load_state_dict(state)
        self._model.eval()

    def audio(self, samples: Samples) -> FloatArray:
        import torch

        with torch.inference_mode():
            found = self._model.get_audio_embedding_from_data(x=torch.from_numpy(samples)[None], use_tensor=True)
        return np.asarray(found.numpy(), dtype=np.float32)

    def text(self, captions: list[str]) -> FloatArray:
        import torch

        with torch.inference_mode():
            found = self._model.get_text_embedding(captions, use_tensor=True)
        return np.asarray(found.numpy(), dtype=np.float32)
