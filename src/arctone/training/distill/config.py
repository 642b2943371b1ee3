"""Settings of distillation, and what is refused."""

from __future__ import annotations

import dataclasses

from arctone.errors import UsageError
from arctone.models.discriminator import HEADS
from arctone.training.arc.losses import ADVERSARIAL_LOSSES
from arctone.training.checks import check_above_zero, check_choice, check_range

KINDS = ("dmd", "consistency")
# A relativistic loss has no meaning here: real and fake latents are not made from each other.
DMD_LOSSES = tuple(name for name, loss in ADVERSARIAL_LOSSES.items() if not loss.paired)


@dataclasses.dataclass(frozen=True)
class DmdConfig:
    """Settings of distribution-matching distillation.

    Attributes:
        cfg_scale: Guidance of the teacher; None = the flow model's own sampling scale.
        steps: Ping-pong steps of the student; training visits the sampler's levels for this number.
        backward_simulation: Whether the student's input at later steps is made of its own outputs, or of real latents.
        fake_updates: Updates of the fake score for one of the student (two time-scale rule).
        level_low: Lowest level at which the two scores are compared, and the fake score is trained; above 0.
        level_high: Highest of these levels; below 1.
        gan_weight: Of the adversarial loss in the student's steps; 0 = there is none.
        discriminator_weight: Of the discriminator's loss beside the fake score's own.
        loss: Adversarial loss: "least_squares" as in Presto, "softplus" as in DMD2, or "hinge".
        head: Name of the discriminator's head.
        num_blocks: Blocks of the fake score before the head; None = three of four.
        discriminator_level_mean: The discriminator sees latents at the level sigmoid(mean + std * normal).
        discriminator_level_std: See `discriminator_level_mean`; above 0.
        tempo_dropout: Part of the items that lose their tempo, as in the training of the flow.

    Raises:
        UsageError: For a value that has no meaning.
    """

    cfg_scale: float | None = None
    steps: int = 8
    backward_simulation: bool = True
    fake_updates: int = 5
    level_low: float = 0.02
    level_high: float = 0.98
    gan_weight: float = 0.005
    discriminator_weight: float = 0.01
    loss: str = "least_squares"
    head: str = "conv"
    num_blocks: int | None = None
    discriminator_level_mean: float = 0.0
    discriminator_level_std: float = 1.0
    tempo_dropout: float = 0.3

    def __post_init__(self) -> None:
        check_choice(self, "loss", DMD_LOSSES)
        check_choice(self, "head", HEADS)
        check_range(self, ("steps", "fake_updates", "num_blocks"), 1)
        check_range(self, ("gan_weight", "discriminator_weight", "cfg_scale"), 0)
        check_range(self, ("tempo_dropout",), 0, 1)
        check_above_zero(self, ("discriminator_level_std",))
        # At level 1 nothing is left of what is compared, and at level 0 the score of the data is not defined.
        if not 0 < self.level_low < self.level_high < 1:
            raise UsageError(
                f"level_low: {self.level_low!r} and level_high: {self.level_high!r} must be between 0 and 1, in this "
                "order"
            )


@dataclasses.dataclass(frozen=True)
class ConsistencyConfig:
    """Settings of consistency distillation.

    Attributes:
        cfg_scale: Guidance of the teacher; None = the flow model's own sampling scale.
        intervals: The teacher's Euler step is 1 / intervals long; the student learns where that many steps would end.
        sampler_share: Part of the items whose level is one of the ping-pong sampler's; the others' is uniform.
        step_counts: Numbers of steps of that sampler.
        huber: Below this error (RMS of unit-variance latents) the distance is quadratic, above it linear.
        tempo_dropout: Part of the items that lose their tempo, as in the training of the flow.

    Raises:
        UsageError: For a value that has no meaning.
    """

    cfg_scale: float | None = None
    intervals: int = 24
    sampler_share: float = 0.5
    step_counts: tuple[int, ...] = (1, 2, 4, 8)
    huber: float = 0.001
    tempo_dropout: float = 0.3

    def __post_init__(self) -> None:
        check_range(self, ("intervals",), 1)
        check_range(self, ("sampler_share", "tempo_dropout"), 0, 1)
        check_range(self, ("cfg_scale",), 0)
        check_above_zero(self, ("huber",))
        if not self.step_counts or min(self.step_counts) < 1:
            raise UsageError(f"step_counts: {self.step_counts!r} is not possible, it needs numbers of at least 1")
