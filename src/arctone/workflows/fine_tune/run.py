"""Fine-tune on own sounds: data, training, comparison with the base, report."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

import arctone
from arctone.checkpoints.folder import flow_part, part_hash
from arctone.data.encode import EncodeSettings, encode_corpus
from arctone.data.encoders import open_autoencoder, open_text_encoder
from arctone.data.sources import open_source, problems_of, remarks
from arctone.errors import InputFileError, ModelError, UsageError
from arctone.evaluation.embedders.protocol import Embedder, open_embedder
from arctone.evaluation.scoring.takes import Progress, Take, Wanted, real_takes, wrap_model
from arctone.files.strict_json import read_config, write_config
from arctone.inference.engine import Model
from arctone.training.lora import FineTuning, TuneStage, with_targets
from arctone.workflows.fine_tune import comparing
from arctone.workflows.fine_tune.comparing import Comparison, Made
from arctone.workflows.fine_tune.sounds import OwnSounds, other_prompts
from arctone.workflows.time_limit import Deadline

SECONDS = 4.0
STATE, LATENTS, REPORT = "fine-tuning.json", "latents", "report"
MAX_PROMPTS = 12
_FEW_WORKERS_BELOW = 64

Tell = Callable[[str], None]


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a folder was begun with; other settings need another folder."""

    source: str
    weights: str
    kind: str
    rank: int
    alpha: float
    dropout: float
    target: list[str]
    seed: int
    caption: str


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that a run is given.

    Args:
        source: Folder, manifest or shards.
        model: Folder of the model that is tuned.
        caption: Of sounds without one; "" = their file name.
        skip_bad: Leave unusable files out.
        num_prompts: Of each kind in the report, 0 to 12; 0 = none.
        keep_apart: Some of the sounds for the report; False trains on all.

    Raises:
        UsageError: for another number, or if `out` is the model.
    """

    source: str
    model: Path
    out: Path
    plan: FineTuning
    caption: str = ""
    skip_bad: bool = False
    num_prompts: int = 6
    keep_apart: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.num_prompts <= MAX_PROMPTS:
            raise UsageError(
                f"report_prompts: {self.num_prompts} is not possible, it must be 0 to {MAX_PROMPTS}",
                field="report_prompts",
            )
        if self.out.exists() and self.out.samefile(self.model):
            raise UsageError(f"out: {self.out} is also the model; choose another folder", field="out")


@dataclasses.dataclass(frozen=True)
class Tuned:
    """What a run leaves for the report.

    Args:
        real: The user's sounds they speak of.
        comparisons: One for each embedder.
    """

    made: Made
    real: list[Take]
    comparisons: list[Comparison]
    are_apart: bool


def open_sounds(settings: Settings, tell: Tell) -> OwnSounds:
    """Open the user's sounds, with captions.

    Args:
        settings: All settings of the run.
        tell: Receives the name of each stage as it begins.

    Returns:
        Usable sounds, each with a caption.

    Raises:
        InputFileError: for unusable files unless they may be skipped.
    """
    source = open_source(settings.source)
    problems = problems_of(source)
    if problems and not settings.skip_bad:
        raise InputFileError(
            f"{len(problems)} files cannot be used (--skip-bad leaves them out), the first: {problems[0]}"
        )
    for problem in problems:
        tell(f"left out: {problem}")
    for remark in remarks(source):
        tell(remark)
    sounds = OwnSounds(source, settings.caption, keep_apart=settings.keep_apart)
    training = sounds.of_split("train")
    if not training:
        raise InputFileError(f"{settings.source} holds no sound to train on.")
    apart = len(sounds) - len(training)
    tell(f"{len(training)} clips to train on, {apart} kept apart for the report")
    if sounds.uncaptioned:
        first = next(sounds.info(i) for i in range(len(sounds)) if sounds.info(i).id == sounds.uncaptioned[0])
        tell(f"{len(sounds.uncaptioned)} clips have no caption; theirs is made up, such as {first.caption!r}")
    return sounds


def begin(settings: Settings) -> None:
    """Open the folder that is written.

    Args:
        settings: All settings of the run.

    Raises:
        UsageError: if it was begun with other settings, or for targets the model does not have.
    """
    plan, path = with_targets(settings.plan, settings.model), settings.out / STATE
    wanted = State(
        source=settings.source,
        weights=part_hash(settings.model, flow_part(settings.model)),
        kind="full" if plan.is_full else "lora",
        rank=plan.lora.rank,
        alpha=plan.lora.alpha,
        dropout=plan.lora.dropout,
        target=[*plan.lora.target_modules],
        seed=plan.loop.seed,
        caption=settings.caption,
    )
    settings.out.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        write_config(path, wanted)
        return
    found = read_config(path, State)
    for name in State.__struct_fields__:
        if getattr(found, name) != getattr(wanted, name):
            raise UsageError(
                f"out: {settings.out} was begun with {name} {getattr(found, name)}, not {getattr(wanted, name)}; "
                "choose another folder",
                field="out",
            )


def encode(settings: Settings, sounds: OwnSounds, progress: Progress | None = None) -> Path:
    """The sounds' latents and captions' embeddings, made once with the model's own encoders; returns their folder."""
    report = progress or (lambda done, total, stage: None)
    audio, text = open_autoencoder(settings.model), open_text_encoder(settings.model)
    few = len(sounds) < _FEW_WORKERS_BELOW
    chosen = EncodeSettings(
        hop_length=audio.hop_length,
        sample_rate=audio.sample_rate,
        num_workers=0 if few else 2,
        skip_bad=settings.skip_bad,
    )
    folder = settings.out / LATENTS
    encode_corpus(
        sounds,
        audio.encode,
        text.encode,
        folder,
        autoencoder_hash=audio.hash,
        text_encoder_hash=text.hash,
        settings=chosen,
        progress=lambda event: report(event.done, event.total, f"encoding, {event.stage}"),
    )
    return folder


