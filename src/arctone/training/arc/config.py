"""What adversarial post-training is told to do, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from arctone.errors import UsageError
from arctone.models.discriminator import HEADS
from arctone.training.arc.losses import GAMES

TIME_LAWS = ("log_snr", "sampler")
TEACHER_SAMPLERS, TEACHER_TARGETS = ("euler", "ping_pong"), ("end", "velocity")


@dataclasses.dataclass(frozen=True)
class ArcConfig:
    """Settings of ARC post-training. The defaults are the paper's; what goes beyond it is off.

    Raises: UsageError for a value that has no meaning.
    """

    # Who wins: relativistic (the paper's), least_squares, hinge or softplus (the plain non-saturating GAN).
    loss: str = "relativistic"
    contrastive_weight: float = 1.0
    # Discriminator: how many blocks of the flow model (three of four if not given), which head, how many steps of it
    # for one of the generator.
    num_blocks: int | None = None
    head: str = "conv"
    discriminator_updates: int = 1

    # Items that pass through the networks at a time; less memory for the same numbers. 0 = the whole batch.
    micro_items: int = 0

    # Level t of the generator's input: log_snr draws it uniformly from a range of log-SNR; sampler draws the very
    # levels of ping-pong with these step counts, t = 1 included.
    time_law: str = "log_snr"
    log_snr_low: float = -6.0
    log_snr_high: float = 2.0
    step_counts: tuple[int, ...] = (1, 2, 4, 8)
    # Level s of what the discriminator sees: sigmoid(level_mean + level_std * normal).
    level_mean: float = 0.0
    level_std: float = 1.0
    # t (where its law is log_snr) and s move towards noise by these factors, for clips of no length and of the
    # maximum; 1 = not at all.
    shift_short: float = 1.0
    shift_long: float = 1.0
    # Captions are never dropped; a tempo is left out as often as in the training of the flow, for both sides alike.
    tempo_dropout: float = 0.3

    # Part of the items whose input is the generator's own estimate from a noisier level, noised again, as ping-pong
    # gives it; the others start from noised real latents.
    self_output: float = 0.0
    # What is judged: 0 = the generator's estimates, made of noised real latents (the paper's); above 0 = the sounds its
    # own sampler makes of noise and prompt, with gradients through that many of the last calls.
    judged_calls: int = 0

    # Gradient penalties on real (r1) and fake (r2) inputs, with noise of penalty_std for the finite difference.
    r1_weight: float = 0.0
    r2_weight: float = 0.0
    penalty_std: float = 0.05
    centring_weight: float = 0.0

    # Guided teacher: the frozen flow model, sampled with guidance in so many steps once every teacher_refresh steps.
    # The generator learns from it alone for teacher_warmup steps, then with teacher_weight: at each point of its path
    # where the path ends, or the guided velocity there, so that the guidance is no longer needed. With
    # teacher_substeps above 1 each of the teacher's steps is made in so many, and their mean velocity is learned.
    teacher_sampler: str = "euler"
    teacher_target: str = "end"
    teacher_warmup: int = 0
    teacher_warmup_scale: float = 1.0  # of the learning rates, in these steps
    teacher_weight: float = 0.0
    teacher_steps: int = 12
    teacher_substeps: int = 1
    teacher_shift: float = 1.0  # moves the grid of its Euler steps: above 1 towards noise
    teacher_cfg_scale: float = 4.0
    teacher_refresh: int = 10
    # How often each of its steps is looked at, relative to the others; none = all alike.
    teacher_shares: tuple[float, ...] = ()
    # Batches of trajectories that are looked at in turn, so that the generator does not see the same one
    # teacher_refresh times in a row.
    teacher_bank: int = 1

    # Alignment critic: trained before everything else for alignment_steps, then frozen, and listened to with
    # alignment_weight.
    alignment_steps: int = 0
    alignment_weight: float = 0.0

    @property
    def has_teacher(self) -> bool:
        """Whether a guided teacher takes part."""
        return self.teacher_warmup > 0 or self.teacher_weight > 0

    @property
    def sampled_by(self) -> tuple[str, int, float]:
        """Sampler, number of steps and shift of their grid that suit the result: its teacher's, where it learned that
        one's velocities.
        """
        own = self.teacher_sampler, self.teacher_steps, self.teacher_shift
        return own if self._learns_velocities else ("ping_pong", 8, 1.0)

    @property
    def _learns_velocities(self) -> bool:
        return self.has_teacher and self.teacher_target == "velocity"

    @property
    def penalised(self) -> bool:
        """Whether the discriminator's slope is penalised."""
        return self.r1_weight > 0 or self.r2_weight > 0

    def __post_init__(self) -> None:
        _one_of("loss", self.loss, GAMES)
        _one_of("head", self.head, HEADS)
        _one_of("time_law", self.time_law, TIME_LAWS)
        _one_of("teacher_sampler", self.teacher_sampler, TEACHER_SAMPLERS)
        _one_of("teacher_target", self.teacher_target, TEACHER_TARGETS)
        for name in ("tempo_dropout", "self_output"):
            _at_least(name, getattr(self, name), 0.0, 1.0)
        for name in (field.name for field in dataclasses.fields(self) if field.name.endswith("_weight")):
            _at_least(name, getattr(self, name), 0.0)
        for name in (
            "discriminator_updates",
            "teacher_steps",
            "teacher_substeps",
            "teacher_refresh",
            "teacher_bank",
            *(["num_blocks"] * bool(self.num_blocks)),
        ):
            _at_least(name, getattr(self, name), 1)
        for name in ("teacher_warmup", "alignment_steps", "micro_items", "judged_calls"):
            _at_least(name, getattr(self, name), 0)
        for name in ("shift_short", "shift_long", "teacher_shift", "penalty_std", "level_std", "teacher_warmup_scale"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name}: {getattr(self, name)!r} is not possible, it must be above 0")
        self._check_together()

    def _check_together(self) -> None:
        if self.judged_calls > self.sampled_by[1]:
            raise UsageError(
                f"judged_calls: {self.judged_calls!r} is not possible, the sampler makes {self.sampled_by[1]}"
            )
        if self.judged_calls and self.self_output:
            raise UsageError(
                f"self_output: {self.self_output!r} says what estimates are made of, so judged_calls must be 0"
            )
        if not self.log_snr_low < self.log_snr_high:
            raise UsageError(f"log_snr_low: {self.log_snr_low!r} must be below log_snr_high, {self.log_snr_high!r}")
        if not self.step_counts or min(self.step_counts) < 1:
            raise UsageError(f"step_counts: {self.step_counts!r} is not possible, it needs numbers of at least 1")
        along = (self.teacher_sampler, self.teacher_target)
        if self.teacher_substeps > 1 and along != ("euler", "velocity"):
            needs = "teacher_sampler 'euler' and teacher_target 'velocity'"
            raise UsageError(f"teacher_substeps: {self.teacher_substeps!r} needs {needs}")
        if self.teacher_shift != 1 and self.teacher_sampler != "euler":
            raise UsageError(f"teacher_shift: {self.teacher_shift!r} needs teacher_sampler 'euler'")
        shares = self.teacher_shares
        if shares and not (len(shares) == self.teacher_steps and min(shares) >= 0 and sum(shares) < float("inf")):
            raise UsageError(
                f"teacher_shares: {shares!r} must be {self.teacher_steps} numbers of at least 0, one per step"
            )
        if shares and not sum(shares) > 0:
            raise UsageError(f"teacher_shares: {shares!r} looks at no step, at least one must be above 0")
        if self.alignment_weight > 0 and self.alignment_steps == 0:
            raise UsageError("alignment_weight: needs alignment_steps above 0, or the critic would know nothing")


def _one_of(name: str, value: str, allowed: Iterable[str]) -> None:
    if value not in allowed:
        raise UsageError(f"{name}: {value!r} is unknown, choose from {', '.join(allowed)}")


def _at_least(name: str, value: float, low: float, high: float = float("inf")) -> None:
    if not low <= value <= high:
        allowed = f"at least {low:g}" if high == float("inf") else f"{low:g} to {high:g}"
        raise UsageError(f"{name}: {value!r} is not possible, it must be {allowed}")
