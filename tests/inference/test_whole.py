"""Whole requests in one go give what their steps give, one by one."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from arctone.errors import Cancelled, MemoryLimitError, ModelError  # noqa: E402
from arctone.inference.backends import torch as engine_torch  # noqa: E402
from arctone.inference.backends.torch import TorchBackend, load_backend  # noqa: E402
from arctone.inference.engine import Engine  # noqa: E402
from arctone.inference.request import GenerationRequest, Progress  # noqa: E402
from arctone.model_folder.config import ModelConfig  # noqa: E402
from arctone.model_folder.folder import read_model_config  # noqa: E402
from arctone.model_folder.tokenizer import Tokenizer  # noqa: E402
from tests import tiny_model  # noqa: E402


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write_checkpoint(tmp_path_factory.mktemp("model") / "checkpoint")


def _engine(folder: Path, config: ModelConfig, at_once: int, **settings: Any) -> Engine:
    parts = load_backend(folder, config, fused_batch_size=at_once, **settings)
    return Engine(parts, config, Tokenizer(folder, config.text.max_tokens))


def _sounds(engine: Engine, **fields: Any) -> list[np.ndarray]:
    fields = {"prompt": "a tone", "duration_seconds": 1.3, "seed": 3, "steps": 3, "normalize": "off"} | fields
    return [waveform.samples for waveform in engine.generate(GenerationRequest(**fields)).waveforms]


def _snr_db(wanted: np.ndarray, made: np.ndarray) -> float:
    assert wanted.shape == made.shape
    assert wanted.any()
    return float(10 * np.log10((wanted**2).sum() / max(((wanted - made) ** 2).sum(), 1e-30)))


@pytest.mark.parametrize(
    "fields",
    [
        {"sampler": "euler"},
        {"sampler": "heun", "cfg_scale": 1.0},
        {"sampler": "ping_pong", "cfg_scale": 1.0},
        {"sampler": "dpmpp_2m", "negative_prompt": "noise"},
        {"sampler": "dpmpp_3m_sde", "cfg_scale": 0.0},
        {"bpm": 120.0, "duration_seconds": 2.9},
        {"duration_seconds": 0.05},
    ],
)
def test_one_go_gives_the_sounds_of_the_steps(checkpoint: Path, fields: dict[str, Any]) -> None:
    steps, whole = (_engine(checkpoint, tiny_model.CONFIG, at_once) for at_once in (0, 2))
    wanted, made = (_sounds(engine, variations=3, **fields) for engine in (steps, whole))
    assert len(made) == 3
    assert min(map(_snr_db, wanted, made)) > 45
    assert _snr_db(made[0], made[1]) < 3


def _parts(engine: Engine) -> TorchBackend:
    assert isinstance(engine.backend, TorchBackend)
    return engine.backend


def test_the_result_does_not_depend_on_how_many_are_made_at_once(checkpoint: Path) -> None:
    made = [_sounds(_engine(checkpoint, tiny_model.CONFIG, at_once), variations=4) for at_once in (1, 3, 4)]
    assert min(_snr_db(a, b) for others in made[1:] for a, b in zip(made[0], others, strict=True)) > 45


def test_what_was_recorded_serves_other_words_seeds_and_speeds(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[int] = []
    record = engine_torch.Recorded

    def counting(*given: Any) -> Any:
        recorded.append(1)
        return record(*given)

    monkeypatch.setattr(engine_torch, "Recorded", counting)
    steps, whole = (_engine(checkpoint, tiny_model.CONFIG, at_once) for at_once in (0, 1))
    requests: list[dict[str, Any]] = [
        {},
        {"seed": 4},
        {"prompt": "another tone", "bpm": 90.0},
        {"negative_prompt": "noise"},
    ]
    for fields in requests:
        assert _snr_db(*_sounds(steps, **fields), *_sounds(whole, **fields)) > 45
    assert len(recorded) == 1
    for number in range(engine_torch.NUM_RECORDED + 1):
        _sounds(whole, steps=4 + number)
    assert len(recorded) == 2 + engine_torch.NUM_RECORDED
    assert len(_parts(whole)._recorded) == engine_torch.NUM_RECORDED
    whole.close()
    assert not _parts(whole)._recorded


def test_lengths_of_compiled_models_are_filled_up(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile, seen = torch.compile, []

    def eager(module: Any, **settings: Any) -> Any:
        seen.append(settings["mode"])
        return compile(module, backend="eager", dynamic=settings["dynamic"])

    monkeypatch.setattr(torch, "compile", eager)
    steps = _engine(checkpoint, tiny_model.CONFIG, 0)
    whole = _engine(checkpoint, tiny_model.CONFIG, 2, compiled=True)
    assert _snr_db(_sounds(steps)[0], _sounds(whole)[0]) > 45
    assert seen == ["default", "default"]  # never with graphs of torch's own inside ours


def test_edits_loops_and_long_sounds_go_step_by_step(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _engine(checkpoint, tiny_model.CONFIG, 2)
    monkeypatch.setattr(TorchBackend, "generate_fused", lambda *_: pytest.fail("made in one go"))
    for fields in ({"loop": True}, {"duration_seconds": 4.0}):
        assert _sounds(whole, **fields)[0].any()
    with pytest.raises(pytest.fail.Exception, match="made in one go"):
        _sounds(whole)


def test_processors_work_step_by_step_by_default(checkpoint: Path) -> None:
    assert load_backend(checkpoint, tiny_model.CONFIG).fused_batch_size == 0


def test_progress_ends_where_it_should_and_a_request_to_stop_is_met(checkpoint: Path) -> None:
    whole = _engine(checkpoint, tiny_model.CONFIG, 2)
    request = GenerationRequest(prompt="a tone", duration_seconds=1.3, steps=3, seed=1, variations=3)
    seen: list[Progress] = []
    result = whole.generate(request, on_progress=seen.append)
    assert [p for p in seen if p.stage == "sampling"] == [Progress("sampling", item, 3, 3) for item in range(3)]
    assert set(result.timings_ms) == {"whole", "total"}
    asked = iter([False, True])
    with pytest.raises(Cancelled):
        whole.generate(request, cancel=lambda: next(asked))


def test_values_that_are_no_numbers_are_an_error(checkpoint: Path) -> None:
    whole = _engine(checkpoint, tiny_model.CONFIG, 1)
    with torch.no_grad():
        _parts(whole)._part("dit").leave.bias.fill_(float("nan"))
    with pytest.raises(ModelError, match="tiny gave values that are not finite"):
        _sounds(whole)


def test_where_memory_is_short_sounds_are_made_one_by_one(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roomy, tight = (_engine(checkpoint, tiny_model.CONFIG, 3) for _ in range(2))
    wanted = _sounds(roomy, variations=3)
    room, call = [1], engine_torch.Recorded.__call__

    def limited(recorded: Any, *inputs: Any) -> Any:
        if inputs[4].shape[1] > room[0]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return call(recorded, *inputs)

    monkeypatch.setattr(engine_torch.Recorded, "__call__", limited)
    assert min(map(_snr_db, wanted, _sounds(tight, variations=3))) > 45
    assert _parts(tight).fused_batch_size == 1
    room[0] = 0
    with pytest.raises(MemoryLimitError, match=r"duration_seconds 1\.3 needs more memory"):
        _sounds(tight)


def _meta(engine: Engine) -> TorchBackend:
    """The parts of an engine without their values: what asks for a value, or mixes in a tensor of the host, fails."""
    parts = _parts(engine)
    names = ("text", "dit", "encoder", "decoder")
    modules = {name: parts._part(name).to("meta") for name in names}
    return TorchBackend(engine.config, {n: lambda m=m: m for n, m in modules.items()}, "meta", fused_batch_size=2)


@pytest.mark.parametrize("kind", ["spectral", "small"])
def test_nothing_waits_for_a_value_or_for_the_host(
    kind: str, checkpoint: Path, tiny_published_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What CUDA asks of a function that is recorded, as far as it can be seen without CUDA."""
    folder = checkpoint if kind == "spectral" else tiny_published_folders / kind
    engine = _engine(folder, read_model_config(folder), 2)
    engine.backend = _meta(engine)
    found: list[Any] = []
    # Both ask for a kind of device that has values.
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _: False)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(torch.Tensor, "cpu", lambda value: found.append(value) or torch.zeros(value.shape))
    _sounds(engine, variations=2, cfg_scale=2.0, duration_seconds=0.5)
    assert found[-1].device.type == "meta"
    assert found[-1].shape[:2] == (2, 2)
