"""The autoencoder's bottleneck and its training loss."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from arctone.audio.spectral.features import (
    LEVEL_CENTRE,
    LEVEL_SCALE,
    NUM_BANDS,
    NUM_BINS,
    NUM_FEATURES,
    NUM_PARAMETERS,
    bin_bands,
    mel_interpolation,
    mel_means,
)
from arctone.errors import ModelError
from arctone.model_folder.config import SpectralConfig
from arctone.models.spectral import SpectralAutoencoder
from arctone.training.autoencoder import FeaturePool, fit_linear_code, new_autoencoder
from arctone.training.spectral_loss import SpectralLossConfig, spectral_loss

CONFIG = SpectralConfig(
    latent_channels=8, width=32, encoder_fine_blocks=1, encoder_blocks=1, decoder_blocks=1, decoder_fine_blocks=1
)


@pytest.fixture
def autoencoder() -> SpectralAutoencoder:
    torch.manual_seed(0)
    return SpectralAutoencoder(CONFIG).eval()


@torch.no_grad()
def test_latents_have_unit_rms_and_a_quarter_of_the_frames(autoencoder: SpectralAutoencoder) -> None:
    unit = autoencoder.encoder.unit(torch.randn(2, NUM_FEATURES, 32))
    assert unit.shape == (2, 8, 8)
    assert torch.allclose(unit.square().mean(-1), torch.ones(2, 8), atol=1e-2)


@torch.no_grad()
def test_statistics_standardise_and_decode_back(autoencoder: SpectralAutoencoder) -> None:
    features = torch.randn(4, NUM_FEATURES, 64)
    unit = autoencoder.encoder.unit(features)
    autoencoder.set_statistics(unit.flatten(0, 1).mean(0), unit.flatten(0, 1).std(0))
    latents = autoencoder.encoder(features)
    assert torch.allclose(latents.mean((0, 2)), torch.zeros(8), atol=1e-4)
    assert torch.allclose(latents.std((0, 2)), torch.ones(8), atol=1e-2)
    assert torch.allclose(autoencoder.decoder(latents), autoencoder.decoder.from_unit(unit).mT, atol=1e-3)


@torch.no_grad()
def test_stereo_coherence_is_bounded(autoencoder: SpectralAutoencoder) -> None:
    parameters = autoencoder.decoder(100 * torch.randn(1, 8, 16))
    assert parameters.shape == (1, NUM_PARAMETERS, 64)
    assert parameters[:, NUM_BINS + NUM_BANDS : NUM_BINS + 2 * NUM_BANDS].abs().max() <= 1


def _parameters(features: torch.Tensor, log_scale: float) -> torch.Tensor:
    return torch.cat([features, torch.full((*features.shape[:-1], NUM_BANDS), log_scale)], dim=-1)


def test_loss_is_least_at_the_target() -> None:
    features = torch.randn(2, 8, NUM_FEATURES, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    exact = spectral_loss(_parameters(features, -1.0), features)
    assert exact["level"] == 0
    assert exact["difference"] == 0
    for shift in (-0.3, 0.3):
        assert spectral_loss(_parameters(features + shift, -1.0), features)["total"] > exact["total"] + 0.1


def test_scatter_learns_the_size_of_the_errors() -> None:
    """The likelihood is best where the scale is the mean absolute error."""
    features = torch.zeros(1, 4, NUM_FEATURES)
    off = torch.full_like(features, 0.25)
    losses = [float(spectral_loss(_parameters(off, float(np.log(scale))), features)["scatter"]) for scale in
              (0.125, 0.25, 0.5)]  # fmt: skip
    assert losses[1] == min(losses)
    assert losses[1] == pytest.approx(1 + np.log(0.25), abs=1e-4)


def test_linear_code_alone_reconstructs_an_envelope_of_few_components(tmp_path):
    """An envelope that mixes three shapes, in each of four frames, needs twelve components and no training."""
    config = SpectralConfig(latent_channels=16, linear_channels=12, width=8, encoder_fine_blocks=0, encoder_blocks=0)
    config = msgspec.structs.replace(config, decoder_blocks=0, decoder_fine_blocks=0)
    random = np.random.default_rng(0)
    num_mel = mel_means().shape[1]
    amounts = np.repeat(random.normal(size=(512, 3)), 4, axis=0)
    smooth = np.stack([np.cos(np.pi * n * np.linspace(0, 1, num_mel)) for n in (0, 1, 2)])
    level = (amounts @ smooth @ mel_interpolation() - LEVEL_CENTRE) / LEVEL_SCALE
    rows = np.concatenate([level, np.zeros((2_048, 48)), np.ones((2_048, 48))], axis=1).astype(np.float16)
    assert rows.shape[1] == NUM_FEATURES
    (tmp_path / "pool").write_bytes(rows.tobytes())
    pool = FeaturePool(tmp_path / "pool")
    module = new_autoencoder(config, 0)
    fit_linear_code(module, pool, num_windows=64)
    features = pool.windows(np.array([640]), 64)
    code = module.encoder.code(features)
    assert code.shape == (1, 16, 12)
    known_level, difference, coherence = module.decoder.code(code)
    assert (known_level - features[..., :1025]).abs().mean() * LEVEL_SCALE < 0.03
    assert difference.abs().max() < 1e-2
    assert (coherence - 1).abs().max() < 1e-2


def test_linear_channels_beyond_the_latents_are_refused():
    with pytest.raises(ModelError, match=r"linear_channels: 9 .* 8 latent channels allows 0 to 8"):
        SpectralConfig(latent_channels=8, linear_channels=9)


def test_stereo_counts_where_the_energy_is_if_asked_to():
    """The same error of the level difference costs more in the loudest band than in one 30 nepers below it."""
    features = torch.zeros(1, 8, NUM_FEATURES)
    features[..., :NUM_BINS] = -10.0
    features[..., 100:130] = 0.0
    loud, quiet = (int(bin_bands()[number]) for number in (110, 900))
    config = SpectralLossConfig(stereo_by_energy=True)
    exact = _parameters(features, -1.0)

    def cost(band: int) -> float:
        wrong = exact.clone()
        wrong[..., NUM_BINS + band] += 1.0
        return float(spectral_loss(wrong, features, config)["difference"])

    assert cost(loud) > 20 * cost(quiet) > 0
