"""A decoder trained alone: what it learns, what stays as it was, and which latents it refuses."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

import arctone
from arctone.audio.spectral.features import features
from arctone.checkpoints.folder import AUTOENCODER, encoder_hash, load_config, load_state, part_hash, save_part
from arctone.checkpoints.parts import openers
from arctone.cli.train import app
from arctone.errors import UsageError
from arctone.inference.backends.torch import load_backend
from arctone.model_folder.config import OobleckConfig, SpectralConfig
from arctone.models.oobleck import OobleckDecoder, OobleckEncoder
from arctone.models.spectral import SpectralDecoder
from arctone.training import stages
from arctone.training.decoder import DecoderConfig, LatentPool, standardise, student_config, wanted_target
from arctone.training.recipes import Recipe, recipe
from tests import tiny_model

OOBLECK = OobleckConfig(latent_channels=8, width=4, multipliers=(1, 1, 2, 2, 2))


def _plan(steps: int = 60, **settings: object) -> Recipe:
    plan = recipe("spark-minutes")
    config = dataclasses.replace(plan.decoder, batch_size=8, window_frames=32, adversarial_start=None, **settings)
    return dataclasses.replace(
        plan, decoder=config, decoder_loop=dataclasses.replace(plan.decoder_loop, total_steps=steps, log_every=5)
    )


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones and noises of different pitch and level."""
    folder = tmp_path_factory.mktemp("sounds")
    time, random = np.arange(44_100) / 44_100, np.random.default_rng(0)
    for number in range(8):
        tone = 0.4 * np.sin(2 * np.pi * 110 * 2 ** (number / 2) * time) * (time < 0.1 + 0.1 * number)
        stereo = np.stack([tone, 0.5 * tone], axis=1) + 0.01 * (number % 2) * random.standard_normal((44_100, 2))
        soundfile.write(folder / f"tone {number}.wav", stereo, 44_100)
    return folder


@pytest.fixture(scope="module")
def spectral_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a spectral autoencoder of random weights."""
    return tiny_model.write_checkpoint(tmp_path_factory.mktemp("spectral") / "model")


@pytest.fixture(scope="module")
def waveform_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose autoencoder works on waveforms, with random weights."""
    folder = tiny_model.write_checkpoint(tmp_path_factory.mktemp("waveform") / "model")
    random = torch.Generator().manual_seed(0)
    halves: dict[str, torch.nn.Module] = {"encoder": OobleckEncoder(OOBLECK), "decoder": OobleckDecoder(OOBLECK)}
    inputs = {"encoder": 0.1 * torch.randn(1, 2, 20 * 2048), "decoder": torch.randn(1, 8, 20)}
    for half, module in halves.items():
        for value in module.parameters():
            value.data = 0.25 * torch.randn(value.shape, generator=random)
        made = module(inputs[half])
        size = (made[0] if half == "encoder" else 10 * made).std()
        for value in module.get_submodule("leave").parameters():
            value.data /= size  # latents of deviation 1, sound of 0.1
    state = {f"{half}.{name}": value for half, module in halves.items() for name, value in module.state_dict().items()}
    save_part(folder, AUTOENCODER, state, msgspec.structs.replace(tiny_model.CONFIG, autoencoder=OOBLECK))
    return folder


def _errors(folder: Path) -> list[float]:
    rows = [json.loads(line) for line in (folder / "training-decoder" / "log.jsonl").read_text().splitlines()]
    return [row["level"] for row in rows]


def test_a_spectral_decoder_goes_on_learning_and_the_latents_stay(
    sounds: Path, spectral_model: Path, tmp_path: Path
) -> None:
    plan = _plan()
    trainer = stages.decoder_stage(plan, str(sounds), tmp_path, spectral_model).trainer()
    before = load_state(spectral_model, AUTOENCODER)
    started = trainer.module.state_dict()
    assert all(torch.equal(started[name], before[f"decoder.{name}"]) for name in started)
    trainer.run()
    stages.decoder_stage(plan, str(sounds), tmp_path, spectral_model).finish(trainer)
    after = load_state(tmp_path, AUTOENCODER)
    changed = {name.split(".")[0] for name in before if not torch.equal(after[name], before[name])}
    assert changed == {"decoder"}
    assert encoder_hash(tmp_path) == encoder_hash(spectral_model)
    assert part_hash(tmp_path, AUTOENCODER) != part_hash(spectral_model, AUTOENCODER)
    errors = _errors(tmp_path)
    assert errors[-1] < 0.8 * errors[0]


def test_a_model_without_a_text_encoder_lends_its_latents(sounds: Path, spectral_model: Path, tmp_path: Path) -> None:
    """As after `train flow`: the text encoder comes with the export."""
    init, out = tmp_path / "flow", tmp_path / "out"
    shutil.copytree(spectral_model, init)
    for name in ("text.safetensors", "tokenizer.json"):
        (init / name).unlink(missing_ok=True)
    stage = stages.decoder_stage(_plan(steps=2), str(sounds), out, init)
    trainer = stage.trainer()
    trainer.run()
    stage.finish(trainer)
    assert encoder_hash(out) == encoder_hash(init)
    assert (out / "dit.safetensors").is_file()


