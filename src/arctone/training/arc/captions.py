"""Wrong captions for the contrastive loss: who gets whose."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def caption_groups(captions: Sequence[str]) -> Tensor:
    """A number for each caption [N], the same for captions that differ in case and spaces alone."""
    numbers: dict[str, int] = {}
    return torch.tensor(
        [numbers.setdefault(" ".join(caption.casefold().split()), len(numbers)) for caption in captions]
    )


def mismatched(groups: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """A random permutation that gives as many items as possible a caption that is not theirs.

    Items are laid in a circle in random order, equal captions side by side, and each takes the caption so many places
    on as the largest group has members. So nobody stays within its group, unless one group is more than half of all.

    Args: groups: [N], equal numbers for equal captions.
    Returns: order [N], item i takes the caption of order[i]; usable [N], True where that is another caption.
    """
    shuffled = torch.randperm(len(groups), generator=source)
    names = torch.randperm(int(groups.max()) + 1, generator=source)
    circle = shuffled[torch.argsort(names[groups[shuffled]], stable=True)]
    order = torch.empty_like(circle)
    order[circle] = circle.roll(-int(torch.bincount(groups).max()))
    return order, groups[order] != groups
