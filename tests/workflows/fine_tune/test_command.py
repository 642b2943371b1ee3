"""`arctone train lora` from a folder of sounds to a tuned model and its page, on the tiny model."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

import arctone
from arctone.audio.files import read_audio
from arctone.checkpoints.folder import DIT, FLOW, encoder_hash, load_config, load_dit, load_state, part_hash, save_part
from arctone.checkpoints.lora import load_adapter
from arctone.cli.main import run
from arctone.cli.train import app
from arctone.data.encoders import open_autoencoder
from arctone.errors import ArctoneError, InputFileError, ModelError, UsageError
from arctone.model_folder.config import SamplingConfig
from arctone.training import post_training, stages
from tests import tiny_model

STEPS = 150
# The last layer of random weights is too weak for the blocks alone to change the sound through it.
MORE = ["--rank", "8", "--target", "to_out", "--target", "leave", "--set", "rate=0.02", "--threads", "1", "-e", "mel"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a training checkpoint."""
    return tiny_model.write_checkpoint(tmp_path_factory.mktemp("models") / "checkpoint")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tones of one second; one has a caption."""
    folder = tmp_path_factory.mktemp("own")
    time = np.arange(44_100) / 44_100
    for number in range(6):
        tone = 0.4 * np.sin(2 * np.pi * (220 + 20 * number) * time)
        soundfile.write(folder / f"my-tone_{number}.wav", tone, 44_100)
    (folder / "my-tone_0.txt").write_text("a tone of mine\n")
    return folder


def _train(*words: object) -> str:
    done = CliRunner().invoke(app, ["lora", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


@pytest.fixture(scope="module")
def tuned(model: Path, own: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An adapter's folder, and what the command said."""
    out = tmp_path_factory.mktemp("runs") / "mylora"
    said = _train(own, "--model", model, "--out", out, "--steps", STEPS, "--report-prompts", 2, *MORE)
    return out, said


def test_the_command_says_what_it_does(tuned: tuple[Path, str]) -> None:
    _, said = tuned
    assert "5 clips to train on, 1 kept apart" in said
    assert "5 clips have no caption; theirs is made up, such as 'my tone'" in said
    assert f"{STEPS} of {STEPS} steps done" in said
    assert "report.html" in said


def test_the_adapter_belongs_to_the_model(model: Path, tuned: tuple[Path, str]) -> None:
    adapter = load_adapter(tuned[0])
    assert adapter.origin.base_hash == part_hash(model, DIT)
    assert (adapter.origin.base_name, adapter.origin.steps, adapter.scale) == ("tiny", STEPS, 1.0)
    assert all(up.any() for _, up in adapter.pairs.values())


def test_what_is_made_came_nearer_to_the_sounds(model: Path, own: Path, tuned: tuple[Path, str]) -> None:
    """Measured where the flow lives: the output of a decoder with random weights hardly depends on it."""
    encode = arctone.load(model, engine="torch").engine.backend.encode
    real = np.stack([encode(read_audio(path).samples.repeat(2, axis=0)) for path in sorted(own.glob("*.wav"))])
    goal = real.mean(axis=(0, 2))

    def sampled(adapters: list[tuple[Path, float]]) -> float:
        opened = arctone.load(model, engine="torch", adapters=adapters)
        seen: list[np.ndarray] = []
        decode = opened.engine.backend.decode
        opened.engine.backend.decode = lambda latents, seed=0: (seen.append(latents), decode(latents, seed))[1]  # type: ignore
        for seed in range(8):
            opened.generate("my tone", duration_seconds=1.0, seed=seed, cfg_scale=1.0, steps=8)
        return float(np.abs(np.stack(seen).mean(axis=(0, 2)) - goal).mean())

    far, half, near = (sampled([(tuned[0], strength)]) for strength in (0.0, 0.5, 1.0))
    assert near < 0.4 * far
    assert near < half < far


def test_the_page_has_its_sounds_and_its_numbers(tuned: tuple[Path, str]) -> None:
    out, _ = tuned
    page = (out / "report.html").read_text()
    sounds = re.findall(r'src="([^"]+)"', page)
    # The one kept apart is asked twice: before, after, yours. Two general prompts: before, after.
    assert len(sounds) == 2 * 3 + 2 * 2
    assert "2 sounds are too few to conclude anything" in page
    for path in sounds:
        assert (out / path).is_file()
        assert read_audio(out / path).num_channels == 2
    numbers = json.loads((out / "report.json").read_text())
    (one,) = numbers["comparisons"]
    assert one["embedder"] == "mel"
    assert one["own_change"]["value"] == pytest.approx(one["own_after"]["value"] - one["own_before"]["value"], abs=1e-5)
    assert f"{one['own_after']['value']:.3f}" in page
    assert one["rest_moved"]["count"] == 2
    assert numbers["are_apart"] is True
    assert "http" not in page.replace("http://www.w3.org", "")


