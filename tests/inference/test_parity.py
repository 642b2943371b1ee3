"""The same numbers from graphs and from torch, whatever the length."""

from pathlib import Path

import numpy as np
import pytest

from arctone.errors import ModelError, UsageError
from arctone.export.graphs import snr_db
from arctone.inference.backends.base import Backend, TextEmbedding, VelocityInputs, fitting_window
from arctone.inference.backends.litert import LiteRTBackend
from arctone.inference.backends.torch import TorchBackend, load_backend
from arctone.model_folder.config import ModelConfig
from arctone.model_folder.folder import read_model_config

PARTS = ("text", "velocity", "unconditional", "decode", "encode")


@pytest.fixture(scope="module")
def config(tiny_model_folder: Path) -> ModelConfig:
    return read_model_config(tiny_model_folder)


@pytest.fixture(scope="module")
def native(tiny_model_folder: Path, config: ModelConfig) -> LiteRTBackend:
    return LiteRTBackend(tiny_model_folder, config, threads=1)


@pytest.fixture(scope="module")
def torch_parts(tiny_model_folder: Path, config: ModelConfig) -> TorchBackend:
    return load_backend(tiny_model_folder, config)


def compute(parts: Backend, part: str, config: ModelConfig, num_frames: int) -> np.ndarray:
    rng = np.random.default_rng(num_frames)
    length, width = config.text.max_tokens, config.text.width
    mask = np.arange(length) < 5
    tokens = (rng.standard_normal((length, width)) * mask[:, None]).astype(np.float32)
    text = TextEmbedding(tokens, mask, rng.standard_normal(width).astype(np.float32) / width**0.5)
    x = rng.standard_normal((config.dit.latent_channels, num_frames)).astype(np.float32)
    real = np.ones(num_frames, bool)
    if part == "text":
        ids = np.where(mask, rng.integers(4, 100, length), 0).astype(np.int32)
        return np.concatenate([parts.encode_text(ids, mask).tokens, parts.encode_text(ids, mask).pooled[None]])
    if part == "decode":
        return parts.decode(x, seed=1)
    if part == "encode":
        return parts.encode((0.1 * rng.standard_normal((2, 2048 * num_frames - 100))).astype(np.float32))
    return parts.velocity(VelocityInputs(x, 0.6, None if part == "unconditional" else text, 1.0, 120.0, real))


# 32 and 64 fill a static length, the others leave room in it.
@pytest.mark.parametrize("num_frames", [3, 32, 33, 64])
@pytest.mark.parametrize("part", ["text", "velocity", "unconditional", "encode"])
def test_int8_graphs_follow_torch(
    part: str, num_frames: int, native: LiteRTBackend, torch_parts: TorchBackend, config: ModelConfig
) -> None:
    wanted, got = (compute(parts, part, config, num_frames) for parts in (torch_parts, native))
    assert got.shape == wanted.shape
    assert got.dtype == np.float32
    assert snr_db(wanted, got) >= 30


def test_decoded_levels_follow_torch(native: LiteRTBackend, torch_parts: TorchBackend, config: ModelConfig) -> None:
    # Phases may part after a rounding error, so energies are compared: 4,096 samples at a time, in dB.
    wanted, got = (compute(parts, "decode", config, 40) for parts in (torch_parts, native))
    assert got.shape == wanted.shape == (2, 40 * 2048)
    energies = [10 * np.log10(np.square(x.reshape(2, -1, 4096)).mean(-1) + 1e-12) for x in (wanted, got)]
    assert np.abs(energies[0] - energies[1]).mean() < 0.5


def test_the_text_mask_is_honoured(native: LiteRTBackend, config: ModelConfig) -> None:
    mask = np.arange(config.text.max_tokens) < 6
    ids = np.arange(1, config.text.max_tokens + 1, dtype=np.int32)
    changed = np.where(mask, ids, 9).astype(np.int32)
    one, two = native.encode_text(ids, mask), native.encode_text(changed, mask)
    assert np.array_equal(one.tokens, two.tokens)
    assert np.all(one.tokens[~mask] == 0)
    assert np.linalg.norm(one.pooled) == pytest.approx(1, abs=1e-5)


def test_threads_can_change_without_changing_the_sound(native: LiteRTBackend, config: ModelConfig) -> None:
    one = compute(native, "velocity", config, 20)
    native.set_threads(2)
    two = compute(native, "velocity", config, 20)
    native.set_threads(1)
    assert snr_db(one, two) >= 60


def test_closed_parts_open_again(native: LiteRTBackend, config: ModelConfig) -> None:
    before = compute(native, "velocity", config, 10)
    native.close()
    assert np.array_equal(compute(native, "velocity", config, 10), before)


@pytest.mark.parametrize("frames, window", [(1, 64), (64, 64), (65, 128), (200, 256)])
def test_the_shortest_window_that_holds_is_taken(frames: int, window: int) -> None:
    assert fitting_window(("T256", "T64", "T128"), frames) == window


def test_a_sound_longer_than_all_windows_is_refused() -> None:
    with pytest.raises(UsageError, match="257 latent frames long, but this model's graphs hold 256"):
        fitting_window(("T64", "T256"), 257)
    with pytest.raises(ModelError, match="none for a number of frames"):
        fitting_window(("text",), 1)
