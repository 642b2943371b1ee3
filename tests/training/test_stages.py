"""The whole pipeline on a tiny recipe: corpus, autoencoder, latents, flow, and back from disk."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from arctone.audio.files import read_audio
from arctone.checkpoints.folder import (
    encoder_hash,
    load_autoencoder,
    load_config,
    load_dit,
    load_state,
    part_hash,
    save_part,
)
from arctone.cli import training_options
from arctone.cli.train import app
from arctone.data.corpus.corpus import Corpus
from arctone.data.encode import EncodeSettings, encode_corpus
from arctone.data.latents import LatentDataset
from arctone.data.sources import Subset
from arctone.errors import ModelError, UsageError
from arctone.flow.schedules import linear, shifted
from arctone.model_folder.config import ContinuousDiTConfig, DiTConfig, SpectralConfig
from arctone.training import post_training, stages
from arctone.training.arc.task import ArcTask
from arctone.training.autoencoder import FeaturePool
from arctone.training.batches import LatentBatches
from arctone.training.distill.dmd import DmdTask
from arctone.training.loop import Trainer
from arctone.training.recipes import Recipe, recipe, usual_recipe
from arctone.workflows.time_limit import Deadline
from tests.training.arc_parts import arc_config
from tests.training.test_loop import LOOP, _task


def _recipe() -> Recipe:
    plan = recipe("spark-minutes")
    return dataclasses.replace(
        plan,
        model=type(plan.model)(
            name="tiny",
            autoencoder=plan.model.autoencoder,
            dit=DiTConfig(latent_channels=16, width=32, depth=2, heads=2, text_width=8, mlp_width=48),
            sampling=plan.model.sampling,
        ),
        autoencoder=dataclasses.replace(plan.autoencoder, adversarial_start=30),
        autoencoder_loop=dataclasses.replace(plan.autoencoder_loop, total_steps=40, warmup_steps=5, demo_every=40),
        flow_loop=dataclasses.replace(plan.flow_loop, total_steps=8, log_every=1, demo_every=8),
        arc_loop=dataclasses.replace(plan.arc_loop, total_steps=6, log_every=1, demo_every=6),
    )


def _words(captions: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stand-in text encoder: a token a word, by its length."""
    rows = [np.array([[len(word)] * 8 for word in caption.split()], np.float16) / 10 for caption in captions]
    return [(row, row.mean(0)) for row in rows]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder after all stages."""
    out, plan = tmp_path_factory.mktemp("model"), _recipe()
    corpus = Corpus(0, 60, soundfonts=(), sonic_pi=None, split="train")
    source = Subset(corpus, range(12))
    FeaturePool.build(source, out / "training-autoencoder" / stages.FEATURES, num_clips=12)
    stages.run_stage(stages.AutoencoderStage(plan, "corpus:", out))
    encoder = load_autoencoder(out).encoder

    def encode(batch: np.ndarray) -> np.ndarray:
        from arctone.audio.spectral.features import features

        with torch.no_grad():
            return encoder(torch.from_numpy(np.stack([features(samples) for samples in batch]))).numpy()

    encode_corpus(
        source, encode, _words, out / "latents",
        autoencoder_hash=encoder_hash(out), settings=EncodeSettings(num_workers=0),
    )  # fmt: skip
    stages.run_stage(stages.FlowStage(plan, out / "latents", out))
    return out


def test_features_of_the_clips_so_far_are_used_when_their_time_is_over(tmp_path: Path) -> None:
    source = Subset(Corpus(0, 60, soundfonts=(), sonic_pi=None, split="train"), range(4))
    counts: list[tuple[int, int]] = []
    pool = FeaturePool.build(
        source, tmp_path / "f", num_clips=4, max_seconds=0.0, on_clip=lambda done, total: counts.append((done, total))
    )
    assert counts == [(1, 4)]
    assert len(pool.frames) > 0


def test_the_time_of_a_command_counts_what_came_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, limits = [0.0], []
    deadline = Deadline(2.0, lambda: now[0])

    @dataclasses.dataclass(frozen=True)
    class Preparing:
        max_seconds: float | None = None
        on_clip: object = None

        def trainer(self) -> Trainer:
            limits.append(self.max_seconds)
            now[0] += 30.0
            return Trainer(_task(), dataclasses.replace(LOOP, total_steps=1), tmp_path)

        def finish(self, trainer: Trainer) -> None:
            limits.append(trainer.config.max_minutes)

    monkeypatch.setattr(training_options, "run_with_bar", lambda trainer: trainer.run())
    training_options.train(Preparing(), deadline, reserve=60.0)
    assert limits == [40.0, 0.5]


def test_autoencoder_learns_and_its_latents_are_standardised(trained: Path) -> None:
    rows = [json.loads(line) for line in (trained / "training-autoencoder" / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["autoencoder/level"] < rows[0]["autoencoder/level"]
    pool = FeaturePool(trained / "training-autoencoder" / stages.FEATURES)
    starts = np.linspace(0, len(pool.frames) - 65, 40).astype(np.int64)
    with torch.no_grad():
        latents = load_autoencoder(trained).encoder(pool.windows(starts, 64).mT)
    assert latents.mean().abs() < 0.1
    assert latents.std() == pytest.approx(1.0, abs=0.15)


def test_flow_weights_come_back_and_differ_from_the_start(trained: Path) -> None:
    dit = load_dit(trained)
    assert any(value.any() for name, value in dit.state_dict().items() if name.startswith("leave"))


def test_demos_are_sound(trained: Path) -> None:
    for path in [*trained.glob("training-*/demos/*.wav")]:
        waveform = read_audio(path)
        assert waveform.num_channels == 2
        assert 0.5 < np.abs(waveform.samples).max() < 0.95
    assert len([*trained.glob("training-flow/demos/*.wav")]) == 2
    assert len([*trained.glob("training-autoencoder/demos/*.wav")]) == 1


def test_a_run_can_begin_with_other_weights(trained: Path, tmp_path: Path) -> None:
    plan = _recipe()
    for name in ("autoencoder.safetensors", "config.json"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    begun = stages.FlowStage(plan, trained / "latents", tmp_path, init=trained).trainer()
    for name, value in load_dit(trained).state_dict().items():
        assert torch.equal(value, begun.module.state_dict()[name]), name


def test_clips_longer_than_the_model_takes_are_refused_in_one_sentence(trained: Path) -> None:
    dataset, config = LatentDataset(trained / "latents"), load_config(trained)
    longest = int(dataset.frames.max()) - 1
    config = msgspec.structs.replace(config, dit=msgspec.structs.replace(config.dit, max_frames=longest))
    named = dataset.info(int(dataset.frames.argmax())).id
    with pytest.raises(
        UsageError, match=rf"does not fit the model's {longest} \(.* seconds\): .*; cut these sounds"
    ) as no:
        LatentBatches.of_model(dataset, 1024, 0, config)
    assert named in str(no.value) or " more;" in str(no.value)


def test_latents_of_another_autoencoder_are_refused(trained: Path, tmp_path: Path) -> None:
    other = {name: value + 1 for name, value in load_autoencoder(trained).state_dict().items()}
    save_part(tmp_path, "autoencoder", other, load_config(trained))
    with pytest.raises(ModelError, match="holds latents of the autoencoder"):
        stages.FlowStage(_recipe(), trained / "latents", tmp_path).trainer()


@pytest.fixture(scope="module")
def post_trained(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder after ARC post-training."""
    out, plan = tmp_path_factory.mktemp("fast"), _recipe()
    trainer = post_training.ArcStage(plan, trained / "latents", out, trained).trainer()
    for name, value in load_dit(trained).state_dict().items():
        assert torch.equal(value, trainer.module.state_dict()[name]), name
        trunk = trainer.parts["discriminator"].module.state_dict()
        assert f"trunk.{name}" not in trunk or torch.equal(value, trunk[f"trunk.{name}"]), name
    trainer.run()
    post_training.finish_few_step(trainer, out)
    return out