def test_generate_and_merge_take_it_and_redo_asks_for_it(
    model: Path, tuned: tuple[Path, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tuned[0]
    given = ["-m", str(model), "--engine", "torch", "-d", "0.5", "-s", "3"]
    assert run(["generate", "my tone", *given, "--lora", f"{out}:0.5", "-o", str(tmp_path / "a.wav")]) == 0
    assert run(["generate", "my tone", *given, "-o", str(tmp_path / "plain.wav")]) == 0
    merged = ["lora", "merge", f"{out}:0.5", "--model", str(model), "-o", str(tmp_path / "merged")]
    assert run(merged) == 0
    given[1] = str(tmp_path / "merged")
    assert run(["generate", "my tone", *given, "-o", str(tmp_path / "b.wav")]) == 0
    sounds = {name: read_audio(tmp_path / f"{name}.wav").samples for name in ("a", "b", "plain")}
    assert np.array_equal(sounds["a"], sounds["b"])
    assert not np.array_equal(sounds["a"], sounds["plain"])
    again = ["redo", str(tmp_path / "a.wav"), "-m", str(model), "-o", str(tmp_path / "again.wav")]
    capfd.readouterr()
    assert run(again) == 4
    assert "was made with the adapters mylora:0.5; give their folders with --lora" in capfd.readouterr().err
    assert run([*again, "--lora", f"{out}:0.5"]) == 0
    assert (tmp_path / "again.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()
    assert run(["lora", "show", str(out)]) == 0
    assert f"{STEPS} steps" in capfd.readouterr().out


def test_a_run_continues_and_refuses_other_settings(model: Path, own: Path, tmp_path: Path) -> None:
    given = [own, "--model", model, "--report-prompts", 0, *MORE]
    for steps in (3, 6):
        assert f"{steps} of {steps} steps done" in _train(*given, "--steps", steps, "--out", tmp_path / "parts")
    for words, sentence in (
        (["--rank", "4"], "was begun with rank 8, not 4"),
        (["--caption", "x"], "was begun with caption"),
        (["--target", "to_q"], r"was begun with target \["),
    ):
        with pytest.raises(UsageError, match=sentence):
            _train(*given, "--out", tmp_path / "parts", *words)
    with pytest.raises(UsageError, match="was begun with kind lora, not full"):
        _train(*given[:5], "--out", tmp_path / "parts", "--full")


def test_all_weights_can_be_trained(model: Path, own: Path, tmp_path: Path) -> None:
    out = tmp_path / "full"
    _train(own, "--model", model, "--out", out, "--full", "--steps", 5, "--report-prompts", 1, "--embedder", "mel")
    old, new = load_dit(model).state_dict(), load_dit(out).state_dict()
    assert any(not torch.equal(old[name], new[name]) for name in old)
    assert arctone.load(out, engine="torch").generate("my tone", duration_seconds=0.3).waveforms[0].num_channels == 2
    assert (out / "report.html").exists()


def _post_trained(model: Path, folder: Path) -> Path:
    """A post-trained model as the stages leave it: other weights, and the flow's next to them."""
    post_training._model_to_post_train(model, folder)
    state = {name: value + 0.01 * torch.randn_like(value) for name, value in load_state(model, DIT).items()}
    save_part(folder, DIT, state, post_training.few_step(load_config(folder), part_hash(folder, FLOW)))
    return folder


def test_a_post_trained_model_is_tuned_through_its_flow(model: Path, own: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    fast = _post_trained(model, tmp_path / "fast")
    assert part_hash(fast, FLOW) == part_hash(model, DIT) == load_config(fast).flow_hash
    given = [own, "--model", fast, "--steps", 5, "--report-prompts", 0, *MORE]
    _train(*given, "--out", tmp_path / "adapter")
    assert load_adapter(tmp_path / "adapter").origin.base_hash == part_hash(model, DIT)
    for folder in (model, fast):
        opened = arctone.load(folder, engine="torch", adapters=[(tmp_path / "adapter", 1.0)])
        assert opened.engine.adapters[0].name == "adapter"
    _train(*given[:7], "--full", "--out", tmp_path / "full")
    change = {name: value - load_state(fast, FLOW)[name] for name, value in load_state(tmp_path / "full", FLOW).items()}
    for name, value in load_state(tmp_path / "full", DIT).items():
        assert torch.allclose(value, load_state(fast, DIT)[name] + change[name], atol=1e-6), name
    assert load_config(tmp_path / "full").flow_hash == part_hash(tmp_path / "full", FLOW)
    (fast / "flow.safetensors").unlink()
    with pytest.raises(UsageError, match=r"is post-trained and holds no flow.safetensors"):
        _train(*given, "--out", tmp_path / "other")


def test_training_as_a_flow_goes_on_from_the_flow_of_a_post_trained_model(model: Path, tmp_path: Path) -> None:
    from arctone.training.recipes import recipe

    fast = _post_trained(model, tmp_path / "fast")
    stage = stages.FlowStage(recipe("spark"), tmp_path, tmp_path / "out", fast)
    stage.prepare()
    assert stage.config == load_config(tmp_path / "out") == load_config(model)
    assert part_hash(tmp_path / "out", "autoencoder") == part_hash(model, "autoencoder")
    (fast / "flow.safetensors").unlink()
    with pytest.raises(UsageError, match="is post-trained and holds no flow"):
        stages.FlowStage(recipe("spark"), tmp_path, tmp_path / "other", fast).prepare()
    assert not (tmp_path / "other").exists()


def test_an_older_post_trained_model_gives_a_flow_that_is_sampled_the_usual_way() -> None:
    before = msgspec.structs.replace(tiny_model.CONFIG, sampling=SamplingConfig("heun", 9, 2.5, 3.0))
    after = post_training.few_step(before, "hash")
    assert after.of_flow == before.of_flow == before
    older = msgspec.structs.replace(after, flow_sampling=None).of_flow
    assert older.sampling == SamplingConfig(duration_seconds=3.0)


def test_a_flow_that_begins_with_a_shipped_model_brings_its_parts(tiny_model_folder: Path, tmp_path: Path) -> None:
    from arctone.training.recipes import recipe

    stage = stages.FlowStage(recipe("spark"), tmp_path, tmp_path, tiny_model_folder)
    stage.prepare()
    assert stage.config == tiny_model.CONFIG
    assert part_hash(tmp_path, "autoencoder") == part_hash(tiny_model_folder, "autoencoder")
    assert open_autoencoder(tiny_model_folder).hash == encoder_hash(tmp_path)
    save_part(tmp_path, DIT, load_state(tiny_model_folder, DIT), stage.config)
    wanted = arctone.load(tiny_model_folder, engine="torch").generate("a tone", duration_seconds=0.3, seed=1)
    got = arctone.load(tmp_path, engine="torch").generate("a tone", duration_seconds=0.3, seed=1)
    assert np.array_equal(wanted.waveforms[0].samples, got.waveforms[0].samples)


@pytest.mark.parametrize(
    ("words", "kind", "sentence"),
    [
        (["--rank", "8", "--alpha", "-1"], UsageError, "alpha: -1 is not possible"),
        (["--rank", "0"], UsageError, "rank: 0 is not possible"),
        (["--full", "--rank", "4"], UsageError, "rank: has no effect with --full"),
        (["--full", "--target", "to_q"], UsageError, "target: has no effect with --full"),
        (["--dropout", "1"], UsageError, "dropout: 1 is not possible"),
        (["--target", "nothing"], UsageError, "target: 'nothing' is no linear layer"),
        (["--report-prompts", "13"], UsageError, "report_prompts: 13 is not possible"),
        (["--embedder", "nobody"], UsageError, "embedder must be one of"),
        (["--set", "speed=3"], UsageError, "set: 'speed' is unknown"),
        (["--precision", "8"], UsageError, "precision: '8' is unknown"),
        (["--model", "nobody"], ModelError, "neither a folder nor a known name"),
    ],
)
def test_bad_options_end_before_anything_is_written(
    model: Path, own: Path, tmp_path: Path, words: list[str], kind: type[ArctoneError], sentence: str
) -> None:
    out = tmp_path / "out"
    with pytest.raises(kind, match=sentence):
        _train(own, "--model", model, "--out", out, *words)
    assert not out.exists()


def test_bad_sounds_are_named(model: Path, own: Path, tmp_path: Path) -> None:
    given = ["--model", model, "--out", tmp_path / "out", "--steps", 2, "--report-prompts", 0]
    with pytest.raises(InputFileError, match="does not exist"):
        _train(tmp_path / "none", *given)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputFileError, match="holds no sound file"):
        _train(tmp_path / "empty", *given)
    mixed = tmp_path / "mixed"
    shutil.copytree(own, mixed)
    (mixed / "broken.wav").write_bytes(b"no sound")
    with pytest.raises(InputFileError, match=r"1 files cannot be used \(--skip-bad leaves them out\)"):
        _train(mixed, *given)
    assert not (tmp_path / "out").exists()
    assert "left out: " in _train(mixed, *given, "--skip-bad")


@pytest.mark.parametrize(
    ("option", "found"),
    [
        ("runs/mine", ("runs/mine", 1.0)),
        ("runs/mine:0.8", ("runs/mine", 0.8)),
        ("runs/mine:-1", ("runs/mine", -1.0)),
        ("C:\\runs\\mine", ("C:\\runs\\mine", 1.0)),
        ("C:\\runs\\mine:2", ("C:\\runs\\mine", 2.0)),
    ],
)
def test_an_adapter_option_is_a_path_and_a_strength(option: str, found: tuple[str, float]) -> None:
    from arctone.cli.options import parse_adapters

    assert parse_adapters([option]) == ((Path(found[0]), found[1]),)


@pytest.mark.parametrize("option", ["", ":1", "runs/mine:loud", "runs/mine:nan", "runs/mine:"])
def test_an_adapter_option_without_a_meaning_is_refused(option: str) -> None:
    from arctone.cli.options import parse_adapters

    with pytest.raises(UsageError, match="must be PATH or PATH:STRENGTH"):
        parse_adapters([option])
