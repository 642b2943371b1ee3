"""From a flow model's folder to a few-step model's folder, by both kinds of distillation, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from arctone.checkpoints.folder import encoder_hash, load_config, load_dit
from arctone.cli.train import app
from arctone.data.encode import EncodeSettings, encode_corpus
from arctone.errors import UsageError
from arctone.model_folder.config import SamplingConfig
from arctone.training import post_training
from arctone.training.distill.dmd import DmdTask
from arctone.training.recipes import Recipe, recipe
from tests.data.made_source import ToneSource
from tests.tiny_model import CONFIG, write_checkpoint


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny flow model with latents that its autoencoder is said to have made."""
    folder = write_checkpoint(tmp_path_factory.mktemp("flow"))
    width, channels = CONFIG.dit.text_width, CONFIG.dit.latent_channels

    def encoder(audio: np.ndarray) -> np.ndarray:
        levels = audio.reshape(len(audio), 2, -1, 2048).mean(3)
        return np.repeat(levels, channels // 2, axis=1)

    def text(captions: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        tokens = [np.full((len(caption.split()), width), len(caption) / 10, np.float32) for caption in captions]
        return [(rows, rows.mean(0)) for rows in tokens]

    settings = EncodeSettings(num_workers=0)
    autoencoder_hash = encoder_hash(folder)
    encode_corpus(ToneSource(), encoder, text, folder / "latents", autoencoder_hash=autoencoder_hash, settings=settings)
    return folder


def _recipe(steps: int = 5, **settings: Any) -> Recipe:
    plan = recipe("spark-minutes")
    return dataclasses.replace(
        plan,
        dmd=dataclasses.replace(plan.dmd, fake_updates=2, **settings),
        dmd_loop=dataclasses.replace(plan.dmd_loop, total_steps=steps, warmup_steps=0),
        consistency_loop=dataclasses.replace(plan.consistency_loop, total_steps=steps, warmup_steps=0),
    )


@pytest.mark.parametrize("kind", ["dmd", "consistency"])
def test_a_flow_model_becomes_a_few_step_model(flow: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "fast"
    trainer = post_training.DistillStage(_recipe(), flow / "latents", out, flow, kind).trainer()
    trainer.run()
    post_training.finish_few_step(trainer, out)
    sampling = load_config(out).sampling
    assert sampling == SamplingConfig("ping_pong", 8, 1.0, CONFIG.sampling.duration_seconds, 1.0, post_trained=True)
    made, begun = load_dit(out).state_dict(), load_dit(flow).state_dict()
    assert any(not torch.equal(made[name], begun[name]) for name in begun)
    for name in begun:
        assert torch.equal(made[name], trainer.ema.state[name]), name
    for name in ("autoencoder.safetensors", "text.safetensors"):
        assert (out / name).read_bytes() == (flow / name).read_bytes()


def test_everybody_begins_as_the_flow_model_and_is_guided_as_it_is(flow: Path, tmp_path: Path) -> None:
    task = post_training.DistillStage(_recipe(), flow / "latents", tmp_path / "fast", flow, "dmd").trainer().task
    assert isinstance(task, DmdTask)
    for name, value in load_dit(flow).state_dict().items():
        for module in (task.student, task.fake_score.dit, task.teacher):
            assert torch.equal(module.state_dict()[name], value), name
    assert task.cfg_scale == CONFIG.sampling.cfg_scale
    assert task.fake_score.num_blocks == 2
    assert task.fake_score.head is not None
    other = post_training.DistillStage(
        _recipe(cfg_scale=7.0, gan_weight=0.0), flow / "latents", tmp_path / "other", flow, "dmd"
    ).trainer()
    assert isinstance(other.task, DmdTask)
    assert other.task.cfg_scale == 7.0
    assert other.task.fake_score.head is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kind": "magic"}, "kind: 'magic' is unknown, choose from dmd, consistency"),
        ({"init": None}, "init: post-training needs a flow model to begin with"),
        ({"recipe": _recipe(num_blocks=9)}, "num_blocks: 9 is not possible, the flow model has 2 blocks"),
    ],
)
def test_what_cannot_be_is_refused(flow: Path, tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    arguments = {"recipe": _recipe(), "latents": flow / "latents", "out": tmp_path, "init": flow, "kind": "dmd"}
    with pytest.raises(UsageError, match=problem):
        post_training.DistillStage(**(arguments | change)).trainer()


def test_the_teacher_of_a_distilled_model_is_its_flow(flow: Path, tmp_path: Path) -> None:
    trainer = post_training.DistillStage(_recipe(1), flow / "latents", tmp_path / "fast", flow, "consistency").trainer()
    trainer.run()
    post_training.finish_few_step(trainer, tmp_path / "fast")
    again = post_training.DistillStage(
        _recipe(1), flow / "latents", tmp_path / "again", tmp_path / "fast", "dmd"
    ).trainer()
    wanted, fast = load_dit(flow).state_dict(), load_dit(tmp_path / "fast").state_dict()
    assert any(not torch.equal(value, fast[name]) for name, value in wanted.items())
    assert all(torch.equal(value, again.module.state_dict()[name]) for name, value in wanted.items())
    assert again.task.cfg_scale == load_config(flow).sampling.cfg_scale


@pytest.mark.parametrize(("kind", "setting"), [("dmd", "gan_weight=0"), ("consistency", "intervals=8")])
def test_the_command_trains_and_continues(flow: Path, tmp_path: Path, kind: str, setting: str) -> None:
    common = ["--latents", str(flow / "latents"), "--init", str(flow), "--recipe", "spark-minutes"]
    arguments = ["distill", *common, "--kind", kind, "--out", str(tmp_path / "fast"), "--set", setting]
    for steps in ("3", "6"):
        done = CliRunner().invoke(app, [*arguments, "--steps", steps], catch_exceptions=False)
        assert done.exit_code == 0
        assert f"{steps} of {steps} steps done" in done.output
    assert load_config(tmp_path / "fast").sampling.post_trained
    assert (tmp_path / "fast" / f"training-{kind}" / "last.ckpt").exists()
