"""PaSST as stable-audio-metrics uses it: the classes of published KLpasst values, and the space of Rpasst and Cpasst.

Settings: mono at 32 kHz and -1 dB peak, windows of 10 s, 5 s apart, filled up with zeros; logits of the 527 classes of
AudioSet and 768 features. Needs the package hear21passt.

Source: K. Koutini et al., "Efficient training of audio transformers with patchout", Interspeech 2022.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from arctone.audio.waveform import Samples, Waveform
from arctone.errors import ModelError
from arctone.evaluation.embedders.preparing import existing, imported, mono_at, weights_hash
from arctone.evaluation.embedders.protocol import Embedded

ARCHITECTURE = "passt_s_swa_p16_128_ap476"
WEIGHTS = "the file passt-s-f128-p16-s10-ap.476-swa.pt of kkoutini/PaSST"
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

    Args: weights: the .pt file. Raises: ModelError without it or without the package.
    """

    name = "passt"
    sample_rate = 32_000
    credit = "PaSST (K. Koutini et al., Interspeech 2022), Apache-2.0"
    frechet_rows: Literal["clips", "windows"] = "clips"

    def __init__(self, weights: Path | None = None) -> None:
        base = imported("hear21passt.base", "hear21passt")
        path = existing(weights, self.name, WEIGHTS)
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
