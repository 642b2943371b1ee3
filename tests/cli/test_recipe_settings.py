"""One setting of a recipe from the command line: converted by its type, refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from arctone.cli.training_options import TrainingOptions, changed
from arctone.errors import UsageError
from arctone.training.recipes import recipe

PARTS = ("arc", "arc_loop")


def test_values_are_converted_and_everything_else_stays() -> None:
    before = recipe("spark")
    after = changed(
        before, PARTS, ["self_output=0.5", "loss=hinge", "step_counts=2,4", "discriminator.num_blocks=3", "rate=1e-6"]
    )
    assert (after.arc.self_output, after.arc.loss, after.arc.step_counts, after.arc.discriminator.num_blocks) == (
        0.5,
        "hinge",
        (2, 4),
        3,
    )
    assert after.arc_loop.rate == 1e-6
    assert after.flow_loop == before.flow_loop
    assert before == recipe("spark")


def test_a_role_has_its_own_optimiser() -> None:
    before = recipe("spark")
    after = changed(before, PARTS, ["discriminator.rate=3e-4", "rate=1e-6", "discriminator.betas=0,0.9"])
    roles = after.arc_loop.roles
    assert (roles["discriminator"].rate, roles["discriminator"].betas, after.arc_loop.rate) == (3e-4, (0.0, 0.9), 1e-6)
    assert roles["critic"] == before.arc_loop.roles["critic"]
    assert before == recipe("spark")


def test_the_critics_of_autoencoder_and_decoder_have_optimisers_of_their_own_as_fast_as_the_trained_part() -> None:
    for name in ("spark", "spark-minutes"):
        for loop in ("autoencoder_loop", "decoder_loop"):
            before = getattr(recipe(name), loop)
            critic = before.of_role("discriminator")
            assert (critic.rate, critic.matrix_rate) == (before.rate, before.matrix_rate)
            after = getattr(changed(recipe(name), (loop,), ["discriminator.rate=1e-5"]), loop)
            assert (after.of_role("discriminator").rate, after.rate) == (1e-5, before.rate)


def test_settings_that_need_each_other_may_come_in_any_order() -> None:
    after = changed(recipe("spark"), PARTS, ["alignment.weight=1", "alignment.steps=100"])
    assert (after.arc.alignment.weight, after.arc.alignment.steps) == (1.0, 100)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("self_outptu=1", "set: 'self_outptu' is unknown, did you mean self_output?"),
        ("zzz=1", "set: 'zzz' is unknown, choose from alignment, betas"),
        ("referee.rate=1", "set: 'referee.rate' names no network of its own, choose from discriminator, critic"),
        ("teacher.wieght=1", "set: 'teacher.wieght' is unknown, did you mean teacher.weight?"),
        ("critic.rte=1", "set: 'rte' is unknown, did you mean rate?"),
        ("self_output", "set: 'self_output' must have the form NAME=VALUE"),
        ("self_output=much", "set: self_output cannot be 'much': expected"),
        ("step_counts=1,x", "set: step_counts cannot be '1,x': expected"),
        ("loss=best", "loss: 'best' is unknown, choose from relativistic"),
    ],
)
def test_what_does_not_fit_is_refused(setting: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        changed(recipe("spark"), PARTS, [setting])
    assert str(caught.value).startswith(sentence)


def test_options_reach_the_plan() -> None:
    options = TrainingOptions(
        out=Path("x"),
        recipe="spark-minutes",
        steps=7,
        seed=3,
        precision="32-true",
        settings=["discriminator.head=convnext"],
    )
    plan = options.plan("arc_loop")
    assert (plan.arc_loop.total_steps, plan.arc_loop.seed, plan.arc.discriminator.head) == (7, 3, "convnext")
    assert plan.flow_loop == recipe("spark-minutes").flow_loop
    with pytest.raises(UsageError, match="precision: '8' is unknown"):
        TrainingOptions(precision="8").plan("arc_loop")
