"""Flows whose velocity is known in closed form, and students for them: latents of a few numbers, no text.

B items, C channels, T latent frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from arctone.flow.samplers import SAMPLERS
from arctone.flow.schedules import sampler_times
from arctone.models.conditions import Conditions
from arctone.training.guided import guided_velocity
from arctone.training.loop import generator

MODES = torch.tensor([[1.5, 0.5], [-1.5, -0.5]])
MODE_STD = 0.3


def column(t: Tensor) -> Tensor:
    """[B, 1, 1], never quite 0, where these velocities are 0 / 0."""
    return t.clamp_min(1e-6).reshape(-1, 1, 1)


class GaussianFlow(nn.Module):
    """Flow whose data are normal in every place, all alike; mean and spread can be trained.

    x_0_hat = m + (1 - t) s^2 / ((1 - t)^2 s^2 + t^2) (x_t - (1 - t) m), and v = (x_t - x_0_hat) / t.
    """

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.log_std = nn.Parameter(torch.tensor(mean)), nn.Parameter(torch.tensor(std).log())

    def spread(self) -> tuple[Tensor, Tensor]:
        return self.mean, self.log_std.exp()

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        mean, std = self.spread()
        t = column(t)
        gain = (1 - t) * std**2 / ((1 - t) ** 2 * std**2 + t**2)
        return (x - mean - gain * (x - (1 - t) * mean)) / t


class OneStepStudent(nn.Module):
    """x_0 = scale x_t + mean: from noise, any normal law in one step."""

    def __init__(self, mean: float, scale: float) -> None:
        super().__init__()
        self.mean, self.scale = nn.Parameter(torch.tensor(mean)), nn.Parameter(torch.tensor(scale))

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        return (x - self.scale * x - self.mean) / column(t)


class ScoreOf(GaussianFlow):
    """The exact score of what a OneStepStudent makes at the moment."""

    def __init__(self, student: OneStepStudent) -> None:
        super().__init__(0.0, 1.0)
        self._student = [student]

    def spread(self) -> tuple[Tensor, Tensor]:
        return self._student[0].mean.detach(), self._student[0].scale.detach().abs()


class MixtureFlow(nn.Module):
    """Flow of two normal modes in the plane, in closed form: the perfect teacher.

    C = 2, and every frame is a point of its own.
    """

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        t, points = column(t), x.mT
        variance = (1 - t) ** 2 * MODE_STD**2 + t**2
        offsets = points[:, :, None] - (1 - t)[..., None] * MODES
        shares = (-offsets.square().sum(-1) / (2 * variance)).softmax(-1)
        means = MODES + ((1 - t) * MODE_STD**2 / variance)[..., None] * offsets
        x_0 = (shares[..., None] * means).sum(2)
        return ((points - x_0) / t).mT


class Corrected(nn.Module):
    """A flow and a small network that corrects it; untrained, it is the flow itself."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.flow = MixtureFlow()
        self.correction = nn.Sequential(
            nn.Linear(2 + 9, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2)
        )
        last = self.correction[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        waves = t[:, None] * torch.pi * 2.0 ** torch.arange(4)
        level = torch.cat([t[:, None], waves.sin(), waves.cos()], 1)
        known = torch.cat([x.mT, level[:, None].expand(-1, x.shape[-1], -1)], 2)
        return self.flow(x, t, conditions) + self.correction(known).mT


def no_conditions(items: int, frames: int) -> Conditions:
    return Conditions(
        text_tokens=torch.zeros(items, 1, 1),
        text_mask=torch.ones(items, 1, dtype=torch.bool),
        text_pooled=torch.zeros(items, 1),
        seconds=torch.ones(items),
        bpm=torch.zeros(items),
        frame_mask=torch.ones(items, frames, dtype=torch.bool),
    )


class PlainBatches:
    """Batches of real latents that `real(items, source)` draws, [B, C, T]."""

    def __init__(self, items: int, shape: tuple[int, int]) -> None:
        self.items, self.shape = items, shape

    def real(self, items: int, source: torch.Generator) -> Tensor:
        return torch.randn(items, *self.shape, generator=source)

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Tensor]:
        conditions = no_conditions(self.items, self.shape[1])._asdict()
        del conditions["inpaint"]
        whole = conditions | {"latents": self.real(self.items, generator(5, step)), "item": torch.arange(self.items)}
        return whole | {"num_items": torch.tensor(self.items)}


class MixtureBatches(PlainBatches):
    """Batches from the mixture."""

    def __init__(self, items: int, frames: int) -> None:
        super().__init__(items, (2, frames))

    def real(self, items: int, source: torch.Generator) -> Tensor:
        place = torch.randint(len(MODES), (items, self.shape[1]), generator=source)
        return (MODES[place] + MODE_STD * torch.randn(*place.shape, 2, generator=source)).mT


@torch.no_grad()
def sampled(velocity: nn.Module, sampler: str, steps: int, points: int = 2000) -> Tensor:
    """What a velocity network makes in the plane, [points, 2]."""
    source = generator(77)
    noise = [torch.randn(1, 2, points, generator=source) for _ in range(steps + 1)]
    times = sampler_times(sampler, steps)
    velocity_fn = guided_velocity(velocity, no_conditions(1, points), 1.0)
    made = SAMPLERS[sampler](velocity_fn, noise[0], times, lambda index: noise[index])
    return [*made][-1].x[0].mT


def energy_distance(left: Tensor, right: Tensor) -> float:
    """Twice the mean distance between two sets less those within each; 0 for equal laws (Szekely and Rizzo, 2013)."""
    across = torch.cdist(left, right).mean()
    within = [torch.cdist(points, points).sum() / (len(points) * (len(points) - 1)) for points in (left, right)]
    return float(2 * across - within[0] - within[1])
