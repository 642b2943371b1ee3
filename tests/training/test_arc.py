"""Adversarial post-training: who learns what from whom, and what each option changes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from arctone.errors import UsageError
from arctone.flow.schedules import add_noise, denoised, expand
from arctone.models.conditions import Conditions
from arctone.models.discriminator import Scores
from arctone.training.arc.config import ArcConfig
from arctone.training.arc.losses import ADVERSARIAL_LOSSES, item_means
from arctone.training.arc.task import CRITIC, DISCRIMINATOR, GENERATOR, ArcTask
from arctone.training.loop import Trainer
from tests.training.arc_parts import (
    CAPTIONS,
    EVERYTHING,
    LOOP,
    PromptedBatches,
    arc_config,
    arc_task,
    discriminator_batch,
    generator_batch,
)


def _gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.grad.clone() for name, value in module.named_parameters() if value.grad is not None}


# The pairing.


class Seeing(nn.Module):
    """Discriminator that records what it is shown and whether gradients are on."""

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.ones(()))
        self.seen: list[tuple[Tensor, Tensor, Conditions, bool]] = []

    def forward(self, x: Tensor, s: Tensor, conditions: Conditions) -> Scores:
        self.seen.append((x, s, conditions, torch.is_grad_enabled()))
        return Scores(self.sharpness * x.sum(1), conditions.frame_mask)


def _seeing(config: ArcConfig | None = None) -> tuple[ArcTask, Seeing]:
    task = arc_task(config)
    task.discriminator = Seeing()
    return task, task.discriminator


@torch.no_grad()
def test_real_and_fake_share_prompt_level_and_noise() -> None:
    task, seeing = _seeing()
    batch = generator_batch(task)
    task.generator_losses(batch)
    (real, s_real, prompt_real, _), (fake, s_fake, prompt_fake, _) = seeing.seen
    assert torch.equal(s_fake, s_real)
    assert torch.equal(prompt_fake.text_tokens, prompt_real.text_tokens)
    assert torch.equal(real, add_noise(batch.x_0, batch.seen.noise, expand(s_real, real)))
    x_t = add_noise(batch.x_0, batch.start.noise, expand(batch.start.t, real))
    estimate = denoised(x_t, task.generator(x_t, batch.start.t, batch.conditions), expand(batch.start.t, real))
    # What differs is the latents alone: taken out of both, the same noise is left.
    assert torch.allclose(fake - real, (1 - expand(s_real, real)) * (estimate - batch.x_0), atol=1e-5)


@torch.no_grad()
def test_losses_are_the_formulas_on_these_logits() -> None:
    task, seeing = _seeing()
    batch = discriminator_batch(task)
    losses = task.discriminator_losses(batch)
    x, s, _, _ = seeing.seen[0]
    items = len(batch.x_0)
    real, fake, wrong = x.sum(1).split(items)
    mask = batch.conditions.frame_mask
    assert torch.equal(s, batch.seen.s.repeat(3))
    adversarial = item_means(torch.nn.functional.softplus(-(real - fake)), mask).mean()
    assert losses["adversarial"].item() == pytest.approx(adversarial.item(), rel=1e-5)
    # The real part is shown twice, so the same latents have the same logits here, and the loss of a tie is log 2.
    assert torch.equal(real, wrong)
    assert losses["contrastive"].item() == pytest.approx(torch.tensor(2.0).log().item(), rel=1e-5)
    assert losses["total"].item() == pytest.approx((losses["adversarial"] + losses["contrastive"]).item(), rel=1e-6)
    assert len(seeing.seen) == 1


def test_wrong_prompts_are_taken_whole_and_the_batch_is_left_alone() -> None:
    task = arc_task(arc_config(tempo_dropout=0.0))
    before = task.batches.batch(0, 0, 1)
    batch = discriminator_batch(task)
    assert batch.wrong is not None
    wrong, right = batch.wrong.conditions, batch.conditions
    places = [next(j for j in range(6) if torch.equal(right.text_tokens[j], wrong.text_tokens[i])) for i in range(6)]
    for i, j in enumerate(places):
        assert CAPTIONS[i].casefold() != CAPTIONS[j].casefold()
        for name in ("text_tokens", "text_mask", "text_pooled", "bpm"):
            assert torch.equal(getattr(wrong, name)[i], getattr(right, name)[j]), name
    assert torch.equal(wrong.seconds, right.seconds)
    assert torch.equal(wrong.frame_mask, right.frame_mask)
    for name, value in task.batches.batch(0, 0, 1).items():
        assert torch.equal(value, before[name])
        if name in right._fields:
            assert torch.equal(getattr(right, name), value)


def test_items_without_another_caption_are_left_out_of_the_mean() -> None:
    class Alike(PromptedBatches):
        def captions(self, step: int) -> list[str]:
            return ["rain", "rain", "rain", "rain", "rain", "dog"]

    task = arc_task(batches=Alike())
    batch = discriminator_batch(task)
    assert batch.wrong is not None
    assert sorted(batch.wrong.weights.tolist()) == [0, 0, 0, 0, 0.5, 0.5]
    lonely = arc_task(batches=PromptedBatches(items=1))
    losses = lonely.discriminator_losses(discriminator_batch(lonely))
    assert losses["contrastive"] == 0
    assert torch.isfinite(losses["total"])


def test_a_left_out_tempo_is_left_out_of_the_wrong_prompt_too() -> None:
    task = arc_task(arc_config(tempo_dropout=0.5))
    for step in range(8):
        batch = discriminator_batch(task, step)
        assert batch.wrong is not None
        assert torch.equal(batch.conditions.bpm == 0, batch.wrong.conditions.bpm == 0)


# Who gets gradients.


def test_gradients_reach_only_the_role_of_the_step(tmp_path: Path) -> None:
    task = arc_task(arc_config())
    trainer = Trainer(task, LOOP, tmp_path)
    for step, role in enumerate((DISCRIMINATOR, GENERATOR)):
        for name, part in trainer.parts.items():
            part.require_gradients(name == role)
        task.losses(task.roles[role], task.batch(step, 0, 1), step)["total"].backward()
        for name, module in task.roles.items():
            got = {key for key, value in module.named_parameters() if value.grad is not None}
            assert got == ({key for key, _ in module.named_parameters()} if name == role else set()), (role, name)
            module.zero_grad()


def test_real_branch_of_the_generator_step_runs_without_gradient() -> None:
    task, seeing = _seeing()
    task.generator_losses(generator_batch(task))
    assert [on for *_, on in seeing.seen] == [False, True]
    seeing.seen.clear()
    softplus, seeing = _seeing(arc_config(loss="softplus"))
    softplus.generator_losses(generator_batch(softplus))
    assert len(seeing.seen) == 1


def test_generator_runs_without_gradient_in_the_discriminator_step() -> None:
    task = arc_task()
    grads: list[bool] = []
    task.generator.register_forward_hook(lambda *_: grads.append(torch.is_grad_enabled()))
    task.discriminator_losses(discriminator_batch(task))
    assert grads == [False]


@pytest.mark.parametrize("role", [GENERATOR, DISCRIMINATOR])
def test_a_step_lowers_its_own_loss(role: str) -> None:
    """A flipped sign in a loss, or in where it is applied, would raise it; the opponent's rises instead."""
    task = arc_task(arc_config(contrastive_weight=0.0))
    mine, other = task.roles[role], task.roles[GENERATOR if role == DISCRIMINATOR else DISCRIMINATOR]
    other.requires_grad_(False)
    batch = discriminator_batch(task)

    def margin() -> float:
        return task.discriminator_losses(batch)["margin"].item()

    before = margin()
    losses = task.generator_losses if role == GENERATOR else task.discriminator_losses
    optimiser = torch.optim.SGD(mine.parameters(), lr=0.02)
    for _ in range(5):
        optimiser.zero_grad()
        losses(batch)["total"].backward()
        optimiser.step()
    assert (margin() > before + 1e-3) if role == DISCRIMINATOR else (margin() < before - 1e-3)


