"""Published models with few random weights: every stage trains them, and a killed run resumes as the same run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import arctone
from arctone.checkpoints.folder import load_config, load_state
from arctone.cli.train import app
from arctone.cli.training_options import TrainingOptions
from arctone.data.latent_shards import read_stored_latents
from arctone.data.latents import LatentDataset
from arctone.errors import UsageError
from arctone.training import post_training, stages
from arctone.training.batches import LatentBatches, silence_of
from arctone.training.loop import Trainer
from arctone.training.lora import TuneStage, fine_tuning, with_targets
from arctone.training.recipes import Recipe, recipe
from tests.data.test_latent_shards import packed, write_shard
from tests.training.published_parts import converted_model, encode_with, write_sounds


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tones."""
    return write_sounds(tmp_path_factory.mktemp("sounds") / "own")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shrunk base of Stable Audio Open small."""
    return converted_model("small-base", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def latents(model: Path, sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tones, encoded by that model."""
    return encode_with(model, sounds, tmp_path_factory.mktemp("latents"))


def _recipe(name: str = "paper", steps: int = 4, rate: float | None = None) -> Recipe:
    plan = recipe(name)
    loops = {}
    for stage in ("flow", "arc"):
        loop = dataclasses.replace(getattr(plan, f"{stage}_loop"), total_steps=steps, precision="32-true", log_every=1)
        if rate is not None:
            loop = dataclasses.replace(loop, rate=rate, schedule="cosine")
        loops[f"{stage}_loop"] = loop
    return dataclasses.replace(plan, **loops, flow_batch_frames=96, arc_batch_frames=48)  # type: ignore[arg-type]


def _state(trainer: Trainer) -> dict[str, torch.Tensor]:
    roles = {
        f"{role}.{name}": value
        for role, part in trainer.parts.items()
        for name, value in part.module.state_dict().items()
    }
    return roles | {f"ema.{name}": value for name, value in trainer.ema.state.items()}


