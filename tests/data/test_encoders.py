"""The encoders of a model folder give what its modules give."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from arctone.audio.spectral.features import features  # noqa: E402
from arctone.checkpoints.folder import AUTOENCODER, encoder_hash, load_autoencoder, save_part  # noqa: E402
from arctone.data.encoders import open_autoencoder, open_text_encoder  # noqa: E402
from arctone.errors import UsageError  # noqa: E402
from arctone.model_folder.config import ModelConfig, SpectralConfig, TextConfig  # noqa: E402
from arctone.models.spectral import SpectralAutoencoder  # noqa: E402
from arctone.models.text import TextEncoder  # noqa: E402

CONFIG = ModelConfig(
    name="tiny",
    autoencoder=SpectralConfig(latent_channels=4, width=16),
    text=TextConfig(vocabulary=40, width=16, depth=1, heads=2, mlp_width=32, max_tokens=12),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("model")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_part(folder, AUTOENCODER, SpectralAutoencoder(CONFIG.autoencoder).state_dict(), CONFIG)
        save_file(TextEncoder(40, 12, 16, 1, 2, 32).state_dict(), folder / "text.safetensors")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "dog", "barking", "rain"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def noise(num_frames):
    return 0.1 * np.random.default_rng(0).standard_normal((3, 2, 2048 * num_frames)).astype(np.float32)


def test_latents_of_a_batch_are_those_of_its_clips_alone(model):
    encoding, module = open_autoencoder(model), load_autoencoder(model)
    audio = noise(6)
    latents = encoding.encode(audio)
    assert latents.shape == (3, 4, 6)
    for row, one in zip(latents, audio, strict=True):
        alone = module.encoder(torch.from_numpy(features(one))[None])[0].numpy()
        np.testing.assert_allclose(row, alone, atol=1e-5)
    assert (encoding.hash, encoding.hop_length, encoding.sample_rate) == (encoder_hash(model), 2048, 44_100)


def test_bfloat16_is_near_and_other_precisions_are_refused(model):
    exact = open_autoencoder(model).encode(noise(4))
    near = open_autoencoder(model, "bf16-mixed").encode(noise(4))
    assert 0 < np.abs(near - exact).std() < 0.05 * exact.std()
    with pytest.raises(UsageError, match="32-true or bf16-mixed, got 'fp8'"):
        open_autoencoder(model, "fp8")


def test_text_of_any_length_is_embedded_as_in_the_full_window(model):
    captions = ["a", "rain a dog", "a dog barking a dog barking a dog barking a dog barking a dog barking"]
    embedded = open_text_encoder(model).encode(captions)
    assert [len(tokens) for tokens, _ in embedded] == [3, 5, 12]  # with [CLS] and [SEP], cut to 12
    module = TextEncoder(40, 12, 16, 1, 2, 32)
    from safetensors.torch import load_file

    module.load_state_dict(load_file(model / "text.safetensors"))
    ids = torch.tensor([[2, 7, 4, 5, 3, 0, 0, 0, 0, 0, 0, 0]])
    tokens, pooled = module(ids, (ids > 0).float())
    np.testing.assert_allclose(embedded[1][0], tokens[0, :5].detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(embedded[1][1], pooled[0].detach().numpy(), atol=1e-5)
