"""Device and compiling of the torch engine, as far as a machine without a GPU can show them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from typer.testing import CliRunner  # noqa: E402

import arctone  # noqa: E402
from arctone.cli.main import app  # noqa: E402
from arctone.errors import UsageError  # noqa: E402
from arctone.inference.backends.base import TextEmbedding, VelocityInputs  # noqa: E402
from arctone.inference.backends.torch import found_device, load_backend  # noqa: E402
from tests import tiny_model  # noqa: E402


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights, for the torch engine alone."""
    return tiny_model.write_checkpoint(tmp_path_factory.mktemp("model") / "checkpoint")


def _samples(folder: Path, **settings: Any) -> np.ndarray:
    result = arctone.load(folder, engine="torch", **settings).generate("a tone", duration_seconds=1.3, seed=3)
    return result.waveforms[0].samples


def _velocity(folder: Path, frames: int, *, compiled: bool) -> np.ndarray:
    parts, text = load_backend(folder, tiny_model.CONFIG, compiled=compiled), tiny_model.CONFIG.text
    words = TextEmbedding(
        np.ones((text.max_tokens, text.width), np.float32),
        np.ones(text.max_tokens, bool),
        np.ones(text.width, np.float32),
    )
    x = np.random.default_rng(0).standard_normal((8, frames)).astype(np.float32)
    return parts.velocity(VelocityInputs(x, 0.6, words, frames * 2048 / 44_100, 0.0, np.ones(frames, bool)))


def test_auto_is_cuda_where_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert found_device("auto") == "cpu"
    with pytest.raises(UsageError, match="device cuda was asked for"):
        found_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert found_device("auto") == found_device("cuda") == "cuda"
    assert found_device("cpu") == "cpu"


def test_compiled_gives_the_same_in_few_lengths(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    compile = torch.compile

    def counting(module: Any, **settings: Any) -> Any:
        assert settings["mode"] == "default"  # CUDA's graphs are for CUDA
        compiled = compile(module, backend="eager", dynamic=settings["dynamic"])

        def call(x: Any, *more: Any) -> Any:
            seen.append(x.shape[-1])
            return compiled(x, *more)

        return call

    monkeypatch.setattr(torch, "compile", counting)
    for frames in (20, 40, 64):
        wanted = _velocity(checkpoint, frames, compiled=False)
        np.testing.assert_allclose(_velocity(checkpoint, frames, compiled=True), wanted, atol=2e-5)
    assert seen == [64, 64, 64]
    wanted = _samples(checkpoint)
    np.testing.assert_allclose(_samples(checkpoint, compiled=True), wanted, atol=1e-2 * np.abs(wanted).max())


def test_the_native_engine_refuses_what_only_torch_can_do(tiny_model_folder: Path) -> None:
    for settings, words in (({"device": "cuda"}, "device 'cuda' is"), ({"compiled": True}, "compiled is")):
        with pytest.raises(UsageError, match=f"{words} for the torch engine"):
            arctone.load(tiny_model_folder, engine="native", **settings)  # type: ignore[arg-type]
    assert arctone.load(tiny_model_folder, compiled=True).engine.backend.name == "torch"
    assert arctone.load(tiny_model_folder, device="cpu").engine.backend.name == "native"


def test_an_unknown_device_is_refused(checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="device must be one of"):
        arctone.load(checkpoint, engine="torch", device="tpu")


def test_bench_measures_with_them(checkpoint: Path) -> None:
    arguments = ["bench", "-m", str(checkpoint), "-d", "0.5", "--repeats", "1", "--device", "cpu", "--json"]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    assert json.loads(found.output)["engine"] == "torch"
