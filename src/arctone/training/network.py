"""The velocity network as training builds, fills and calls it.

A stage needs little of a network: `network(x, t, conditions)` is the velocity, `network.hidden(x, t, conditions,
num_blocks=n)` the states after n blocks, `network.blocks` the stack, and `network.config` its sizes. Every type of
transformer that a config can name has these.
B items, C channels, T latent frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from arctone.checkpoints.folder import fill, flow_part, load_state
from arctone.flow.guidance import guided
from arctone.flow.samplers import VelocityFn
from arctone.flow.schedules import denoised, expand
from arctone.model_folder.config import TransformerConfig
from arctone.models.conditions import Conditions
from arctone.models.continuous_dit import ContinuousDiT
from arctone.models.discriminator import NETWORKS


def new_network(config: TransformerConfig, seed: int) -> nn.Module:
    """Returns a velocity network with weights drawn from a seed; the global random state stays as it is.

    Args:
        config: Type and sizes.
        seed: Of the weights.

    Returns:
        The network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = NETWORKS[type(config)](config)
        if isinstance(network, ContinuousDiT):
            _begin_at_zero(network)
    return network


@torch.no_grad()
def _begin_at_zero(network: ContinuousDiT) -> None:
    """Every branch of a block begins at zero, and so do the convolutions around the network, as published."""
    for block in network.blocks:
        for name, layer in block.named_modules():
            if name in ("self_attention.to_out", "cross_attention.to_out", "mlp.leave"):
                assert isinstance(layer, nn.Linear)
                nn.init.zeros_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    for layer in (network.enter_residual, network.leave_residual):
        nn.init.zeros_(layer.weight)


def fill_with_flow(network: nn.Module, folder: Path) -> None:
    """Fills a velocity network with a model's flow weights: of a post-trained model those it was made from.

    Args:
        network: Of the model's type and sizes.
        folder: Of the model.

    Raises:
        ModelError: If a tensor is missing, unknown, of another shape or not finite.
        UsageError: If a post-trained model's folder holds no flow model.
    """
    fill(network, flow_state(folder), str(folder))


def flow_state(folder: Path) -> dict[str, Tensor]:
    """Returns the weights of a model's flow network in float32; see `fill_with_flow`."""
    state = load_state(folder, flow_part(folder))
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def guided_at(network: nn.Module, x: Tensor, t: Tensor, conditions: Conditions, cfg_scale: float) -> Tensor:
    """Returns the guided velocity [B, C, T]; at scale 1 the network is called once, otherwise twice.

    Args:
        network: Velocity network.
        x: Noisy latents, [B, C, T].
        t: Their noise levels, [B], 0 to 1.
        conditions: Conditions of the items.
        cfg_scale: Scale of classifier-free guidance, at least 0.

    Returns:
        [B, C, T].
    """
    with_text: Tensor = network(x, t, conditions)
    if cfg_scale == 1:
        return with_text
    return guided(with_text, network(x, t, conditions.unconditional()), cfg_scale)


def guided_velocity(network: nn.Module, conditions: Conditions, cfg_scale: float) -> VelocityFn:
    """Returns a function of (x [B, C, T], t) for the samplers.

    Args:
        network: Velocity network.
        conditions: Conditions of the items.
        cfg_scale: Scale of classifier-free guidance, at least 0.

    Returns:
        The function.
    """

    def velocity_of(x: Tensor, t: float) -> Tensor:
        return guided_at(network, x, torch.full((len(x),), t, device=x.device), conditions, cfg_scale)

    return velocity_of


def estimate_x_0(network: nn.Module, x_t: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
    """Returns the network's one-step estimate of x_0, [B, C, T] in float32.

    Args:
        network: Velocity network.
        x_t: Noisy latents, [B, C, T].
        t: Their noise levels, [B].
        conditions: Conditions of the items.

    Returns:
        [B, C, T], float32.
    """
    return denoised(x_t, network(x_t, t, conditions).float(), expand(t, x_t))


@contextmanager
def untracked() -> Iterator[None]:
    """Turns gradients off inside, for a network that the same step also trains.

    Autocast remembers the weights' 16-bit copies, here those without gradients, and would go on using them; so its
    memory is cleared at the end.
    """
    with torch.no_grad():
        yield
    torch.clear_autocast_cache()