def test_post_training_leaves_a_few_step_model(trained: Path, post_trained: Path) -> None:
    before, after = load_config(trained), load_config(post_trained)
    assert before.sampling.cfg_scale == 2.0
    sampling = after.sampling
    assert (sampling.sampler, sampling.steps, sampling.cfg_scale, sampling.post_trained) == ("ping_pong", 8, 1.0, True)
    assert sampling.duration_seconds == before.sampling.duration_seconds
    assert after.dit == before.dit
    old, new = load_dit(trained).state_dict(), load_dit(post_trained).state_dict()
    assert any(not torch.equal(value, new[name]) for name, value in old.items())
    assert part_hash(post_trained, "autoencoder") == part_hash(trained, "autoencoder")
    assert len([*post_trained.glob("training-arc/demos/*.wav")]) == 2


def test_a_model_that_learned_its_teachers_velocities_is_sampled_as_its_teacher(
    trained: Path, post_trained: Path, tmp_path: Path
) -> None:
    ways = {
        ("ping_pong", 8, 1.0): arc_config(teacher_warmup=1, teacher_steps=6),
        ("euler", 6, 1.5): arc_config(
            teacher_weight=1.0, teacher_target="velocity", teacher_steps=6, teacher_substeps=3, teacher_shift=1.5
        ),
        ("ping_pong", 4, 1.0): arc_config(
            teacher_warmup=1, teacher_target="velocity", teacher_sampler="ping_pong", teacher_steps=4
        ),
    }
    assert {settings.sampled_by for settings in ways.values()} == set(ways)
    assert arc_config(teacher_target="velocity").sampled_by == ("ping_pong", 8, 1.0)
    recipe = dataclasses.replace(_recipe(), arc=ways["euler", 6, 1.5])
    post_training.finish_few_step(
        post_training.ArcStage(recipe, trained / "latents", tmp_path, trained).trainer(),
        tmp_path,
        recipe.arc.sampled_by,
    )
    sampling = load_config(tmp_path).sampling
    assert (sampling.sampler, sampling.steps, sampling.shift, sampling.cfg_scale) == ("euler", 6, 1.5, 1.0)
    assert load_config(tmp_path).of_flow == load_config(post_trained).of_flow == load_config(trained)