# Padding and length.


@torch.no_grad()
@pytest.mark.parametrize("head", ["conv", "convnext"])
@pytest.mark.parametrize("frames", [21, 43])
def test_padding_changes_no_loss(head: str, frames: int) -> None:
    """The same clips in a longer window, with anything behind their ends, have the same losses; 43 frames are 2 s."""
    task = arc_task(arc_config(head=head), PromptedBatches(frames=frames))
    pairs = ((generator_batch(task), task.generator_losses), (discriminator_batch(task), task.discriminator_losses))
    for batch, losses in pairs:
        wider = _padded(batch, 48 - frames)
        expected, got = losses(batch), losses(wider)
        for name in expected:
            assert got[name].item() == pytest.approx(expected[name].item(), abs=2e-5), name


def _padded(value: Any, missing: int) -> Any:
    """A batch whose frames were filled up with sevens that no mask marks as real."""
    if isinstance(value, Tensor):
        if value.ndim == 3 and value.shape[1] == 4:
            return nn.functional.pad(value, (0, missing), value=7.0)
        return value
    if isinstance(value, Conditions):
        return value._replace(frame_mask=nn.functional.pad(value.frame_mask, (0, missing)))
    if isinstance(value, tuple):
        return type(value)(*(_padded(part, missing) for part in value))  # type: ignore[call-arg]
    return value


