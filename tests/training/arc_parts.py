"""Small networks and batches for the tests of adversarial post-training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from arctone.model_folder.config import DiTConfig
from arctone.models.discriminator import AlignmentCritic, Discriminator
from arctone.models.dit import DiT
from arctone.training.arc.batches import ArcBatch
from arctone.training.arc.config import ArcConfig
from arctone.training.arc.task import ArcTask
from arctone.training.loop import LoopConfig
from arctone.training.optim import OptimiserConfig
from arctone.training.randomness import generator

DIT = DiTConfig(latent_channels=4, width=32, depth=2, heads=2, text_width=8, mlp_width=48, max_frames=48)
LOOP = LoopConfig(
    total_steps=8,
    rate=1e-3,
    warmup_steps=0,
    rate_floor=1.0,
    precision="32-true",
    log_every=1,
    checkpoint_every=100,
    roles={"discriminator": OptimiserConfig(rate=2e-3)},
)
SECTIONS = {
    **{name: ("discriminator", name) for name in ("num_blocks", "head", "level_mean", "level_std")},
    **{name: ("penalties", name) for name in ("r1_weight", "r2_weight")},
    "discriminator_updates": ("discriminator", "updates"),
    "penalty_std": ("penalties", "std"),
    "penalty_form": ("penalties", "form"),
}


def arc_config(config: ArcConfig | None = None, **settings: Any) -> ArcConfig:
    """The config with settings changed; those of a section are written teacher_steps for teacher.steps."""
    config = config or ArcConfig()
    changes: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        title, _, rest = name.partition("_")
        section, field = SECTIONS.get(name, (title, rest) if title in ("teacher", "alignment") else ("", name))
        changes.setdefault(section, {})[field] = value
    own = changes.pop("", {})
    nested = {title: dataclasses.replace(getattr(config, title), **values) for title, values in changes.items()}
    return dataclasses.replace(config, **own, **nested)


# Every option at once, but for the other losses.
EVERYTHING = arc_config(
    self_output=0.5,
    time_law="sampler",
    teacher_warmup=2,
    teacher_weight=0.5,
    teacher_steps=3,
    teacher_refresh=3,
    alignment_steps=2,
    alignment_weight=0.3,
    r1_weight=0.1,
    r2_weight=0.1,
)
CAPTIONS = ("rain", "a dog", "Rain", "thunder", "wind in trees", "a cat")


class PromptedBatches:
    """Items of different lengths whose captions are embedded as fixed random vectors; two captions are equal."""

    def __init__(self, items: int = 6, frames: int = 32) -> None:
        self.items, self.frames = items, frames

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Tensor]:
        mine = torch.arange(rank, self.items, world_size)
        lengths = torch.tensor([self.frames - 3 * item for item in range(self.items)])
        whole = {
            "latents": 1 + 0.5 * torch.randn(self.items, 4, self.frames, generator=generator(99, step)),
            "frame_mask": torch.arange(self.frames)[None] < lengths[:, None],
            "seconds": lengths * 2048 / 44_100,
        }
        batch = {name: value[mine] for name, value in whole.items()}
        return batch | self.prompts(step, mine.tolist()) | {"item": mine, "num_items": torch.tensor(self.items)}

    def captions(self, step: int) -> list[str]:
        return [*CAPTIONS[: self.items]]

    def prompts(self, step: int, items: Sequence[int]) -> dict[str, Tensor]:
        names = [CAPTIONS[item].casefold() for item in items]
        tokens = [torch.randn(5, 8, generator=generator(*name.encode())) for name in names]
        return {
            "text_tokens": torch.stack(tokens),
            "text_mask": torch.arange(5)[None] < torch.tensor([1 + len(name.split()) for name in names])[:, None],
            "text_pooled": torch.stack([rows[0] for rows in tokens]),
            "bpm": torch.tensor([90.0 + 10 * len(name) for name in names]),
        }


def filled(module: nn.Module) -> nn.Module:
    """Random values where the start is zero, so that every input can show."""
    for parameter in module.parameters():
        if parameter.ndim >= 2 and not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return module


def arc_task(config: ArcConfig | None = None, batches: PromptedBatches | None = None, dit: DiTConfig = DIT) -> ArcTask:
    """A task on small random networks, with the critic and the teacher that the config asks for."""
    config = config or ArcConfig()
    torch.manual_seed(1)
    return ArcTask(
        filled(DiT(dit)),
        filled(Discriminator(dit, config.discriminator.num_blocks, config.discriminator.head)),
        batches or PromptedBatches(),
        config,
        critic=AlignmentCritic(4, 8, width=16) if config.alignment.steps else None,
        teacher=filled(DiT(dit)) if config.teacher.is_on else None,
    )


def generator_batch(task: ArcTask, step: int = 1) -> ArcBatch:
    return task.material.generator(step, 0, 1)


def discriminator_batch(task: ArcTask, step: int = 0) -> ArcBatch:
    return task.material.discriminator(step, 0, 1)
