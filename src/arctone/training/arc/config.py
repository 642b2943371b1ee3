"""Settings of adversarial post-training, and what is refused."""

from __future__ import annotations

import dataclasses

from arctone.errors import UsageError
from arctone.models.discriminator import HEADS
from arctone.training.arc.losses import ADVERSARIAL_LOSSES
from arctone.training.task import check_above_zero, check_choice, check_range

TIME_LAWS = ("log_snr", "sampler")
TEACHER_SAMPLERS, TEACHER_TARGETS = ("euler", "ping_pong"), ("end", "velocity")
PENALTY_FORMS = ("slope", "difference")
FIRST = ("discriminator", "generator")


@dataclasses.dataclass(frozen=True)
class DiscriminatorConfig:
    """The discriminator and how often it is updated.

    Attributes:
        num_blocks: Blocks of the flow model that it has; None = `block_share` of them.
        block_share: Part of the blocks, above 0 to 1.
        head: Name of its head: "conv", "convnext" (exact under padding), "public_conv" or "public_convnext".
        updates: Its updates for one of the generator.
        level_mean: It sees latents at the level sigmoid(level_mean + level_std * normal).
        level_std: See `level_mean`; above 0.
    """

    num_blocks: int | None = None
    block_share: float = 0.75
    head: str = "conv"
    updates: int = 1
    level_mean: float = 0.0
    level_std: float = 1.0

    def __post_init__(self) -> None:
        check_choice(self, "head", HEADS, "discriminator.")
        check_range(self, ("num_blocks", "updates"), 1, prefix="discriminator.")
        check_range(self, ("block_share",), 0, 1, "discriminator.")
        check_above_zero(self, ("block_share", "level_std"), "discriminator.")


@dataclasses.dataclass(frozen=True)
class PenaltyConfig:
    """Penalties on how fast the discriminator's logits change, by finite differences.

    Attributes:
        r1_weight: On real inputs.
        r2_weight: On generated inputs.
        std: Standard deviation of the disturbance, above 0.
        form: "slope" is half the squared slope, averaged over positions; "difference" half the squared difference of
            the logits, summed over positions, as in the public trainer.
    """

    r1_weight: float = 0.0
    r2_weight: float = 0.0
    std: float = 0.05
    form: str = "slope"

    @property
    def is_on(self) -> bool:
        """Whether there is any."""
        return self.r1_weight > 0 or self.r2_weight > 0

    def __post_init__(self) -> None:
        check_range(self, ("r1_weight", "r2_weight"), 0, prefix="penalties.")
        check_above_zero(self, ("std",), "penalties.")
        check_choice(self, "form", PENALTY_FORMS, "penalties.")


@dataclasses.dataclass(frozen=True)
class TeacherConfig:
    """A guided teacher: the frozen flow model, sampled with guidance.

    The generator learns from it alone for `warmup` steps, then with `weight`: at each point of the teacher's path where
    the path ends, or the guided velocity there, so that the guidance is no longer needed.

    Attributes:
        warmup: Steps of the generator that learn from the teacher alone.
        warmup_scale: Factor of the learning rates in these steps, above 0.
        weight: Of the teacher's loss in the generator's later steps.
        sampler: "euler" or "ping_pong".
        target: "end" or "velocity".
        steps: Steps of a path.
        substeps: Steps that each of these is made in; their mean velocity is learned.
        shift: Moves the grid of Euler steps: above 1 towards noise.
        cfg_scale: Scale of its guidance.
        refresh: Steps that look at the same batch of paths.
        shares: How often each step of a path is looked at, relative to the others; none = all alike.
        bank: Batches of paths that are looked at in turn, so that the generator does not see the same one `refresh`
            times in a row.
        step_counts: Numbers of steps of the paths in the bank, one after another in turn, for models that receive the
            number (control "steps"), each path in as many calls as `steps` times `substeps`; none = `steps` alone.
    """

    warmup: int = 0
    warmup_scale: float = 1.0
    weight: float = 0.0
    sampler: str = "euler"
    target: str = "end"
    steps: int = 12
    substeps: int = 1
    shift: float = 1.0
    cfg_scale: float = 4.0
    refresh: int = 10
    shares: tuple[float, ...] = ()
    bank: int = 1
    step_counts: tuple[int, ...] = ()

    @property
    def is_on(self) -> bool:
        """Whether a teacher takes part."""
        return self.warmup > 0 or self.weight > 0

    @property
    def sampled_by(self) -> tuple[str, int, float] | None:
        """Sampler, number of steps and shift of their grid that suit the result, where its velocities are learned."""
        return (self.sampler, self.steps, self.shift) if self.is_on and self.target == "velocity" else None

    def __post_init__(self) -> None:
        check_choice(self, "sampler", TEACHER_SAMPLERS, "teacher.")
        check_choice(self, "target", TEACHER_TARGETS, "teacher.")
        check_range(self, ("warmup", "weight"), 0, prefix="teacher.")
        check_range(self, ("steps", "substeps", "refresh", "bank"), 1, prefix="teacher.")
        check_above_zero(self, ("shift", "warmup_scale"), "teacher.")
        if self.substeps > 1 and (self.sampler, self.target) != ("euler", "velocity"):
            needs = "teacher.sampler 'euler' and teacher.target 'velocity'"
            raise UsageError(f"teacher.substeps: {self.substeps!r} needs {needs}")
        if self.shift != 1 and self.sampler != "euler":
            raise UsageError(f"teacher.shift: {self.shift!r} needs teacher.sampler 'euler'")
        self._check_shares()
        self._check_step_counts()

    def _check_step_counts(self) -> None:
        counts, calls = self.step_counts, self.steps * self.substeps
        if not counts:
            return
        if min(counts) < 1 or any(calls % count for count in counts):
            raise UsageError(f"teacher.step_counts: {counts!r} must divide the {calls} calls of a path")
        if (self.sampler, self.target) != ("euler", "velocity") or self.shares:
            needs = "teacher.sampler 'euler', teacher.target 'velocity' and no teacher.shares"
            raise UsageError(f"teacher.step_counts: {counts!r} needs {needs}")

    def _check_shares(self) -> None:
        shares = self.shares
        if shares and not (len(shares) == self.steps and min(shares) >= 0 and sum(shares) < float("inf")):
            raise UsageError(f"teacher.shares: {shares!r} must be {self.steps} numbers of at least 0, one per step")
        if shares and not sum(shares) > 0:
            raise UsageError(f"teacher.shares: {shares!r} looks at no step, at least one must be above 0")


