"""Tokens: fixed length, special tokens at both ends always, and a cut that is reported."""

import json
from pathlib import Path

import numpy as np
import pytest

from arctone.errors import ModelError, UsageError
from arctone.model_folder.tokenizer import Tokenizer

tokenizers = pytest.importorskip("tokenizers")

VOCABULARY = ["[UNK]", "[CLS]", "[SEP]", "rain", "on", "tin", "drum", "##s", "[PAD]"]
ID = {token: number for number, token in enumerate(VOCABULARY)}


def build(folder: Path, *, padding: bool = False) -> Path:
    """A WordPiece tokenizer like the bundled model's, but small; its padding id is not 0."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(ID, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", ID["[CLS]"]), ("[SEP]", ID["[SEP]"])]
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    # Published files carry their own length and padding, which must not count here.
    tokenizer.enable_truncation(max_length=5)
    if padding:
        tokenizer.enable_padding(length=128, pad_id=3, pad_token="rain")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_known_tokens(tmp_path: Path) -> None:
    tokens = Tokenizer(build(tmp_path), num_tokens=8).encode("Rain on drums")
    assert tokens.ids.tolist() == [ID[t] for t in ["[CLS]", "rain", "on", "drum", "##s", "[SEP]", "[PAD]", "[PAD]"]]
    assert tokens.mask.tolist() == [True] * 6 + [False] * 2
    assert (tokens.ids.dtype, tokens.mask.dtype) == (np.int32, np.bool_)
    assert tokens.was_cut is False


@pytest.mark.parametrize("num_words, was_cut", [(61, False), (62, False), (63, True), (1000, True)])
def test_long_prompts_keep_the_final_token(tmp_path: Path, num_words: int, was_cut: bool) -> None:
    tokens = Tokenizer(build(tmp_path)).encode("rain " * num_words)
    assert tokens.ids.shape == tokens.mask.shape == (64,)
    assert tokens.was_cut is was_cut
    num_real = min(num_words + 2, 64)
    assert int(tokens.mask.sum()) == num_real
    assert tokens.ids[0] == ID["[CLS]"]
    assert tokens.ids[num_real - 1] == ID["[SEP]"]
    assert (tokens.ids[1 : num_real - 1] == ID["rain"]).all()
    assert (tokens.ids[num_real:] == ID["[PAD]"]).all()


def test_the_files_own_padding_id_is_used(tmp_path: Path) -> None:
    tokens = Tokenizer(build(tmp_path, padding=True), num_tokens=6).encode("tin")
    assert tokens.ids.tolist() == [ID["[CLS]"], ID["tin"], ID["[SEP]"], 3, 3, 3]
    assert int(tokens.mask.sum()) == 3


@pytest.mark.parametrize("prompt", ["", " \n", "🎵 雨 \0", "x" * 2000, "a" * 100_000])
def test_any_prompt_has_both_ends(tmp_path: Path, prompt: str) -> None:
    tokens = Tokenizer(build(tmp_path)).encode(prompt)
    assert tokens.ids[0] == ID["[CLS]"]
    assert tokens.ids[tokens.mask][-1] == ID["[SEP]"]


def test_one_prompt_does_not_touch_the_next(tmp_path: Path) -> None:
    tokenizer = Tokenizer(build(tmp_path))
    before = tokenizer.encode("rain")
    tokenizer.encode("tin " * 500)
    after = tokenizer.encode("rain")
    np.testing.assert_array_equal(before.ids, after.ids)
    assert after.was_cut is False


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer\.json does not exist, but a model folder needs it\.$"):
        Tokenizer(tmp_path)
    for text in ("", "{}", "not json", json.dumps({"model": {"type": "Nothing"}})):
        (tmp_path / "tokenizer.json").write_text(text)
        with pytest.raises(ModelError, match=r"tokenizer\.json is not a tokenizer file: .*\.$"):
            Tokenizer(tmp_path)


def test_no_room_for_the_prompt(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="num_tokens must be above the 2 special tokens, got 2"):
        Tokenizer(build(tmp_path), num_tokens=2)
