"""The convolutional autoencoder: tiles are exact, the reach is what convolutions see, parts agree with torch."""

import pytest
import torch
from torch import Tensor

from arctone.model_folder.config import OobleckConfig
from arctone.models.oobleck import ENCODER_TILE, Oobleck, Snake, encoder_reach, tiled

CONFIG = OobleckConfig(latent_channels=3, width=2, multipliers=(1, 2, 2, 2, 4))


@pytest.fixture(scope="module")
def oobleck() -> Oobleck:
    torch.manual_seed(0)
    module = Oobleck(CONFIG).double().eval()
    for value in module.parameters():
        value.data += 0.05 * torch.randn_like(value)
    return module.requires_grad_(False)


def test_decoding_in_tiles_is_decoding_at_once(oobleck: Oobleck) -> None:
    latents = torch.randn(1, 3, 24, dtype=torch.float64)
    whole = oobleck.decoder(latents, tile=None)
    for tile in (40, 100, 256):
        assert torch.allclose(oobleck.decoder(latents, tile=tile), whole, rtol=0, atol=1e-10)
    assert torch.allclose(oobleck.decoder(latents), whole, rtol=0, atol=1e-10)


def test_in_float32_tiles_differ_by_less_than_1e_4(oobleck: Oobleck) -> None:
    torch.manual_seed(1)
    module = Oobleck(CONFIG).eval().requires_grad_(False)
    latents = torch.randn(1, 3, 24)
    whole = module.decoder(latents, tile=None)
    assert (module.decoder(latents, tile=50) - whole).abs().max() < 1e-4 * whole.abs().max()


def test_encoding_in_tiles_is_encoding_at_once(oobleck: Oobleck) -> None:
    encoder = oobleck.encoder
    frames = ENCODER_TILE + 2 * encoder_reach(CONFIG) + 3
    samples = torch.randn(1, 2, CONFIG.hop_length * frames, dtype=torch.float64)
    whole = encoder._whole(samples)
    mean, scale = encoder(samples)
    assert torch.allclose(torch.cat([mean, scale], dim=1), whole, rtol=0, atol=1e-10)


def test_a_frames_sound_depends_on_no_frame_beyond_the_reach(oobleck: Oobleck) -> None:
    reach, kept = CONFIG.reach_frames, 4
    latents = torch.randn(1, 3, kept + reach + 4, dtype=torch.float64)
    whole = oobleck.decoder(latents, tile=None)[..., : kept * CONFIG.hop_length]

    def cut(frames: int) -> Tensor:
        return oobleck.decoder(latents[..., :frames], tile=None)[..., : kept * CONFIG.hop_length]

    assert torch.allclose(cut(kept + reach), whole, rtol=0, atol=1e-10)
    # The reach is no mere bound that is far too wide.
    assert not torch.allclose(cut(kept + reach - 5), whole, rtol=0, atol=1e-6)


def test_frames_per_sample_and_back(oobleck: Oobleck) -> None:
    assert CONFIG.hop_length == 2048
    assert oobleck.decoder(torch.zeros(1, 3, 5, dtype=torch.float64)).shape == (1, 2, 5 * 2048)
    assert oobleck.encoder(torch.zeros(1, 2, 5 * 2048, dtype=torch.float64))[0].shape == (1, 3, 5)


def test_snake_is_its_formula_with_and_without_gradients() -> None:
    snake = Snake(3).double()
    snake.alpha.data = torch.tensor([0.0, 1.0, -1.0]).double()
    snake.beta.data = torch.tensor([0.5, 0.0, -0.5]).double()
    x = torch.linspace(-4, 4, 50).double().expand(1, 3, 1, 50)
    rate, amount = snake.alpha.exp()[:, None, None], 1 / (snake.beta.exp() + 1e-9)[:, None, None]
    wanted = x + amount * torch.sin(rate * x) ** 2
    assert torch.allclose(snake(x.clone().requires_grad_()), wanted, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(snake(x), wanted, atol=1e-6)


@pytest.mark.parametrize("length", [1, 9, 10, 11, 57])
def test_tiles_of_a_sliding_sum(length: int) -> None:
    def slide(x: Tensor) -> Tensor:
        return torch.nn.functional.conv1d(x, torch.ones(1, 1, 5, dtype=x.dtype), padding=2)

    x = torch.arange(length, dtype=torch.float64)[None, None]
    assert torch.equal(tiled(slide, x, 6, 2, (1, 1)), slide(x))
