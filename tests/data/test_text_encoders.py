"""Text encoders of model folders: a model that was exported brings its own, as graphs."""

from pathlib import Path

import numpy as np

import arctone
from arctone.checkpoints.text import is_minilm
from arctone.data.encoders import open_text_encoder
from arctone.model_folder.config import TextConfig


def test_the_text_encoder_of_an_exported_model_is_its_own(tiny_model_folder: Path, tmp_path: Path) -> None:
    """Not the installed all-MiniLM-L6-v2, which is of other sizes."""
    encoding = open_text_encoder(tiny_model_folder)
    ((tokens, pooled),) = encoding.encode(["rain"])
    model = arctone.load(tiny_model_folder, engine="native", threads=1)
    known = model.engine.tokenizer.encode("rain")
    expected = model.engine.backend.encode_text(known.ids, known.mask)
    model.close()
    assert np.abs(tokens - expected.tokens[known.mask]).max() < 0.02  # the graphs compute in 8 bits
    assert np.abs(pooled - expected.pooled).max() < 0.02  # the graphs compute in 8 bits
    assert len(encoding.hash) == 64


def test_only_the_sizes_of_minilm_are_taken_for_it() -> None:
    assert is_minilm(TextConfig())
    assert is_minilm(TextConfig(max_tokens=16))
    assert not is_minilm(TextConfig(vocabulary=256, width=32, depth=1, heads=2, mlp_width=64, max_tokens=16))
