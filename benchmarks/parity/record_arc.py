"""Record a generator step and a discriminator step of the public ARC trainer at tiny sizes.

    PYTHONPATH=src:. python -m benchmarks.parity.record_arc tests/training/reference/arc-step.npz

Needs stable-audio-tools (its training module with pytorch-lightning and ema-pytorch) in the environment. The trainer's
own `training_step` runs; weights, latents, noise, levels and the order of wrong captions are given to it. Of every
gradient the sum, the norm and a fixed random projection are kept; see `summary`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from stable_audio_tools.training.arc import ARCTrainingWrapper
from torch import Tensor, nn

from benchmarks.parity.arc_inputs import CAPTIONS, DEPTH_RUN, HEAD_SIZES, SECONDS, Inputs, draw_inputs, summary
from benchmarks.parity.reference import Reference
from benchmarks.parity.shapes import drawn

HEADS = {"convnext": HEAD_SIZES, "conv": {}}


class Optimiser:
    """Keeps the gradients: nothing is stepped, nothing is forgotten."""

    param_groups = ({"lr": 0.0},)

    def zero_grad(self) -> None:
        """Does nothing."""

    def step(self) -> None:
        """Does nothing."""


class Recorded(ARCTrainingWrapper):  # type: ignore[misc]
    """The public trainer without Lightning's loop around it."""

    number = 0
    logged: dict[str, Tensor]
    global_step = property(lambda self: self.number)
    device = property(lambda self: torch.device("cpu"))

    def optimizers(self) -> tuple[Optimiser, Optimiser]:
        """See LightningModule."""
        return Optimiser(), Optimiser()

    def lr_schedulers(self) -> None:
        """See LightningModule."""

    def manual_backward(self, loss: Tensor) -> None:
        """See LightningModule."""
        loss.backward()

    def log_dict(self, values: dict[str, Tensor], **_: Any) -> None:
        """See LightningModule."""
        self.logged = values


def trainer_of(head: str, folder: Path) -> Recorded:
    """Returns the public trainer with the random weights of a shrunken base model in both networks."""
    models = [Reference("small-base", folder / name, shrunken=True).model for name in ("generator", "discriminator")]
    for model in models:
        model.requires_grad_(True)
        model.conditioner.conditioners["prompt"].requires_grad_(False)
    settings = {
        "noise_dist": {"generator": "logsnr_uniform", "discriminator": "logit_normal"},
        "discriminator": {
            "type": head,
            "dit_hidden_layer": DEPTH_RUN - 1,
            "loss_type": "relativistic",
            "config": HEADS[head],
            "contrastive": True,
            "include_grad_penalties": True,
        },
    }
    trainer = Recorded(
        model=models[0],
        discriminator=models[1],
        arc_config=settings,
        optimizer_configs={"diffusion": {}, "discriminator": {}},
        use_ema=False,
        pre_encoded=True,
    )
    with torch.no_grad():
        for name, value in trainer.discriminator_head.named_parameters():
            value.copy_(torch.from_numpy(drawn(name, tuple(value.shape))))
    return trainer


def step(trainer: Recorded, number: int, given: Inputs) -> dict[str, np.ndarray]:
    """Returns losses and gradients of one step, 0 for the generator's and 1 for the discriminator's."""
    trainer.number = number
    trainer.zero_grad()
    noises = [given.noise, given.renoise, given.disturbance, given.disturbance]
    queue: Iterator[np.ndarray] = iter(noises)
    trainer.gen_noise_dist = lambda count: torch.from_numpy(given.t)
    trainer.dis_noise_dist = lambda count: torch.from_numpy(given.s)
    items = zip(CAPTIONS, SECONDS, strict=True)
    metadata = [
        {"prompt": caption, "seconds_total": seconds, "padding_mask": [torch.ones(64, dtype=torch.bool)]}
        for caption, seconds in items
    ]
    with mock.patch("torch.randn_like", side_effect=lambda _: torch.from_numpy(next(queue))):
        trainer.training_step((torch.from_numpy(given.x_0), metadata), 0)
    name = ("generator", "discriminator")[number]
    wanted = {
        "generator": ("train/adv_loss",),
        "discriminator": (
            "train/dis_loss",
            "train/contrastive_loss_dis",
            "r1_penalty",
            "r2_penalty",
            "train/discriminator_loss",
        ),
    }
    found = {f"{name}/{key.split('/')[-1]}": np.float32(trainer.logged[key]) for key in wanted[name]}
    modules: dict[str, nn.Module] = (
        {"generator": trainer.diffusion}
        if number == 0
        else {"discriminator": trainer.discriminator, "head": trainer.discriminator_head}
    )
    for title, module in modules.items():
        for key, value in module.named_parameters():
            if value.grad is not None:
                found[f"{name}-gradient/{title}/{key}"] = summary(f"{title}/{key}", value.grad.numpy())
    return found


def main(path: Path) -> None:
    """Writes both steps with both heads.

    Args:
        path: The npz.
    """
    found: dict[str, np.ndarray] = {}
    for head in HEADS:
        with tempfile.TemporaryDirectory() as folder:
            trainer = trainer_of(head, Path(folder))
            for number in (0, 1):
                found |= {f"{head}/{key}": value for key, value in step(trainer, number, draw_inputs()).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