# The schedule of the roles.


def test_order_of_the_phases() -> None:
    task = arc_task(arc_config(EVERYTHING, discriminator_updates=2))
    roles = [task.role_at(step) for step in range(10)]
    assert roles == [CRITIC] * 2 + [GENERATOR] * 2 + [DISCRIMINATOR, DISCRIMINATOR, GENERATOR] * 2
    assert [task.warms_up(step) for step in range(6)] == [False, False, True, True, False, False]


# Whole runs.


RESUMED_LOOP = dataclasses.replace(LOOP, total_steps=11)
RESUMED = {"default": arc_config(), "everything": EVERYTHING, "samples": arc_config(rollout_steps=3)}


@pytest.fixture(scope="module", params=RESUMED)
def undisturbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[ArcConfig, Trainer]:
    """A config and a run of it that was never interrupted."""
    config = RESUMED[request.param]
    whole = Trainer(arc_task(config), RESUMED_LOOP, tmp_path_factory.mktemp("whole"))
    whole.run()
    return config, whole


@pytest.mark.parametrize("stop_at", [1, 4, 7])
def test_interrupted_and_resumed_is_the_same_run(
    tmp_path: Path, undisturbed: tuple[ArcConfig, Trainer], stop_at: int
) -> None:
    config, whole = undisturbed
    first = Trainer(arc_task(config), RESUMED_LOOP, tmp_path)
    for _ in range(stop_at):
        first.one_step()
    first.save()
    second = Trainer(arc_task(config), RESUMED_LOOP, tmp_path)
    second.run()
    for role, part in whole.parts.items():
        for name, value in part.module.state_dict().items():
            assert torch.equal(value, second.parts[role].module.state_dict()[name]), (role, name)
    assert all(torch.equal(value, second.ema.state[name]) for name, value in whole.ema.state.items())
    rows = [json.loads(line) for line in (whole.folder / "log.jsonl").read_text().splitlines()]
    assert all(all(value == value for value in row.values()) for row in rows)


@pytest.mark.parametrize("size", [1, 4])
def test_a_batch_in_parts_is_the_whole_batch(tmp_path: Path, size: int) -> None:
    """Through every phase: critic, warm-up, discriminator and generator, with all their losses."""
    loop = dataclasses.replace(LOOP, total_steps=8)
    whole = Trainer(arc_task(EVERYTHING), loop, tmp_path / "whole")
    parts = Trainer(arc_task(arc_config(EVERYTHING, micro_items=size)), loop, tmp_path / "parts")
    for _ in range(8):
        expected, got = whole.one_step(), parts.one_step()
        assert got == pytest.approx(expected, rel=2e-3, abs=1e-4)
    assert len(parts.task.batch(7, 0, 1)) == -(-6 // size)


def test_average_covers_every_trained_parameter_of_the_generator(tmp_path: Path) -> None:
    task = arc_task()
    trainer = Trainer(task, dataclasses.replace(LOOP, ema_decay=0.9), tmp_path)
    start = {name: value.clone() for name, value in task.generator.state_dict().items()}
    trainer.run()
    trained = {name for name, _ in task.generator.named_parameters()}
    moved = {name for name, value in trainer.ema.state.items() if not torch.equal(value, start[name])}
    assert moved == trained
    assert {"seconds.0.weight", "tempo.0.weight", "null"} <= trained


def test_sixteen_bit_steps_reach_every_parameter() -> None:
    """Autocast remembers weights that were cast without gradients: the generator's own input must not cost its own."""
    task = arc_task(arc_config(self_output=1.0))
    task.discriminator.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        losses = task.generator_losses(generator_batch(task))
    losses["total"].backward()
    gradients = _gradients(task.generator)
    assert gradients.keys() == {name for name, _ in task.generator.named_parameters()}
    assert all(value.any() for name, value in gradients.items())


# What the discriminator learns.


class TwoPrompts(PromptedBatches):
    """Latents whose mean the caption determines: +1 for one, -1 for the other. `swapped` plants the wrong captions."""

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Tensor]:
        batch = super().batch(step, rank, world_size)
        sign = torch.tensor([1.0, -1.0]).repeat(3)[: self.items]
        return batch | {"latents": 0.3 * (batch["latents"] - 1) + sign[:, None, None]}

    def captions(self, step: int) -> list[str]:
        return ["high", "low"] * 3

    def prompts(self, step: int, items: Any) -> dict[str, Tensor]:
        return super().prompts(step, [item % 2 for item in items])


