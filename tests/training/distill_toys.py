"""Flows whose velocity is known in closed form, and students for them: latents of a few numbers, no text.

B items, C channels, T latent frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from arctone.flow.samplers import SAMPLERS
from arctone.flow.schedules import sampler_times
from arctone.models.conditions import Conditions
from arctone.training.network import guided_velocity
from arctone.training.randomness import generator


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


class Corrected(nn.Module):
    """A flow with a correction that is linear in x and free in t; untrained, it is the flow itself.

    The flow of a normal law is linear in x, so this network can be its perfect student.
    """

    def __init__(self, mean: float, std: float, width: int = 48) -> None:
        super().__init__()
        self.flow = GaussianFlow(mean, std).requires_grad_(False)
        self.correction = nn.Sequential(nn.Linear(9, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.leave = nn.Linear(width, 2)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        waves = t[:, None] * torch.pi * 2.0 ** torch.arange(4)
        slope, shift = self.leave(self.correction(torch.cat([t[:, None], waves.sin(), waves.cos()], 1))).unbind(1)
        return self.flow(x, t, conditions) + slope[:, None, None] * x + shift[:, None, None]


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
    """Batches of normal latents [B, C, T], without text."""

    def __init__(self, items: int, shape: tuple[int, int], mean: float = 0.0, std: float = 1.0) -> None:
        self.items, self.shape, self.mean, self.std = items, shape, mean, std

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Tensor]:
        given = no_conditions(self.items, self.shape[1])._asdict()
        conditions = {name: value for name, value in given.items() if value is not None}
        latents = self.mean + self.std * torch.randn(self.items, *self.shape, generator=generator(5, step))
        whole = conditions | {"latents": latents, "item": torch.arange(self.items)}
        return whole | {"num_items": torch.tensor(self.items)}


@torch.no_grad()
def made_law(velocity: nn.Module, sampler: str, steps: int) -> tuple[float, float]:
    """Mean and standard deviation of what a velocity network makes of noise."""
    source = generator(77)
    noise = [torch.randn(1, 1, 20_000, generator=source) for _ in range(steps + 1)]
    times = sampler_times(sampler, steps)
    velocity_fn = guided_velocity(velocity, no_conditions(1, 20_000), 1.0)
    made = [*SAMPLERS[sampler](velocity_fn, noise[0], times, lambda index: noise[index])][-1].x
    return float(made.mean()), float(made.std())
