"""What a step of post-training draws: latents, conditions, noise and quantiles of noise levels.

All of it is a function of (seed, step, item), so that it depends neither on the number of processes nor on
interruptions. B items of this process, N of all, C channels, T latent frames.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from arctone.models.conditions import Conditions
from arctone.training.flow import Batches
from arctone.training.levels import even_quantiles
from arctone.training.loop import generator


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A step's real latents x_0 [B, C, T] with their conditions, and what else can be drawn for them.

    items: [B], places in the batch of all `count` items. weight: of each item in the mean of all processes, a scalar;
    DDP averages over processes, which may hold unequal numbers of items.
    """

    seed: int
    step: int
    items: Tensor
    count: int
    weight: Tensor
    x_0: Tensor
    conditions: Conditions

    def quantiles(self, purpose: int) -> Tensor:
        """Uniform numbers [B], spread evenly over the batch of all processes."""
        return even_quantiles(self.count, generator(self.seed, self.step, purpose))[self.items]

    def noise(self, purpose: int) -> Tensor:
        """Standard normal [B, C, T], each item's from its own source."""
        return self.noises(purpose, 1)[0]

    def noises(self, purpose: int, number: int) -> Tensor:
        """Several draws of standard normal noise, [number, B, C, T]; the first do not depend on how many follow."""
        columns = []
        for item in self.items:
            source = generator(self.seed, self.step, purpose, int(item))
            columns.append(torch.stack([torch.randn(self.x_0.shape[1:], generator=source) for _ in range(number)]))
        return torch.stack(columns, dim=1)

    def choice(self, purpose: int, number: int) -> int:
        """One of 0 to number - 1, the same in all processes."""
        return int(torch.randint(number, (), generator=generator(self.seed, self.step, purpose)))


class Draws:
    """Makes the material of each step.

    Args: tempo_dropout: part of the items that are not told their tempo. purpose: names the draw of those, a number
    that no other draw of the task uses.
    """

    def __init__(self, batches: Batches, *, tempo_dropout: float, seed: int, purpose: int = 0) -> None:
        self.batches, self.tempo_dropout, self.seed, self._purpose = batches, tempo_dropout, seed, purpose

    def of_step(self, step: int, rank: int, world_size: int) -> Drawn:
        """This process's part of a step."""
        batch = self.batches.batch(step, rank, world_size)
        items, count = batch["item"], int(batch["num_items"])
        conditions = Conditions.of(batch)
        told = torch.rand(count, generator=generator(self.seed, step, self._purpose)) >= self.tempo_dropout
        return Drawn(
            seed=self.seed,
            step=step,
            items=items,
            count=count,
            weight=torch.tensor(world_size / count),
            x_0=batch["latents"].float(),
            conditions=conditions._replace(bpm=conditions.bpm * told[items]),
        )
