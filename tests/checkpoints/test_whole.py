"""Published models make whole requests in one go as they make them step by step."""

from pathlib import Path

import numpy as np
import pytest

from arctone.inference.backends.torch import load_backend
from arctone.inference.engine import Engine
from arctone.inference.request import GenerationRequest
from arctone.model_folder.folder import read_model_config
from arctone.model_folder.tokenizer import Tokenizer
from tests.checkpoints.published_folders import ALL_KINDS
from tests.checkpoints.test_reference import assert_close


@pytest.mark.parametrize("cfg_scale", [1.0, 3.0])
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_one_go_gives_the_sounds_of_the_steps(kind: str, cfg_scale: float, converted: dict[str, Path]) -> None:
    folder, config = converted[kind], read_model_config(converted[kind])
    seconds = min(1.0, config.dit.max_seconds / 2)
    request = GenerationRequest(
        prompt="rain", duration_seconds=seconds, seed=5, steps=3, cfg_scale=cfg_scale, variations=2, normalize="off"
    )
    made: list[list[np.ndarray]] = []
    for at_once in (0, 2):
        parts = load_backend(folder, config, fused_batch_size=at_once)
        engine = Engine(parts, config, Tokenizer(folder, config.text.max_tokens))
        made.append([waveform.samples for waveform in engine.generate(request).waveforms])
    for one_by_one, together in zip(*made, strict=True):
        assert one_by_one.any()
        assert_close(together, one_by_one)
