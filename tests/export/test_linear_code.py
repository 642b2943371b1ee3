"""The fixed linear code of the autoencoder in 8-bit graphs."""

from pathlib import Path

import pytest
import torch

from arctone.export.bundle import INT8, convert, quantise
from arctone.export.graphs import encoder_signatures, parity
from arctone.export.quantisation import rule_of
from arctone.model_folder.config import SpectralConfig
from arctone.models.spectral import SpectralEncoder


def test_the_linear_code_stays_float_in_an_int8_encoder(tmp_path: Path) -> None:
    """Powers of loud and silent bins are added up in it: in 8 bits the result was not even finite."""
    torch.manual_seed(0)
    encoder = SpectralEncoder(
        SpectralConfig(latent_channels=8, linear_channels=4, width=16, encoder_fine_blocks=0, encoder_blocks=0)
    )
    assert encoder.code is not None
    encoder.code.components.normal_()
    (signature,) = encoder_signatures(encoder, (4,))
    # Levels from silence to full scale, 80 dB apart in neighbouring bins.
    signature.inputs["features"] = 3 * torch.rand(1, 1121, 16) - 1.3
    convert([signature], tmp_path / "encoder.f32")
    quantise(tmp_path / "encoder.f32", tmp_path / "encoder.tflite")
    assert parity(tmp_path / "encoder.tflite", [signature])["snr_db_T4"] > 30


@pytest.mark.parametrize("name, bits", [("x/arctone.models.spectral.EnvelopeDecoder_code;1", 32), ("x/Linear_up;4", 8)])
def test_which_linear_layers_are_quantised(name: str, bits: int) -> None:
    assert rule_of("FULLY_CONNECTED", name, INT8).bits == bits
