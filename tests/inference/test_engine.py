"""Generation end to end on a tiny random model, native engine."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import arctone
from arctone.errors import Cancelled, MemoryLimitError, ModelError, UsageError
from arctone.inference.engine import Engine, Model
from arctone.inference.request import GenerationRequest, GenerationResult, Progress


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> Iterator[Model]:
    loaded = arctone.load(tiny_model_folder, engine="native", threads=1)
    yield loaded
    loaded.close()


def samples(result: GenerationResult, item: int = 0) -> np.ndarray:
    return result.waveforms[item].samples


@pytest.mark.parametrize("seconds", [0.001, 0.5, 1.0, 1.4861, 2.97])
def test_the_sound_has_exactly_the_asked_length(model: Model, seconds: float) -> None:
    result = model.generate("rain", duration_seconds=seconds, seed=1, steps=1)
    assert samples(result).shape == (2, round(seconds * 44_100))
    assert result.waveforms[0].sample_rate == 44_100


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_sound(model: Model) -> None:
    first, again, other = (samples(model.generate("rain", seed=seed, steps=2)) for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes()
    assert not np.allclose(first, other)


def test_each_variation_equals_its_seed_alone(model: Model) -> None:
    together = model.generate("rain", seed=7, steps=2, variations=3, sampler="ping_pong")
    assert together.seeds == (7, 8, 9)
    for item, seed in enumerate(together.seeds):
        alone = model.generate("rain", seed=seed, steps=2, sampler="ping_pong")
        assert samples(together, item).tobytes() == samples(alone).tobytes()


def test_a_drawn_seed_is_reported_and_makes_the_sound_again(model: Model) -> None:
    drawn = model.generate("rain", steps=1)
    assert drawn.request.seed == drawn.seeds[0]
    assert samples(model.generate("rain", steps=1, seed=drawn.seeds[0])).tobytes() == samples(drawn).tobytes()


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a bell"},
        {"bpm": 90},
        {"cfg_scale": 5.0},
        {"cfg_scale": 0.0},
        {"negative_prompt": "thunder"},
        {"sampler": "heun"},
        {"steps": 3},
    ],
)
def test_every_choice_changes_the_sound(model: Model, change: dict[str, object]) -> None:
    plain = {"prompt": "rain", "seed": 5, "steps": 2, "normalize": "off"}
    base, changed = model.generate(**plain), model.generate(**{**plain, **change})  # type: ignore[arg-type]
    assert not np.array_equal(samples(base), samples(changed))


def test_without_guidance_the_prompt_does_not_reach_scale_zero(model: Model) -> None:
    one, two = (model.generate(prompt, seed=5, steps=2, cfg_scale=0) for prompt in ("rain", "a bell"))
    assert np.array_equal(samples(one), samples(two))


def test_the_level_policy_is_kept(model: Model) -> None:
    assert np.abs(samples(model.generate("rain", seed=1, steps=1))).max() == pytest.approx(10 ** (-1 / 20), rel=1e-4)
    off = np.abs(samples(model.generate("rain", seed=1, steps=1, normalize="off"))).max()
    assert off != pytest.approx(10 ** (-1 / 20), rel=1e-3)


def test_the_stream_tells_every_stage_and_step_and_ends_with_the_result(model: Model) -> None:
    request = GenerationRequest(prompt="rain", seed=1, steps=2, variations=2)
    *progress, result = model.engine.stream(request)
    reported = [(event.stage, event.item, event.step, event.num_steps) for event in progress]
    each = [("sampling", 0, 2), ("sampling", 1, 2), ("sampling", 2, 2), ("decoding", 0, 1), ("decoding", 1, 1)]
    items = [(stage, item, step, count) for item in range(2) for stage, step, count in each]
    assert reported == [("text", 0, 0, 1), ("text", 0, 1, 1), *items]
    assert isinstance(result, GenerationResult)


def test_the_result_tells_how_it_was_made(model: Model) -> None:
    result = model.generate("rain", steps=1)
    assert (result.engine, result.model_name, result.version) == ("native", "tiny", arctone.__version__)
    assert len(result.model_hash) == 64
    assert set(result.timings_ms) == {"text", "sampling", "decoding", "total"}
    assert all(value > 0 for value in result.timings_ms.values())
    left_open = {name for name in result.request.__struct_fields__ if getattr(result.request, name) is None}
    assert left_open == {"bpm", "key", "bars", "near", "init_noise_level"}


def test_threads_come_from_the_request_else_from_the_load(model: Model) -> None:
    assert model.generate("rain", steps=1).request.threads == 1
    assert model.generate("rain", steps=1, threads=2).request.threads == 2


def test_cancel_between_steps_stops_at_once(model: Model) -> None:
    stop = threading.Event()
    seen: list[Progress] = []

    def on_progress(event: Progress) -> None:
        seen.append(event)
        if (event.stage, event.step) == ("sampling", 2):
            stop.set()

    with pytest.raises(Cancelled):
        model.generate("rain", steps=50, on_progress=on_progress, cancel=stop.is_set)
    assert seen[-1].step == 2


def test_a_long_prompt_is_cut_and_the_result_says_so(model: Model) -> None:
    result = model.generate("a very long story " * 20, steps=1)
    assert any("prompt was truncated to 16 tokens" in warning for warning in result.warnings)
    assert model.generate("rain", steps=1).warnings == ()


def test_a_negative_prompt_without_guidance_is_warned_of(model: Model) -> None:
    result = model.generate("rain", negative_prompt="noise", cfg_scale=1, steps=1)
    assert result.warnings == ("negative_prompt has no effect at cfg_scale 1.",)


def test_guidance_on_a_post_trained_model_is_warned_of(model: Model) -> None:
    import msgspec

    sampling = msgspec.structs.replace(model.config.sampling, post_trained=True)
    config = msgspec.structs.replace(model.config, sampling=sampling)
    engine = Engine(model.engine.backend, config, model.engine.tokenizer)
    reported = engine.generate(GenerationRequest(prompt="rain", steps=1, cfg_scale=3.0)).warnings
    assert len(reported) == 1
    assert "cfg_scale is 3" in reported[0]
    assert engine.generate(GenerationRequest(prompt="rain", steps=1, cfg_scale=1.0)).warnings == ()


def test_a_duration_beyond_the_limit_is_refused(model: Model) -> None:
    with pytest.raises(
        UsageError, match=r"duration_seconds must be a number above 0 and at most 300 seconds, got 300\.1"
    ):
        model.generate("rain", duration_seconds=300.1)


def test_too_little_memory_is_one_sentence(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(model.engine.backend, "decode", exhausted)
    with pytest.raises(MemoryLimitError, match=r"duration_seconds 1\.0 needs more memory"):
        model.generate("rain", steps=1)


def test_values_that_are_not_finite_are_refused(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.engine.backend, "velocity", lambda inputs, *_: np.full_like(inputs.x, np.nan))
    with pytest.raises(ModelError, match="not finite"):
        model.generate("rain", steps=1)


def test_two_threads_get_what_one_gets(model: Model) -> None:
    alone = [samples(model.generate("rain", seed=seed, steps=3)) for seed in (1, 2)]
    found: dict[int, np.ndarray] = {}
    work = [
        threading.Thread(target=lambda s=s: found.update({s: samples(model.generate("rain", seed=s, steps=3))}))
        for s in (1, 2)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert all(np.array_equal(found[seed], alone[seed - 1]) for seed in (1, 2))


def test_an_unknown_model_is_refused_with_the_known_names() -> None:
    with pytest.raises(ModelError, match=r"model 'sparkle' is neither a folder nor a known name; known are: "):
        arctone.load("sparkle")


def test_an_unknown_engine_is_refused(tiny_model_folder: Path) -> None:
    with pytest.raises(UsageError, match="engine must be one of auto, native, torch, got 'cuda'"):
        arctone.load(tiny_model_folder, engine="cuda")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["dit.tflite", "config.json", "tokenizer.json"])
def test_an_altered_file_is_refused_by_name(tiny_model_folder: Path, tmp_path: Path, name: str) -> None:
    copy = copied(tiny_model_folder, tmp_path)
    with (copy / name).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(ModelError, match=f"{name} is not the file that hashes.json describes"):
        arctone.load(copy)


def test_a_missing_file_is_refused_by_name(tiny_model_folder: Path, tmp_path: Path) -> None:
    copy = copied(tiny_model_folder, tmp_path)
    (copy / "decoder.tflite").unlink()
    with pytest.raises(ModelError, match=r"decoder\.tflite is missing"):
        arctone.load(copy)


def test_a_damaged_graph_is_a_model_error(tiny_model_folder: Path, tmp_path: Path) -> None:
    copy = copied(tiny_model_folder, tmp_path)
    (copy / "hashes.json").unlink()
    (copy / "dit.tflite").write_bytes(b"not a graph" * 100)
    with pytest.raises(ModelError, match=r"dit\.tflite"):
        arctone.load(copy).generate("rain", steps=1)


def test_a_folder_without_config_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no config\.json"):
        arctone.load(tmp_path)


def test_the_weights_cache_changes_nothing(tiny_model_folder: Path, tmp_path: Path, model: Model) -> None:
    plain = samples(model.generate("rain", seed=1, steps=2))
    for _ in range(2):  # the first writes the cache, the second reads it
        cached = arctone.load(tiny_model_folder, threads=1, weights_cache=tmp_path / "cache")
        assert np.array_equal(samples(cached.generate("rain", seed=1, steps=2)), plain)
        cached.close()
    assert len(list((tmp_path / "cache").iterdir())) == 3  # text, transformer, decoder


def test_generation_needs_no_torch_and_says_nothing_on_the_terminal(tiny_model_folder: Path) -> None:
    program = """
import sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "safetensors", "litert_torch", "ai_edge_quantizer", "transformers"):
            raise AssertionError(f"{name} was imported")

sys.meta_path.insert(0, Forbidden())
import arctone
assert not {"numpy", "msgspec", "ai_edge_litert"} & set(sys.modules), "import arctone is not light"
result = arctone.load(sys.argv[1]).generate("rain", duration_seconds=1.5, steps=2, seed=1)
assert result.waveforms[0].samples.shape == (2, 66150)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tiny_model_folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def copied(folder: Path, target: Path) -> Path:
    import shutil

    return Path(shutil.copytree(folder, target / "copy"))