def tuning_stage(settings: Settings, sounds: OwnSounds, progress: Progress | None = None) -> TuneStage:
    """Encodes the sounds; returns the stage that trains on them."""
    return TuneStage(settings.plan, settings.model, encode(settings, sounds, progress), settings.out)


# Of the time that is left, for sounds of the model before it is tuned; those after it take two thirds of that.
_SHARE_BEFORE, _AFTER, _MEASURING = 0.25, 2 / 3, 1 / 3


@dataclasses.dataclass(frozen=True)
class ReportPlan:
    """What the report compares.

    Args:
        own: Prompts of the user's captions, with names and seeds.
        rest: Prompts of everything else, with names and seeds.
        real: Clips whose sounds are shown.
        are_apart: Whether none of these is trained on.
        seconds: That generating with the tuned model and measuring will take.
    """

    own: list[Wanted]
    rest: list[Wanted]
    real: list[int]
    are_apart: bool
    seconds: float = 0.0

    def first(self, count: int, seconds: float) -> ReportPlan:
        """Keep the first prompts of each kind."""
        return dataclasses.replace(self, own=self.own[:count], rest=self.rest[:count], seconds=seconds)


def plan_report(settings: Settings, sounds: OwnSounds, longest: float) -> ReportPlan:
    """Choose the prompts of the report.

    Args:
        settings: Of the run.
        sounds: The user's.
        longest: Duration that the model generates at most, in seconds.

    Returns:
        The plan.
    """
    apart = _readable(sounds, sounds.of_split("valid", "test"))
    chosen = apart or _readable(sounds, sounds.of_split("train"))
    # Fewer captions than prompts are asked several times, with other seeds.
    infos = [sounds.info(chosen[number % len(chosen)]) for number in range(settings.num_prompts)]
    own = comparing.wanted(
        [f"{info.id}-{number}" for number, info in enumerate(infos)],
        [info.caption for info in infos],
        [round(min(info.duration_seconds, longest), 3) for info in infos],
    )
    captions = [caption for number in range(len(sounds)) for caption in sounds.info(number).captions]
    general = other_prompts(captions, settings.num_prompts)
    rest = comparing.wanted(general, general, [min(SECONDS, longest)] * len(general))
    return ReportPlan(own, rest, chosen, bool(apart))


def generate_before(
    settings: Settings, plan: ReportPlan, before: Model, deadline: Deadline, show: Progress
) -> ReportPlan:
    """Generate the sounds of the untuned model, which says how long those of the tuned one will take.

    With a limit of time a quarter of what is left is for them.

    Args:
        settings: Of the run.
        plan: All prompts.
        before: The untuned model.
        deadline: Of the command.
        show: Called with (done, total, stage).

    Returns:
        The plan with the prompts that there was time for.
    """
    started, model = time.monotonic(), wrap_model(before)
    limit = _SHARE_BEFORE * deadline.seconds_left()
    number = max(len(plan.own), len(plan.rest))
    for count in range(1, number + 1):
        show(count - 1, number, "generating before")
        comparing.generate_before(model, plan.own[:count], plan.rest[:count], settings.out / REPORT / "made")
        taken = time.monotonic() - started
        if taken >= limit:
            break
    return plan.first(count, taken * (_AFTER + _MEASURING))


def compare(
    settings: Settings,
    sounds: OwnSounds,
    embedders: Sequence[Embedder],
    progress: Progress,
    plan: ReportPlan | None = None,
) -> Tuned:
    """Sounds before and after, and the numbers.

    Raises what generating and embedding raise.
    """
    before, after = untuned(settings), tuned(settings)
    plan = plan or plan_report(settings, sounds, before.config.dit.max_seconds)
    folder = settings.out / REPORT
    real = real_takes(sounds, plan.real, folder / "own", progress)
    made = comparing.make(wrap_model(before), wrap_model(after), plan.own, plan.rest, folder / "made", progress)
    found = comparing.compare(made, real, embedders, folder / "embeddings", progress)
    return Tuned(made, real, found, plan.are_apart)


def _readable(sounds: OwnSounds, indices: Sequence[int]) -> list[int]:
    """The first clips that can be decoded; others were left out of the training too, or it would have stopped."""
    found: list[int] = []
    for index in indices:
        if len(found) == MAX_PROMPTS:
            break
        try:
            sounds.waveform(index)
        except InputFileError:
            continue
        found.append(index)
    return found


def untuned(settings: Settings) -> Model:
    """Open the model before tuning, on torch.

    Args:
        settings: All settings of the run.

    Returns:
        The model.

    Raises:
        ModelError: if its folder lacks a part.
    """
    return arctone.load(settings.model, engine="torch")


def tuned(settings: Settings) -> Model:
    """The model after tuning, on torch."""
    if settings.plan.is_full:
        return arctone.load(settings.out, engine="torch")
    return arctone.load(settings.model, engine="torch", adapters=[(settings.out, 1.0)])


def open_embedders(names: Sequence[str], tell: Tell) -> list[Embedder]:
    """The named embedders; without names `corpus-clap`, or `mel` where its packages are not installed."""
    if names:
        return [open_embedder(name) for name in names]
    try:
        return [open_embedder("corpus-clap")]
    except ModelError as reason:
        tell(f"the report listens with mel statistics only: {reason}")
        return [open_embedder("mel")]