@dataclasses.dataclass(frozen=True)
class AlignmentConfig:
    """A critic of sound and caption, trained before everything else, then frozen.

    Attributes:
        steps: Steps of its training; 0 = there is none.
        weight: Of its loss in the generator's steps.
    """

    steps: int = 0
    weight: float = 0.0

    def __post_init__(self) -> None:
        check_range(self, ("steps", "weight"), 0, prefix="alignment.")
        if self.weight > 0 and self.steps == 0:
            raise UsageError("alignment.weight: needs alignment.steps above 0, or the critic would know nothing")


@dataclasses.dataclass(frozen=True)
class ArcConfig:
    """Settings of ARC post-training.

    The defaults are the method's losses and laws alone; how they differ from the published configuration, which is the
    recipe "paper", is in docs/arc.md.

    Attributes:
        loss: Adversarial loss: "relativistic", "least_squares", "hinge" or "softplus" (the plain non-saturating GAN).
        contrastive_weight: Of the discriminator's loss on wrong captions.
        time_law: Level t of the generator's input: "log_snr" draws it uniformly from a range of log-SNR; "sampler"
            draws the levels of ping-pong with `step_counts`, t = 1 included.
        log_snr_low: Lowest log-SNR of the first law.
        log_snr_high: Highest log-SNR of the first law.
        step_counts: Numbers of steps of the second law.
        even_quantiles: Whether a batch is spread evenly over the laws of t and s; else its items are independent.
        tempo_dropout: Part of the items that lose their tempo, for both networks alike; captions are never dropped.
        self_output: Part of the items whose input is the generator's own estimate from a noisier level, noised again,
            as in ping-pong; the others start from noised real latents.
        rollout_steps: 0 = the discriminator sees one-step estimates, made of noised real latents; above 0 = it sees
            what the generator's sampler makes of noise and prompt, with gradients through this many of its last steps.
        first: Which network is updated first, "discriminator" or "generator".
        micro_items: Items that pass through the networks at a time; less memory, the same numbers. 0 = all.
        discriminator: See `DiscriminatorConfig`.
        penalties: See `PenaltyConfig`.
        teacher: See `TeacherConfig`.
        alignment: See `AlignmentConfig`.

    Raises:
        UsageError: For a value that has no meaning.
    """

    loss: str = "relativistic"
    contrastive_weight: float = 1.0
    time_law: str = "log_snr"
    log_snr_low: float = -6.0
    log_snr_high: float = 2.0
    step_counts: tuple[int, ...] = (1, 2, 4, 8)
    even_quantiles: bool = True
    tempo_dropout: float = 0.3
    self_output: float = 0.0
    rollout_steps: int = 0
    first: str = "discriminator"
    micro_items: int = 0
    discriminator: DiscriminatorConfig = dataclasses.field(default_factory=DiscriminatorConfig)
    penalties: PenaltyConfig = dataclasses.field(default_factory=PenaltyConfig)
    teacher: TeacherConfig = dataclasses.field(default_factory=TeacherConfig)
    alignment: AlignmentConfig = dataclasses.field(default_factory=AlignmentConfig)

    @property
    def sampled_by(self) -> tuple[str, int, float]:
        """Sampler, number of steps and shift of their grid that suit the result: the teacher's, where it learned that
        one's velocities.
        """
        return self.teacher.sampled_by or ("ping_pong", 8, 1.0)

    def __post_init__(self) -> None:
        check_choice(self, "loss", ADVERSARIAL_LOSSES)
        check_choice(self, "time_law", TIME_LAWS)
        check_choice(self, "first", FIRST)
        check_range(self, ("tempo_dropout", "self_output"), 0, 1)
        check_range(self, ("contrastive_weight", "micro_items", "rollout_steps"), 0)
        if self.rollout_steps > self.sampled_by[1]:
            raise UsageError(
                f"rollout_steps: {self.rollout_steps!r} is not possible, the sampler makes {self.sampled_by[1]}"
            )
        if self.rollout_steps and self.self_output:
            raise UsageError(
                f"self_output: {self.self_output!r} says what estimates are made of, so rollout_steps must be 0"
            )
        if not self.log_snr_low < self.log_snr_high:
            raise UsageError(f"log_snr_low: {self.log_snr_low!r} must be below log_snr_high, {self.log_snr_high!r}")
        if not self.step_counts or min(self.step_counts) < 1:
            raise UsageError(f"step_counts: {self.step_counts!r} is not possible, it needs numbers of at least 1")