def _killed_and_resumed_is_the_same(
    stage: Callable[[Path], stages.Stage], folder: Path, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Run a stage in `folder`/whole, and in `folder`/parts with a step lost; `meanwhile` happens before it resumes."""
    wanted = _state(stages.run_stage(stage(folder / "whole")))
    first = stage(folder / "parts").trainer()
    for _ in range(2):
        first.one_step()
    first.save()
    first.one_step()  # lost, as by a kill
    meanwhile()
    again = _state(stages.run_stage(stage(folder / "parts")))
    assert all(torch.equal(value, wanted[key]) for key, value in again.items())


def test_flow_training_lowers_the_loss_and_the_model_still_generates(
    model: Path, latents: Path, tmp_path: Path
) -> None:
    plan = _recipe(steps=24, rate=2e-3)
    plan = dataclasses.replace(plan, flow=dataclasses.replace(plan.flow, even_times=True))
    losses: list[float] = []
    stage = stages.FlowStage(plan, latents, tmp_path / "out", model, new_weights=True)
    stages.run_stage(stage, lambda trainer: trainer.run(lambda _, means: losses.append(means["total"])))
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
    sound = arctone.load(tmp_path / "out", engine="torch").generate("rain", duration_seconds=0.3, seed=1, steps=2)
    assert sound.waveforms[0].num_channels == 2


@pytest.mark.parametrize("name", ["paper", "paper-rollout"])
def test_adversarial_training_killed_and_resumed_is_the_same_run(
    model: Path, latents: Path, tmp_path: Path, name: str
) -> None:
    plan = _recipe(name)
    _killed_and_resumed_is_the_same(lambda out: post_training.ArcStage(plan, latents, out, model), tmp_path)
    config = load_config(tmp_path / "whole")
    assert (config.dit.objective, config.sampling.sampler, config.sampling.steps) == ("rf_denoiser", "ping_pong", 8)
    assert config.of_flow.sampling == load_config(model).sampling
    before, after = load_state(model, "dit"), load_state(tmp_path / "whole", "dit")
    assert any(not torch.equal(value, after[key]) for key, value in before.items())
    assert all(torch.equal(value, load_state(tmp_path / "whole", "flow")[key]) for key, value in before.items())


def test_the_discriminator_is_the_first_blocks_of_the_same_network(model: Path, latents: Path, tmp_path: Path) -> None:
    trainer = post_training.ArcStage(_recipe(), latents, tmp_path, model).trainer()
    trunk = trainer.parts["discriminator"].module.trunk  # type: ignore[union-attr]
    flow = load_state(model, "dit")
    assert all(torch.equal(value, flow[name]) for name, value in trunk.state_dict().items())
    assert len(trunk.blocks) == round(13 / 16 * 2)
    assert not hasattr(trunk, "leave")


def test_an_adapter_reaches_every_matrix_of_the_blocks_and_changes_the_sound(
    model: Path, latents: Path, tmp_path: Path
) -> None:
    plan = fine_tuning()
    plan = dataclasses.replace(plan, loop=dataclasses.replace(plan.loop, total_steps=3))
    targets = with_targets(plan, model).lora.target_modules
    assert "to_qkv" in targets
    stages.run_stage(TuneStage(plan, model, latents, tmp_path))
    sounds = [
        arctone.load(model, engine="torch", adapters=adapters).generate("rain", duration_seconds=0.3, seed=1, steps=2)
        for adapters in ((), [(tmp_path, 1.0)])
    ]
    assert not torch.equal(*(torch.from_numpy(sound.waveforms[0].samples) for sound in sounds))


@pytest.mark.parametrize("name", ["flow", "adapter"])
def test_flow_and_adapter_killed_and_resumed_are_the_same_run(
    model: Path, latents: Path, tmp_path: Path, name: str
) -> None:
    tuning = fine_tuning()
    tuning = dataclasses.replace(
        tuning,
        loop=dataclasses.replace(tuning.loop, total_steps=4),
        lora=dataclasses.replace(tuning.lora, rank=2, alpha=2.0, dropout=0.1),
    )

    def stage(out: Path) -> stages.Stage:
        if name == "adapter":
            return TuneStage(tuning, model, latents, out)
        return stages.FlowStage(_recipe(), latents, out, model)

    _killed_and_resumed_is_the_same(stage, tmp_path)


@pytest.mark.parametrize("kind", ["1.0", "inpaint", "3-base"])
def test_other_objectives_and_conditions_train_too(kind: str, sounds: Path, tmp_path: Path) -> None:
    """Variance-preserving diffusion, known latents as input, and known latents in every block with windows that fit."""
    model = converted_model(kind, tmp_path / kind)
    latents = encode_with(model, sounds, tmp_path / "latents")
    plan = dataclasses.replace(_recipe(steps=2), flow_batch_frames=160, arc_batch_frames=160)
    stages.run_stage(stages.FlowStage(plan, latents, tmp_path / "flow", model, new_weights=True))
    trainer = stages.run_stage(post_training.ArcStage(plan, latents, tmp_path / "arc", tmp_path / "flow"))
    batch = trainer.task.batch(0, 0, 1)
    conditions = (batch[0] if isinstance(batch, list) else batch).conditions
    assert (conditions.inpaint is not None) == (kind != "1.0")


def test_whole_windows_are_filled_with_encoded_silence(model: Path, latents: Path) -> None:
    config = load_config(model)
    silence = silence_of(model, config)
    assert silence is not None
    dataset = LatentDataset(latents, split="train")
    batch = LatentBatches.of_model(dataset, 96, 0, config, silence).batch(0, 0, 1)
    assert batch["latents"].shape[2] == config.dit.max_frames
    assert batch["frame_mask"].all()
    assert torch.equal(batch["latents"][:, :, -1], silence.expand(len(batch["latents"]), -1))
    assert batch["text_mask"].shape[1] == config.text.max_tokens
    with pytest.raises(UsageError, match=r"latents: a clip of \d+ latent frames does not fit the model's 4"):
        LatentBatches(dataset, 96, window=4, silence=silence)


def test_the_usual_recipe_is_that_of_the_models_type(model: Path) -> None:
    plan = TrainingOptions(init=str(model)).plan("arc_loop")
    assert plan.arc == recipe("paper").arc
    assert TrainingOptions().plan("arc_loop").arc == recipe("spark").arc


@pytest.fixture
def shards(latents: Path, tmp_path: Path) -> str:
    """The encoded tones as three WebDataset shards, each written by a command."""
    dataset = LatentDataset(latents)
    for number in range(3):
        samples = {
            f"{index:07d}": {
                "npy": packed(dataset.latents(index)),
                "json": json.dumps({"prompt": dataset.caption(index)}).encode(),
            }
            for index in range(2 * number, 2 * number + 2)
        }
        write_shard(tmp_path / f"{number}.tar", samples)
    return f"pipe:cat {tmp_path}/{{0..2}}.tar"


@pytest.mark.parametrize("name", ["flow", "arc", "adapter"])
def test_training_on_shards_killed_and_resumed_is_the_same_run(
    model: Path, shards: str, tmp_path: Path, name: str
) -> None:
    tuning = fine_tuning()
    tuning = dataclasses.replace(tuning, loop=dataclasses.replace(tuning.loop, total_steps=4))

    def stage(out: Path) -> stages.Stage:
        if name == "adapter":
            return TuneStage(tuning, model, shards, out)
        return (stages.FlowStage if name == "flow" else post_training.ArcStage)(_recipe(), shards, out, model)

    def lose_shards() -> None:
        for path in tmp_path.glob("*.tar"):
            path.unlink()  # they were stored

    _killed_and_resumed_is_the_same(stage, tmp_path, lose_shards)


def test_processes_split_the_batches_of_shards(model: Path, latents: Path, shards: str, tmp_path: Path) -> None:
    """And they are the batches of the folder that the shards were made of."""
    config = load_config(model)
    silence = silence_of(model, config)
    folders = latents, read_stored_latents(shards, model, tmp_path / "stored")
    plain, stored = (
        LatentBatches.of_model(LatentDataset(folder, split="train"), 96, 0, config, silence) for folder in folders
    )
    for step in range(4):
        whole = stored.batch(step, 0, 1)
        assert torch.equal(whole["latents"], plain.batch(step, 0, 1)["latents"])
        assert torch.equal(whole["text_tokens"], plain.batch(step, 0, 1)["text_tokens"])
        mine = [stored.batch(step, rank, 2) for rank in (0, 1)]
        items = torch.cat([one["item"] for one in mine])
        assert torch.equal(torch.cat([one["latents"] for one in mine]), whole["latents"][items])


def test_the_command_line_tunes_on_shards(model: Path, shards: str, tmp_path: Path) -> None:
    options = ["lora", "--latents", shards, "--model", str(model), "--out", str(tmp_path / "out"), "--steps", "2"]
    done = CliRunner().invoke(app, options, catch_exceptions=False)
    assert done.exit_code == 0
    assert (tmp_path / "out/adapter_model.safetensors").exists()
    assert len(LatentDataset(tmp_path / "out/stored-latents")) == 6
    with pytest.raises(UsageError, match="report_prompts: 3 has no effect with --latents"):
        CliRunner().invoke(app, [*options, "--report-prompts", "3"], catch_exceptions=False)
    with pytest.raises(UsageError, match="sounds: name either a folder of sounds or --latents"):
        CliRunner().invoke(app, ["lora", "--model", str(model)], catch_exceptions=False)
