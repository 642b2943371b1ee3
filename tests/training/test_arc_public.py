"""One step of ARC as the public trainer computes it: losses and gradients of both networks.

Recorded by benchmarks/parity/record_arc.py. What we do otherwise is set to the public way here: `penalties.form`
"difference", the heads "public_convnext" and "public_conv", the order of the wrong captions, which the public code
rolls in place, and one disturbance for both penalties.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from arctone.checkpoints.folder import load_config, load_state
from arctone.checkpoints.published.tensor_names import table
from arctone.data.encoders import open_text_encoder
from arctone.models.conditions import Conditions
from arctone.models.continuous_dit import ContinuousDiT
from arctone.models.discriminator import Discriminator, PublicConvHead, PublicConvNeXtHead, trunk_state
from arctone.training.arc.batches import ArcBatch, GeneratorInput, Renoised, WrongCaptions
from arctone.training.arc.task import ArcTask
from arctone.training.recipes import recipe
from benchmarks.parity.arc_inputs import CAPTIONS, DEPTH_RUN, HEAD_SIZES, SECONDS, WRONG_ORDER, draw_inputs, summary
from benchmarks.parity.shapes import drawn
from tests.training.arc_parts import PromptedBatches
from tests.training.published_parts import converted_model

RECORDED = Path(__file__).parent / "reference" / "arc-step.npz"
"""Published names of a head's layers, in the order of ours."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted_model("small-base", tmp_path_factory.mktemp("model"))


def _conditions(model: Path) -> Conditions:
    encoded = open_text_encoder(model).encode([*CAPTIONS])
    length = load_config(model).text.max_tokens
    tokens = torch.zeros(len(encoded), length, encoded[0][0].shape[1])
    mask = torch.zeros(len(encoded), length, dtype=torch.bool)
    for row, (states, _) in enumerate(encoded):
        tokens[row, : len(states)], mask[row, : len(states)] = torch.from_numpy(states), True
    count = len(encoded)
    return Conditions(
        tokens, mask, tokens.mean(1), torch.tensor(SECONDS), torch.zeros(count), torch.ones(count, 64, dtype=torch.bool)
    )


def _head_names(head: str, module: nn.Module) -> dict[str, str]:
    """Our names of a head's parameters to the published ones."""
    if head == "conv":
        return {name: name for name, _ in module.named_parameters()}
    public, place = ["encoder.proj_in"], 0
    for stage in range(3):
        for block in range(2):
            public.append(f"encoder.layers.{stage}.layers.{block}")
        public.append(f"encoder.layers.{stage}.downsample")
    public.append("encoder.layers.3")
    names = {}
    inner = {"deep": "dw_conv", "up": "proj_up", "down": "proj_down"}
    for name, _ in module.named_parameters():
        _, place_text, *rest = name.split(".")
        place, tail = int(place_text), ".".join(rest)
        for ours, theirs in inner.items():
            tail = tail.replace(f"{ours}.", f"{theirs}.", 1) if tail.startswith(f"{ours}.") else tail
        tail = tail.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        )
        names[name] = f"{public[place]}.{tail}"
    return names


def _task(head: str, model: Path) -> tuple[ArcTask, dict[str, str]]:
    """The task on the recorded weights, with the recipe's settings, and the head's names."""
    config, state = load_config(model), load_state(model, "dit")
    generator = ContinuousDiT(config.dit)
    generator.load_state_dict(state)
    settings = recipe("paper").arc
    parts = dataclasses.replace(settings.discriminator, head=f"public_{head}", num_blocks=DEPTH_RUN)
    discriminator = Discriminator(config.dit, DEPTH_RUN, parts.head)
    if head == "convnext":
        assert isinstance(discriminator.head, PublicConvNeXtHead)
        discriminator.head = PublicConvNeXtHead(
            config.dit.width, HEAD_SIZES["channels"], HEAD_SIZES["c_mults"], HEAD_SIZES["strides"]
        )
    else:
        assert isinstance(discriminator.head, PublicConvHead)
    discriminator.trunk.load_state_dict(trunk_state(state, config.dit, DEPTH_RUN))
    names = _head_names(head, discriminator.head)
    with torch.no_grad():
        for name, value in discriminator.head.named_parameters():
            value.copy_(torch.from_numpy(drawn(names[name], tuple(value.shape))))
    settings = dataclasses.replace(settings, discriminator=parts, micro_items=0)
    return ArcTask(generator, discriminator, PromptedBatches(), settings), names


def _batch(model: Path) -> ArcBatch:
    given, conditions = draw_inputs(), _conditions(model)
    x_0, noise, renoise, disturbance, t, s = (torch.from_numpy(value) for value in given)
    order, count = list(WRONG_ORDER), len(CAPTIONS)
    wrong = conditions._replace(
        text_tokens=conditions.text_tokens[order],
        text_mask=conditions.text_mask[order],
        text_pooled=conditions.text_pooled[order],
    )
    return ArcBatch(
        x_0=x_0,
        conditions=conditions,
        weight=torch.tensor(1 / count),
        seen=Renoised(s, renoise),
        start=GeneratorInput(t, noise),
        wrong=WrongCaptions(wrong, torch.full((count,), 1 / count)),
        disturbance=disturbance,
    )


@pytest.mark.parametrize("head", ["convnext", "conv"])
def test_losses_and_gradients_are_those_of_the_public_trainer(head: str, model: Path) -> None:
    with np.load(RECORDED) as file:
        wanted = {name.removeprefix(f"{head}/"): file[name] for name in file.files if name.startswith(f"{head}/")}
    task, head_names = _task(head, model)
    batch = _batch(model)
    losses = task.generator_losses(batch)
    assert losses["total"].item() == pytest.approx(float(wanted["generator/adv_loss"]), abs=1e-5)
    losses["total"].backward()
    _compare(task.generator, "generator-gradient/generator", wanted, model)
    task.generator.zero_grad()
    task.discriminator.zero_grad()
    losses = task.discriminator_losses(batch)
    recorded = {
        "adversarial": "dis_loss", "contrastive": "contrastive_loss_dis", "total": "discriminator_loss"
    }  # fmt: skip
    for name, public in recorded.items():
        assert losses[name].item() == pytest.approx(float(wanted[f"discriminator/{public}"]), rel=1e-4), name
    for name in ("r1", "r2"):
        assert 2 * losses[name].item() == pytest.approx(float(wanted[f"discriminator/{name}_penalty"]), rel=1e-3), name
    losses["total"].backward()
    _compare(task.discriminator.trunk, "discriminator-gradient/discriminator", wanted, model)
    for name, value in task.discriminator.head.named_parameters():
        assert value.grad is not None
        _same(f"head/{head_names[name]}", value.grad, wanted["discriminator-gradient/head/" + head_names[name]])


def _compare(module: nn.Module, prefix: str, wanted: dict[str, np.ndarray], model: Path) -> None:
    """All gradients of a network, under their published names."""
    places = table(load_config(model)).tensors["dit"]
    title, compared = prefix.split("/")[1], 0
    for name, value in module.named_parameters():
        public = places[name].name  # type: ignore[index,union-attr]
        key = f"{prefix}/{public}"
        if key in wanted:
            assert value.grad is not None, name
            _same(f"{title}/{public}", value.grad, wanted[key])
            compared += 1
    assert compared > 0.9 * len([key for key in wanted if key.startswith(prefix)])


def _same(name: str, gradient: Tensor, wanted: np.ndarray) -> None:
    found = summary(name, gradient.numpy())
    assert np.abs(found - wanted).max() <= 1e-4 * max(1.0, float(wanted[0])), (name, found, wanted)