def test_the_recipe_of_few_steps_learns_its_path_and_has_no_adversarial_step(trained: Path, tmp_path: Path) -> None:
    steps, tiny = recipe("spark-steps"), _recipe()
    assert steps.arc.sampled_by[:2] == ("euler", 8)
    loop = dataclasses.replace(tiny.arc_loop, total_steps=6, demo_every=0)
    plan = dataclasses.replace(tiny, arc=arc_config(steps.arc, teacher_bank=2, teacher_refresh=2), arc_loop=loop)
    trainer = post_training.ArcStage(plan, trained / "latents", tmp_path, trained).trainer()
    before = {
        name: {key: value.clone() for key, value in part.module.state_dict().items()}
        for name, part in trainer.parts.items()
    }
    trainer.run()
    after = {name: part.module.state_dict() for name, part in trainer.parts.items()}
    changed = {
        name for name in after if any(not torch.equal(after[name][key], before[name][key]) for key in after[name])
    }
    assert changed == {"generator"}
    assert steps.arc_loop.total_steps <= steps.arc.teacher.warmup


def test_the_adversarial_recipe_shows_the_discriminator_full_rollouts_of_the_student(
    trained: Path, post_trained: Path, tmp_path: Path
) -> None:
    after, tiny = recipe("spark-arc"), _recipe()
    assert after.arc.sampled_by == ("euler", 8, 1.5)
    assert after.arc.rollout_steps == 8
    settings = arc_config(after.arc, alignment_steps=1, teacher_bank=1, teacher_substeps=1)
    plan = dataclasses.replace(
        tiny, arc=settings, arc_loop=dataclasses.replace(tiny.arc_loop, total_steps=3, demo_every=0)
    )
    trainer = post_training.ArcStage(plan, trained / "latents", tmp_path, trained, post_trained).trainer()
    student = {name: value.clone() for name, value in trainer.module.state_dict().items()}
    assert all(torch.equal(value, load_state(post_trained, "dit")[name]) for name, value in student.items())
    calls: list[float] = []
    trainer.module.register_forward_hook(lambda _, inputs, __: calls.append(float(inputs[1][0])))
    for _ in range(2):
        trainer.one_step()
    assert calls == pytest.approx(shifted(linear(8), 1.5)[:-1])
    trainer.one_step()
    assert any(not torch.equal(value, student[name]) for name, value in trainer.module.state_dict().items())
    post_training.finish_few_step(trainer, tmp_path, settings.sampled_by)
    sampling = load_config(tmp_path).sampling
    assert (sampling.sampler, sampling.steps, sampling.shift) == ("euler", 8, 1.5)


def test_post_training_needs_a_flow_model_and_another_folder(trained: Path, post_trained: Path, tmp_path: Path) -> None:
    latents = trained / "latents"
    with pytest.raises(UsageError, match="init: post-training needs a flow model"):
        post_training.ArcStage(_recipe(), latents, tmp_path, None).trainer()
    with pytest.raises(UsageError, match="is also init"):
        post_training.ArcStage(_recipe(), latents, trained, trained).trainer()
    (tmp_path / "config.json").write_text((trained / "config.json").read_text().replace("tiny", "other"))
    with pytest.raises(UsageError, match="holds another model than init"):
        post_training.ArcStage(_recipe(), latents, tmp_path, trained).trainer()


def test_all_training_of_a_post_trained_model_begins_with_its_flow(
    trained: Path, post_trained: Path, tmp_path: Path
) -> None:
    plan, latents, flow = _recipe(), trained / "latents", load_dit(trained).state_dict()
    assert any(not torch.equal(value, load_dit(post_trained).state_dict()[name]) for name, value in flow.items())
    trainers = {
        "flow": stages.FlowStage(plan, latents, tmp_path / "flow", post_trained).trainer(),
        "arc": post_training.ArcStage(plan, latents, tmp_path / "arc", post_trained).trainer(),
        "dmd": post_training.DistillStage(plan, latents, tmp_path / "dmd", post_trained, "dmd").trainer(),
    }
    for name, trainer in trainers.items():
        state = trainer.module.state_dict()
        assert all(torch.equal(value, state[tensor]) for tensor, value in flow.items()), name
    post_training.finish_few_step(trainers["arc"], tmp_path / "arc")
    assert load_config(tmp_path / "arc") == load_config(post_trained)
    assert load_config(tmp_path / "flow") == load_config(trained)