@torch.no_grad()
def _preference(task: ArcTask) -> float:
    """By how much captions that fit are preferred, on fresh batches."""
    margins = []
    for step in range(1000, 1008):
        batch = discriminator_batch(task, step)
        logits, mask = task._views(batch)
        margins.append(item_means(logits["real"] - logits["wrong"], mask).mean().item())
    return sum(margins) / len(margins)


@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_a_planted_caption_mismatch_is_learned_only_with_the_contrastive_loss(weight: float) -> None:
    """Fakes from almost no noise equal their reals, so that nothing but the captions is left to learn from."""
    nearly_real = arc_config(contrastive_weight=weight, level_mean=-2.0, log_snr_low=20.0, log_snr_high=21.0)
    task = arc_task(nearly_real, TwoPrompts())
    optimiser = torch.optim.SGD(task.discriminator.parameters(), lr=0.05, momentum=0.9)
    for step in range(25):
        optimiser.zero_grad()
        task.discriminator_losses(discriminator_batch(task, step))["total"].backward()
        optimiser.step()
    task.config = dataclasses.replace(task.config, contrastive_weight=1.0)
    task.material.config = task.config
    preference = _preference(task)
    assert (preference > 3.0) if weight else (abs(preference) < 0.2)


@torch.no_grad()
@pytest.mark.parametrize("name", ["r1", "r2"])
def test_penalties_are_the_slope_of_the_discriminator(name: str) -> None:
    """On a linear discriminator that sums the four channels the slope is known: half of 4, on every position."""
    task, _ = _seeing(arc_config(**{f"{name}_weight": 1.0}, contrastive_weight=0.0))
    penalties = [task.discriminator_losses(discriminator_batch(task, step))[name].item() for step in range(40)]
    assert sum(penalties) / len(penalties) == pytest.approx(2.0, rel=0.1)


def test_alignment_critic_learns_the_captions_and_then_leads_the_generator(tmp_path: Path) -> None:
    config = arc_config(alignment_steps=60, alignment_weight=5.0, level_mean=-2.0)
    task = arc_task(config, TwoPrompts())
    loop = dataclasses.replace(LOOP, total_steps=60, roles={CRITIC: dataclasses.replace(LOOP, rate=3e-3)})
    Trainer(task, loop, tmp_path).run()
    rows = [json.loads(line)["critic/total"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows[-1] < 0.2 * rows[0]
    assert task.critic is not None
    for name, module in task.roles.items():
        module.requires_grad_(name == GENERATOR)
    batch = generator_batch(task)
    optimiser = torch.optim.SGD(task.generator.parameters(), lr=0.05)
    before = task.generator_losses(batch)["alignment"].item()
    for _ in range(10):
        optimiser.zero_grad()
        task.generator_losses(batch)["total"].backward()
        optimiser.step()
    assert task.generator_losses(batch)["alignment"].item() < 0.7 * before


@pytest.mark.parametrize("loss", ADVERSARIAL_LOSSES)
def test_every_loss_runs(tmp_path: Path, loss: str) -> None:
    trainer = Trainer(arc_task(arc_config(loss=loss, contrastive_weight=0.0)), LOOP, tmp_path)
    trainer.run()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert not any("contrastive" in name for row in rows for name in row)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"loss": "wasserstein"}, "loss: 'wasserstein' is unknown, choose from relativistic, least_squares"),
        ({"self_output": 1.5}, r"self_output: 1.5 is not possible, it must be 0 to 1"),
        ({"r1_weight": -1.0}, "penalties.r1_weight: -1.0 is not possible, it must be at least 0"),
        ({"discriminator_updates": 0}, "discriminator.updates: 0 is not possible, it must be at least 1"),
        ({"penalty_std": 0.0}, r"penalties.std: 0.0 is not possible, it must be above 0"),
        ({"step_counts": (0, 2)}, "step_counts"),
        ({"log_snr_low": 3.0}, "log_snr_low: 3.0 must be below log_snr_high, 2.0"),
        ({"alignment_weight": 1.0}, "alignment.weight: needs alignment.steps above 0"),
        ({"rollout_steps": -1}, "rollout_steps: -1 is not possible, it must be at least 0"),
        ({"rollout_steps": 9}, "rollout_steps: 9 is not possible, the sampler makes 8"),
        (
            {"rollout_steps": 8, "self_output": 0.5},
            "self_output: 0.5 says what estimates are made of, so rollout_steps",
        ),
    ],
)
def test_settings_without_meaning_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        arc_config(**changes)
