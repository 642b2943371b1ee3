"""Losses of adversarial relativistic-contrastive (ARC) post-training, as functions of logits; high logit = real.

B items, S score positions, N captions, C channels, T latent frames. Every loss is worked out position by position;
`item_means` then gives one number an item over its real positions.
Source: Novack et al. 2025, arXiv 2505.08175; the generator's loss is the non-saturating one of the public trainer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus


def item_means(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of each item over its real positions.

    Args:
        values: [B, S].
        mask: [B, S].

    Returns:
        [B, S].
    """
    weight = mask.to(values.dtype)
    return (values * weight).sum(-1) / weight.sum(-1)


class AdversarialLoss(NamedTuple):
    """What each side minimises, position by position.

    Attributes:
        discriminator: (real, fake) logits [B, S] to losses [B, S].
        generator: The same for the generator.
        paired: Whether the generator's loss depends on the real logits.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    paired: bool = False


ADVERSARIAL_LOSSES: dict[str, AdversarialLoss] = {
    # Of the two, which is more real? (Jolicoeur-Martineau, 2018)
    "relativistic": AdversarialLoss(
        lambda real, fake: softplus(fake - real), lambda real, fake: softplus(real - fake), True
    ),
    "least_squares": AdversarialLoss(
        lambda real, fake: (real - 1).square() + fake.square(), lambda _, fake: (fake - 1).square()
    ),
    "hinge": AdversarialLoss(lambda real, fake: relu(1 - real) + relu(1 + fake), lambda _, fake: -fake),
    "softplus": AdversarialLoss(lambda real, fake: softplus(-real) + softplus(fake), lambda _, fake: softplus(-fake)),
}


def contrastive(right: Tensor, wrong: Tensor) -> Tensor:
    """Compute the loss of a discriminator that does not prefer real audio's own caption to another's.

    Args:
        right: Logits [B, S] of the same noisy real audio with its own and with a wrong caption.
        wrong: As `right`.

    Returns:
        [B, S].
    """
    return softplus(wrong - right)


def gradient_penalty(logits: Tensor, disturbed: Tensor, std: float) -> Tensor:
    """Compute half the squared slope of the logits [B, S] along the disturbance, by finite differences.

    Args:
        logits: What the discriminator gave, with gradients.
        disturbed: Logits of inputs to which normal noise of this standard deviation was added. Its expectation is half
            the squared norm of the gradient, whatever `std` (R1 on real, R2 on fake inputs). Source: R1/R2 (Mescheder
            et al., 2018), by finite differences as in Seaweed-APT (arXiv 2501.08316).
        std: Standard deviation of the noise on its inputs.

    Returns:
        [B].
    """
    return 0.5 * ((disturbed - logits) / std).square()


def difference_penalty(logits: Tensor, disturbed: Tensor, mask: Tensor) -> Tensor:
    """Returns half the squared change of the logits, summed over positions, [B]; it grows with the number of positions.

    Args:
        logits: [B, S].
        disturbed: Logits of the disturbed inputs, [B, S].
        mask: Real positions, [B, S].

    Source: the public trainer, which divides neither by the disturbance's variance nor by the number of positions.

    Returns:
        [B].
    """
    return 0.5 * ((disturbed - logits).square() * mask).sum(-1)


def caption_choice(similarities: Tensor, own: Tensor, same: Tensor) -> Tensor:
    """InfoNCE: how badly the right caption is picked out among all.

    Args:
        similarities: [B, N] of items and captions.
        own: [B], place of each item's caption.
        same: [B, N], True where a caption equals the item's own; such copies are no wrong answers.

    Returns:
        [B]. Source: van den Oord et al., 2018.
    """
    copies = same.scatter(1, own[:, None], False)
    return -similarities.masked_fill(copies, -torch.inf).log_softmax(1).gather(1, own[:, None])[:, 0]


def latent_error(estimate: Tensor, target: Tensor, frame_mask: Tensor) -> Tensor:
    """Compute the mean squared error of latents over real frames.

    Args:
        estimate: [B, C, T].
        target: [B, C, T].
        frame_mask: [B, T], True = real.

    Returns:
        One number an item, [B].
    """
    return item_means((estimate - target).square().mean(1), frame_mask)
