"""What the benchmarks of post-training compare is comparable, and ARC finds every mode of a toy."""

from __future__ import annotations

import pytest
import torch

from arctone.models.discriminator import Discriminator
from arctone.models.dit import DiT
from benchmarks.arc_toy import MODES, WAYS, Budget, mode_counts, post_train, sample, train_flow
from benchmarks.arc_update import FullDepthDiscriminator, PublicStep
from tests.training.arc_parts import DIT, PromptedBatches, arc_task, filled


def test_both_trainers_have_the_same_losses_and_gradients_of_the_generator() -> None:
    task = arc_task(batches=PromptedBatches(items=3))
    whole = FullDepthDiscriminator(DIT, blocks_run=2)
    assert isinstance(task.discriminator, Discriminator)
    whole.dit.load_state_dict(task.discriminator.trunk.state_dict(), strict=False)
    whole.head.load_state_dict(task.discriminator.head.state_dict())
    public = PublicStep(task.generator, whole, None)
    # The public trainer counts padding, so there is none here, and no two captions are equal.
    full = torch.ones(3, 32, dtype=torch.bool)
    batches = [draw(1, 0, 1) for draw in (task.material.generator, task.material.discriminator)]
    batches = [batch._replace(conditions=batch.conditions._replace(frame_mask=full)) for batch in batches]
    wrong = batches[1].wrong
    assert wrong is not None
    everyone = torch.full((3,), 1 / 3)
    batches[1] = batches[1]._replace(
        wrong=wrong._replace(conditions=wrong.conditions._replace(frame_mask=full), weights=everyone)
    )
    ours = task.generator_losses(batches[0])["total"], task.discriminator_losses(batches[1])["total"]
    theirs = public.generator_loss(batches[0]), public.discriminator_loss(batches[1])
    assert torch.stack(ours).tolist() == pytest.approx(torch.stack(theirs).tolist(), rel=1e-5)
    wanted = torch.autograd.grad(theirs[0], [*task.generator.parameters()], allow_unused=True)
    got = torch.autograd.grad(ours[0], [*task.generator.parameters()], allow_unused=True)
    for mine, other in zip(got, wanted, strict=True):
        assert mine is not None
        assert other is not None
        assert torch.allclose(mine, other, atol=1e-6)


def test_the_public_step_leaves_dead_blocks_without_gradient() -> None:
    """Here one of two blocks runs: what lies behind it is held in memory for nothing."""
    whole = filled(FullDepthDiscriminator(DIT, blocks_run=1))
    task = arc_task(batches=PromptedBatches(items=3))
    public = PublicStep(filled(DiT(DIT)), whole, None)
    public.discriminator_loss(task.material.discriminator(1, 0, 1)).backward()
    dead = {name.split(".")[1] for name, value in whole.named_parameters() if value.grad is None}
    assert dead == {"blocks", "finish", "leave"}


def test_classified_points_by_hand() -> None:
    on_modes = MODES.repeat(50, 1)
    assert mode_counts(on_modes) == {"modes": 8, "on_mode": 1.0, "wrong_prompt": 0.0}
    assert mode_counts(on_modes.roll(1, 0)) == {"modes": 0, "on_mode": 0.0, "wrong_prompt": 1.0}
    collapsed = MODES[[0, 1]].repeat(200, 1)
    assert mode_counts(collapsed)["modes"] == 2
    assert mode_counts(torch.zeros(400, 2)) == {"modes": 0, "on_mode": 0.0, "wrong_prompt": 0.0}


def test_arc_finds_the_modes_in_few_steps() -> None:
    """One step of the flow lands between the modes, and so does ping-pong on it; post-trained, both find them."""
    budget = Budget(flow_steps=1200, steps=800, items=128)
    flow = train_flow(budget)
    assert mode_counts(sample(flow, 50, 2000, flow=True))["modes"] == 8
    assert mode_counts(sample(flow, 1, 2000, flow=True))["modes"] == 0
    assert mode_counts(sample(flow, 4, 2000))["modes"] == 0
    model = post_train(flow, WAYS["ARC"], budget)
    one, eight = mode_counts(sample(model, 1, 2000)), mode_counts(sample(model, 8, 2000))
    assert one["modes"] >= 5
    assert eight["modes"] == 8
    assert eight["on_mode"] > 0.6
    assert max(one["wrong_prompt"], eight["wrong_prompt"]) < 0.05