def test_what_was_made_of_the_latents_sounds_through_the_new_decoder(
    sounds: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    trainer = stages.decoder_stage(_plan(steps=5), str(sounds), tmp_path, tiny_model_folder).trainer()
    trainer.run()
    stages.decoder_stage(_plan(), str(sounds), tmp_path, tiny_model_folder).finish(trainer)
    models = [arctone.load(folder, engine="torch") for folder in (tiny_model_folder, tmp_path)]
    results = [model.generate("a tone", duration_seconds=0.3, seed=1) for model in models]
    assert not np.allclose(results[0].waveforms[0].samples, results[1].waveforms[0].samples)


def test_a_waveform_autoencoder_gets_a_spectral_decoder_that_hears_its_latents(
    sounds: Path, waveform_model: Path, tmp_path: Path
) -> None:
    plan = _plan(steps=150, width=48, blocks=1, fine_blocks=1)
    trainer = stages.decoder_stage(plan, str(sounds), tmp_path, waveform_model).trainer()
    trainer.run()
    stages.decoder_stage(_plan(), str(sounds), tmp_path, waveform_model).finish(trainer)
    config = load_config(tmp_path)
    assert config.autoencoder == OOBLECK
    assert config.sounding == config.decoder == trainer.task.module.config
    teacher, student = load_backend(waveform_model, load_config(waveform_model)), load_backend(tmp_path, config)
    samples = soundfile.read(sounds / "tone 5.wav", dtype="float32")[0].T
    latents = student.encode(samples)
    assert np.array_equal(latents, teacher.encode(samples))
    wanted = features(teacher.decode(latents))[:1025]
    made, other = (features(student.decode(z))[:1025] for z in (latents, latents[::-1].copy()))
    assert made.shape == wanted.shape
    assert np.abs(made - wanted).mean() < 0.6 * np.abs(other - wanted).mean()


def test_an_interrupted_run_goes_on_with_what_was_encoded(
    sounds: Path, spectral_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = _plan(steps=4)
    whole = stages.decoder_stage(plan, str(sounds), tmp_path / "whole", spectral_model).trainer()
    whole.run()
    half = dataclasses.replace(plan, decoder_loop=dataclasses.replace(plan.decoder_loop, total_steps=4))
    first = stages.decoder_stage(half, str(sounds), tmp_path / "parts", spectral_model).trainer()
    for _ in range(2):
        first.one_step()
    first.save()
    monkeypatch.setattr(LatentPool, "build", lambda *_, **__: pytest.fail("encoded again"))
    second = stages.decoder_stage(plan, str(sounds), tmp_path / "parts", spectral_model).trainer()
    second.run()
    for name, value in whole.module.state_dict().items():
        assert torch.equal(value, second.module.state_dict()[name]), name


def test_the_critic_takes_turns(sounds: Path, spectral_model: Path, tmp_path: Path) -> None:
    plan = _plan(steps=6)
    plan = dataclasses.replace(plan, decoder=dataclasses.replace(plan.decoder, adversarial_start=2))
    trainer = stages.decoder_stage(plan, str(sounds), tmp_path, spectral_model).trainer()
    critic = trainer.task.roles["discriminator"]
    before = [value.clone() for value in critic.parameters()]
    trainer.run()
    assert [trainer.task.role_at(step) for step in range(5)] == [
        "decoder", "decoder", "decoder", "discriminator", "decoder",
    ]  # fmt: skip
    assert not all(torch.equal(*pair) for pair in zip(before, critic.parameters(), strict=True))


def test_latents_are_brought_to_mean_zero_and_deviation_one() -> None:
    module = SpectralDecoder(SpectralConfig(latent_channels=2, width=8))
    mean, std = torch.tensor([3.0, -1.0]), torch.tensor([2.0, 0.5])
    standardise(module, mean, std)
    z = mean + std * torch.tensor([[1.0, -2.0]])
    torch.testing.assert_close(z * module.std + module.mean, torch.tensor([[1.0, -2.0]]))


def test_the_target_suits_the_teacher() -> None:
    spectral = tiny_model.CONFIG
    waveform = msgspec.structs.replace(spectral, autoencoder=OOBLECK)
    assert wanted_target(spectral, DecoderConfig()) == "original"
    assert wanted_target(waveform, DecoderConfig()) == "teacher"
    assert wanted_target(waveform, DecoderConfig(target="original")) == "original"


def test_other_hops_and_widths_are_refused() -> None:
    config = tiny_model.CONFIG
    with pytest.raises(UsageError, match="hop_length is 1024, but spectral decoders have 2048"):
        student_config(msgspec.structs.replace(config, hop_length=1024), DecoderConfig())
    with pytest.raises(UsageError, match="width: 64 is not the encoder's 32"):
        student_config(config, DecoderConfig(width=64))


def test_the_command_names_what_is_missing(spectral_model: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    missing = runner.invoke(app, ["decoder", "--out", str(tmp_path)])
    assert isinstance(missing.exception, UsageError)
    assert "name the model" in str(missing.exception)
    same = runner.invoke(app, ["decoder", "--init", str(spectral_model), "--out", str(spectral_model)])
    assert isinstance(same.exception, UsageError)
    assert "is also init" in str(same.exception)


def test_parts_of_a_model_with_its_own_decoder_need_its_file(waveform_model: Path, tmp_path: Path) -> None:
    config = msgspec.structs.replace(load_config(waveform_model), decoder=SpectralConfig(latent_channels=8, width=8))
    for path in waveform_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(arctone.errors.ModelError, match=r"decoder\.safetensors does not exist"):
        openers(tmp_path, config)
