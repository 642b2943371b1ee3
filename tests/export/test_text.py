"""The text encoder against a second implementation, and its masking."""

from pathlib import Path

import pytest
import torch

from arctone.errors import ModelError
from arctone.export.bundle import minilm_folder
from arctone.models.text import TextEncoder, convert_bert, load_minilm


@pytest.fixture
def encoder() -> TextEncoder:
    torch.manual_seed(0)
    return TextEncoder(vocabulary=50, length=12, width=16, depth=2, num_heads=4, hidden=32).eval()


def test_padding_has_no_effect(encoder: TextEncoder) -> None:
    mask = (torch.arange(12) < 5).float()[None]
    ids = torch.arange(12, dtype=torch.int32)[None]
    other = torch.where(mask > 0, ids, 40).int()
    tokens, pooled = encoder(ids, mask)
    assert torch.equal(tokens, encoder(other, mask)[0])
    assert not tokens[0, 5:].any()
    assert torch.allclose(pooled.norm(dim=1), torch.ones(1))
    mean = tokens[0, :5].mean(0)
    assert torch.allclose(pooled[0], mean / mean.norm(), atol=1e-6)


def test_order_matters(encoder: TextEncoder) -> None:
    ids, mask = torch.arange(12, dtype=torch.int32)[None], torch.ones(1, 12)
    assert not torch.allclose(encoder(ids, mask)[1], encoder(ids.flip(1), mask)[1])


def small_bert() -> object:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        max_position_embeddings=20,
        layer_norm_eps=1e-12,
    )
    return transformers.BertModel(config).eval()


def test_published_names_give_the_states_of_the_reference() -> None:
    bert = small_bert()
    ours = TextEncoder(vocabulary=60, length=12, width=16, depth=2, num_heads=4, hidden=32).eval()
    ours.load_state_dict(convert_bert(bert.state_dict(), 12))  # type: ignore[attr-defined]
    ids = torch.randint(0, 60, (3, 12))
    mask = (torch.arange(12) < torch.tensor([[3], [12], [7]])).float()
    with torch.no_grad():
        wanted = bert(input_ids=ids, attention_mask=mask.long()).last_hidden_state * mask[..., None]  # type: ignore[operator]
        assert torch.allclose(ours(ids.int(), mask)[0], wanted, atol=2e-5)


def test_the_published_model_tells_paraphrases_from_other_sounds() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    try:
        folder: Path = minilm_folder()
    except ModelError:
        pytest.skip("the package with the published weights is not installed")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(length=64)
    tokenizer.enable_truncation(64)
    batch = tokenizer.encode_batch(["a dog barking", "canine woof", "funky drum loop"])
    ids = torch.tensor([item.ids for item in batch], dtype=torch.int32)
    mask = torch.tensor([item.attention_mask for item in batch]).float()
    pooled = load_minilm(folder)(ids, mask)[1]
    near, far = float(pooled[0] @ pooled[1]), float(pooled[0] @ pooled[2])
    assert near > far + 0.2
