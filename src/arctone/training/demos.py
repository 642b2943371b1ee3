"""Audio that lets a person hear how far training has come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from arctone.audio.files import write_audio
from arctone.audio.levels import normalize_peak
from arctone.audio.spectral import synthesise
from arctone.audio.waveform import Waveform
from arctone.config_model import SpectralConfig
from arctone.models.spectral import SpectralAutoencoder


@torch.no_grad()
def write_reconstruction(config: SpectralConfig, state: dict[str, Tensor], features: Tensor, path: Path) -> None:
    """Decode what the averaged autoencoder keeps of features [1, M, F], and write it as audio."""
    module = SpectralAutoencoder(config)
    module.load_state_dict(state)
    parameters = module.eval()(features.mT)[0].T.numpy()
    samples = synthesise(parameters, np.random.default_rng(0), config.phase_iterations)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, normalize_peak(Waveform(samples, 44_100)), force=True)