def test_a_student_goes_on_while_its_teacher_and_its_discriminator_are_the_flow(
    trained: Path, post_trained: Path, tmp_path: Path
) -> None:
    plan, latents = _recipe(), trained / "latents"
    plan = dataclasses.replace(plan, arc=arc_config(plan.arc, teacher_weight=1.0))
    student, flow = load_dit(post_trained).state_dict(), load_dit(trained).state_dict()
    arc = post_training.ArcStage(plan, latents, tmp_path / "arc", trained, post_trained).trainer()
    dmd = post_training.DistillStage(plan, latents, tmp_path / "dmd", trained, "dmd", post_trained).trainer()
    assert isinstance(arc.task, ArcTask)
    assert isinstance(dmd.task, DmdTask)
    assert arc.task.teacher is not None
    for name, value in flow.items():
        for state in (arc.module.state_dict(), arc.ema.state, dmd.module.state_dict(), dmd.ema.state):
            assert torch.equal(state[name], student[name]), name
        for other in (arc.task.teacher.module, dmd.task.teacher, dmd.task.fake_score.dit):
            assert torch.equal(other.state_dict()[name], value), name
        trunk = arc.parts["discriminator"].module.state_dict()
        assert f"trunk.{name}" not in trunk or torch.equal(trunk[f"trunk.{name}"], value), name
    for start in (
        lambda: post_training.ArcStage(plan, latents, tmp_path / "none", trained, trained).trainer(),
        lambda: post_training.DistillStage(
            plan, latents, tmp_path / "neither", trained, "consistency", trained
        ).trainer(),
    ):
        with pytest.raises(UsageError, match="is no post-trained model; post-training begins with the flow"):
            start()
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "neither").exists()


def test_a_damaged_flow_model_is_named(trained: Path, tmp_path: Path) -> None:
    init = tmp_path / "init"
    init.mkdir()
    for name in ("autoencoder.safetensors", "config.json"):
        (init / name).write_bytes((trained / name).read_bytes())
    state = load_dit(trained).state_dict()
    del state["blocks.0.mlp.leave.bias"]
    save_file(state, init / "dit.safetensors")
    with pytest.raises(ModelError, match=r"lacks the tensor blocks.0.mlp.leave.bias"):
        post_training.ArcStage(_recipe(), trained / "latents", tmp_path / "out", init).trainer()


def test_prompts_of_any_item_are_those_of_the_batch(trained: Path) -> None:
    batches = LatentBatches(LatentDataset(trained / "latents", split="train"), 1024)
    for step in range(2 * len(batches)):
        batch, captions = batches.batch(step, 0, 1), batches.captions(step)
        items = [*reversed(range(len(captions)))]
        prompts = batches.prompts(step, items)
        for name, value in prompts.items():
            length = value.shape[1] if value.ndim > 1 else 0
            same = batch[name][items]
            assert torch.equal(value, same[:, :length] if length else same), name
        words = [len(caption.split()) for caption in captions]
        assert batch["text_mask"].sum(1).tolist() == words


def test_the_command_post_trains_and_continues(trained: Path, tmp_path: Path) -> None:
    given = ["--latents", str(trained / "latents"), "--init", str(trained), "--recipe", "spark-minutes"]
    arguments = ["arc", *given, "--out", str(tmp_path / "fast"), "--set", "self_output=0.5", "--set", "log_every=1"]
    for steps in ("2", "4"):
        done = CliRunner().invoke(app, [*arguments, "--steps", steps], catch_exceptions=False)
        assert done.exit_code == 0
        assert f"{steps} of {steps} steps done" in done.output
    assert load_config(tmp_path / "fast").sampling.post_trained
    rows = [json.loads(line) for line in (tmp_path / "fast" / "training-arc" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert ["generator/total" in row for row in rows] == [False, True, False, True]
    for arguments, sentence in (
        (["arc", *given[:2], "--out", str(tmp_path / "none")], "init: post-training needs a flow model"),
        (["arc", *given, "--out", str(tmp_path / "none"), "--set", "loss=best"], "loss: 'best' is unknown"),
    ):
        with pytest.raises(UsageError, match=sentence):
            CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert not (tmp_path / "none").exists()


def test_each_type_of_transformer_has_a_usual_recipe_and_another_type_is_refused_with_the_choice() -> None:
    assert (usual_recipe(DiTConfig), usual_recipe(ContinuousDiTConfig)) == ("spark", "paper")
    with pytest.raises(UsageError, match=r"models with a SpectralConfig have no usual recipe; name one of paper, "):
        usual_recipe(SpectralConfig)
