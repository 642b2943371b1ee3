"""The fake score of distribution matching: the velocity of a student's outputs, and a discriminator on its features.

B batch, C channels, T latent frames.
Source: Yin et al. 2024, "Improved Distribution Matching Distillation" (DMD2): the classifier shares the network that
estimates the student's score.
"""

from __future__ import annotations

from torch import Tensor, nn

from arctone.models.conditions import Conditions
from arctone.models.discriminator import Scores, mask_of_states


class FakeScore(nn.Module):
    """A flow model of the student's outputs with, if wanted, a head that tells them from real latents.

    Args: dit: a DiT, or any velocity network of the same form. head: from hidden states [B, T, D] and mask [B, T] to
    Scores; None where there is no adversarial term. num_blocks: after how many of the blocks the head listens.
    """

    def __init__(self, dit: nn.Module, head: nn.Module | None = None, num_blocks: int | None = None) -> None:
        super().__init__()
        self.dit, self.head, self.num_blocks = dit, head, num_blocks

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """Velocity [B, C, T] of x [B, C, T] at levels t [B]."""
        return self.dit(x, t, conditions)

    def scores(self, x: Tensor, s: Tensor, conditions: Conditions) -> Scores:
        """How real the noisy latents x [B, C, T] at levels s [B] are, position by position; high = real."""
        assert self.head is not None
        hidden, _ = self.dit.hidden(x, s, conditions, num_blocks=self.num_blocks)  # type: ignore[operator]
        return self.head(hidden, mask_of_states(hidden, conditions))
