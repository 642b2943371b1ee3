"""Reproduce the paper's comparisons: models, ablations, budget, rows."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from arctone.checkpoints.folder import DIT, flow_part, load_autoencoder, load_config, load_dit, load_state, save_part
from arctone.checkpoints.text import copy_autoencoder, copy_text, find_text_folder, load_text_encoder
from arctone.data.encode import EncodeSettings, encode_corpus
from arctone.data.encoders import open_autoencoder, open_text_encoder
from arctone.data.sound import ClipSource
from arctone.data.sources import open_source
from arctone.errors import UsageError
from arctone.evaluation.embedders.protocol import Embedder
from arctone.evaluation.scoring.embedded_sets import choose, wanted_of
from arctone.evaluation.scoring.measurement import Report
from arctone.evaluation.scoring.score import Material, ScoringOptions, score
from arctone.evaluation.scoring.takes import EvaluatedModel, Progress, make_takes, real_takes, wrap_model
from arctone.files.strict_json import read_config, write_config
from arctone.inference.backends.torch import TorchBackend
from arctone.inference.engine import Engine, Model
from arctone.model_folder.config import ModelConfig, TextConfig, of_type
from arctone.model_folder.folder import file_hash
from arctone.model_folder.tokenizer import Tokenizer
from arctone.training.loop import Trainer
from arctone.training.post_training import ArcStage, DistillStage
from arctone.training.recipes import Recipe
from arctone.training.stages import FlowStage, Stage, run_stage
from arctone.workflows.reproduce.budget import (
    ABLATIONS,
    FLOW,
    MAX_PROMPTS,
    MIN_PROMPTS,
    TRAINED,
    Budget,
    Row,
    sample_of,
)
from arctone.workflows.time_limit import Deadline, RowCost, Sample, largest_sample


def prepare(given: Path, folder: Path, recipe: Recipe, keep_flow: bool = False) -> Recipe:
    """Write the parts that are not trained into a new flow model's folder; returns the recipe of that model.

    Args:
        given: A model folder with an autoencoder; its sizes of latents and text replace the recipe's.
        folder: New folder of the flow model.
        recipe: Recipe of the flow model.
        keep_flow: Its transformer is among these parts, and its sizes replace the recipe's; of a post-trained model it
            is the flow that it was made from.

    Returns:
        Recipe of that model.

    Raises:
        ModelError: if it lacks a part.
        UsageError: if the flow of a post-trained model is not there.
    """
    config = load_config(given).of_flow
    if keep_flow:
        part = flow_part(given)
        copy_autoencoder(given, folder, config)
        copy_text(given, folder)
        if not (folder / f"{DIT}.safetensors").exists():
            save_part(folder, DIT, load_state(given, part), config)
        return dataclasses.replace(recipe, model=config)
    fixed = {name: getattr(config.dit, name) for name in ("latent_channels", "text_width", "max_frames", "max_seconds")}
    model = msgspec.structs.replace(
        config,
        name="reproduction",
        dit=msgspec.structs.replace(recipe.model.dit, **fixed),
        sampling=msgspec.structs.replace(config.sampling, cfg_scale=recipe.model.sampling.cfg_scale),
    )
    copy_autoencoder(given, folder, model)
    copy_text(given, folder)
    return dataclasses.replace(recipe, model=model)


def stage_of(name: str, recipe: Recipe, root: Path, latents: Path, minutes: float) -> Stage:
    """The stage that trains one of TRAINED, limited to some minutes; its folder is root / name."""
    out, init = root / name, root / FLOW
    if name == FLOW:
        return FlowStage(_limited(recipe, "flow_loop", minutes), latents, out)
    if name in ("dmd", "consistency"):
        return DistillStage(_limited(recipe, f"{name}_loop", minutes), latents, out, init, name)
    settings = ABLATIONS[name].applied() if name in ABLATIONS else recipe.arc
    return ArcStage(_limited(dataclasses.replace(recipe, arc=settings), "arc_loop", minutes), latents, out, init)


def open_model(stage: str, root: Path) -> Model:
    """Open a trained model on torch, as arctone.load gives it.

    Args:
        stage: Name of the stage that trained it.
        root: Folder of all models.

    Returns:
        The model.

    Raises:
        ModelError: if a part is missing.
    """
    folder = root / stage
    config: ModelConfig = load_config(folder)
    text = load_text_encoder(find_text_folder(root / FLOW), of_type(config.text, TextConfig))
    parts = TorchBackend.of(config, text, load_dit(folder), load_autoencoder(folder))
    tokenizer = Tokenizer(root / FLOW, config.text.max_tokens)
    return Model(Engine(parts, config, tokenizer, file_hash(folder / "dit.safetensors")), folder)


def _limited(recipe: Recipe, loop: str, minutes: float) -> Recipe:
    limited = dataclasses.replace(getattr(recipe, loop), max_minutes=minutes)
    changes: dict[str, object] = {loop: limited}
    return dataclasses.replace(recipe, **changes)  # type: ignore[arg-type]


STATE = "state.json"
MEASURES = ("frechet", "kernel", "divergence", "adherence", "manifold")
# Seeds of further sounds of a prompt lie far from those of the others.
FIRST_OF_SEVERAL = 1_000_000
# Prompts whose sounds stand in the report.
NUM_SHOWN = 3
Tell = Callable[[str], None]


class SampleSound(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sound of the report, with its path from the reproduction's folder."""

    prompt: str
    path: str


class RowResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found about a row of the table."""

    title: str
    report: Report
    sounds: list[SampleSound]


class State(msgspec.Struct, forbid_unknown_fields=True):
    """What a folder was begun with, and the seconds of each stage that is done.

    Args:
        given: The parts that were there already.
        prompts: How many were wanted, 0 = as many as there is time for.
        clips: Of the corpus, 0 = not chosen yet.
        sample: The sounds of each row, None = not chosen yet.
    """

    minutes: float
    source: str
    model: str
    given: tuple[str, ...] = ()
    prompts: int = 0
    done: dict[str, float] = {}
    clips: int = 0
    sample: Sample | None = None


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that a reproduction is given.

    Args:
        source: Of training and test clips.
        model: Folder that gives autoencoder and text.
        rows: None = what the budget has time for.
        workers: Of rendering.
        keep_flow: The model's transformer is the flow.
        latents: Of the source's training clips, by the model's encoder; None = they are made.
        num_prompts: None = as many as there is time for.
    """

    budget: Budget
    out: Path
    source: str
    model: Path
    recipe: Recipe
    embedders: Sequence[Embedder]
    rows: tuple[Row, ...] | None = None
    workers: int = 2
    keep_flow: bool = False
    latents: Path | None = None
    num_prompts: int | None = None


# Clips that are encoded to see how long one takes: a few where there is little time.
_FEW_CLIPS, _MANY_CLIPS = 4, 24
# Opening a stage of training and writing its weights, until the first one has shown it; pictures of a row's sounds.
_SECONDS_PER_STAGE, _SECONDS_PER_PICTURE, _SECONDS_OF_REPORT = 4.0, 0.4, 3.0
# Among fewer clips of the corpus there may be none to test on; among all of them, where latents are given.
_CLIPS_TO_CHOOSE_FROM, _ALL_CLIPS = 100, 19_000
# A stage may take this many times its share, where others need less.
_MOST_SHARE = 2.0
# Sounds that show what a row costs; the first also shows what it takes to begin.
_TRIED = 2


def _no_progress(done: int, total: int, stage: str) -> None:
    pass


class Reproduction:
    """All stages of one folder, within the budget.

    Args:
        settings: All settings of the reproduction.
        tell: Receives the name of each stage as it begins.
        progress: Called with (done, total, stage).
        deadline: Of all that is still to do; None = the budget from now on, less what the finished stages have taken.

    Raises:
        UsageError: if the folder was begun with other settings.
    """

    def __init__(
        self,
        settings: Settings,
        tell: Tell = lambda _: None,
        progress: Progress = _no_progress,
        deadline: Deadline | None = None,
    ) -> None:
        self.settings, self.tell, self.progress = settings, tell, progress
        self.root = settings.out / "models"
        self.rows = settings.rows or settings.budget.rows
        self.latents = settings.latents or settings.out / "latents"
        self.state = self._opened()
        self.deadline = deadline or Deadline(settings.budget.minutes - sum(self.state.done.values()) / 60)
        self.recipe = prepare(settings.model, self.root / FLOW, settings.recipe, settings.keep_flow)
        needed = {row.stage for row in self.rows} | ({FLOW} if not settings.keep_flow else set())
        self.trained = [stage for stage in TRAINED if stage in needed and self._is_trained_here(stage)]
        self._overhead = _SECONDS_PER_STAGE

    def run(self) -> None:
        """Do all that is not done yet."""
        if self.settings.latents is None:
            self._stage("data", self._encode)
        for stage in self.trained:
            self._stage(stage, lambda stage=stage: self._train(stage))  # type: ignore[misc]
        self._stage("measures", self._measure)

    def _is_trained_here(self, stage: str) -> bool:
        return stage != FLOW or not self.settings.keep_flow

    def _opened(self) -> State:
        settings, path = self.settings, self.settings.out / STATE
        budget = settings.budget
        wanted = State(budget.minutes, settings.source, str(settings.model), budget.given, settings.num_prompts or 0)
        if not path.exists():
            settings.out.mkdir(parents=True, exist_ok=True)
            write_config(path, wanted)
            return wanted
        found = read_config(path, State)
        for name in ("minutes", "source", "model", "given", "prompts"):
            if getattr(found, name) != getattr(wanted, name):
                raise UsageError(
                    f"out: {settings.out} was begun with {name} {getattr(found, name)}, not {getattr(wanted, name)}; "
                    "choose another folder",
                    field="out",
                )
        return found

    def _stage(self, name: str, work: Callable[[], None]) -> None:
        if name in self.state.done:
            return
        self.tell(name)
        started = time.monotonic()
        work()
        self.state.done[name] = round(time.monotonic() - started, 1)
        self._write_state()

    def _write_state(self) -> None:
        write_config(self.settings.out / STATE, self.state)

    def _encode(self) -> None:
        if not self.state.clips:
            self.state.clips = self._fitting_clips()
            self._write_state()
        self._encode_clips(self._source(self.state.clips, split="train"), self.latents)

    def _fitting_clips(self) -> int:
        """Encode a few clips to see how many there is time for."""
        trial, number = self.settings.out / "trial", _FEW_CLIPS if self.settings.budget.is_brief else _MANY_CLIPS
        started = time.monotonic()
        self._encode_clips(self._source(number, split="train", limit=number), trial)
        seconds = time.monotonic() - started
        shutil.rmtree(trial)
        return self.settings.budget.num_clips(seconds / number, seconds)

    def _source(self, clips: int, split: str | None = None, limit: int | None = None) -> ClipSource:
        return open_source(self.settings.source, size=clips, split=split, limit=limit)

    def _encode_clips(self, source: ClipSource, out: Path) -> None:
        folder = self.root / FLOW
        audio, text = open_autoencoder(folder), open_text_encoder(folder)
        workers = self.settings.workers
        encode_corpus(
            source,
            audio.encode,
            text.encode,
            out,
            autoencoder_hash=audio.hash,
            text_encoder_hash=text.hash,
            settings=EncodeSettings(hop_length=audio.hop_length, sample_rate=audio.sample_rate, num_workers=workers),
            progress=lambda event: self.progress(event.done, event.total, f"encoding, {event.stage}"),
        )

    def _train(self, stage: str) -> None:
        minutes = self._minutes(stage)
        started = time.monotonic()

        def run(trainer: Trainer) -> None:
            total = trainer.config.total_steps
            trainer.run(lambda step, _: self.progress(step, total, f"training, {stage}"))

        trained = run_stage(stage_of(stage, self.recipe, self.root, self.latents, minutes), run)
        if trained.step < trained.config.total_steps:
            self._overhead = max(0.0, time.monotonic() - started - 60 * minutes)

    def _minutes(self, stage: str) -> float:
        """Divide the time that is left for training among the stages that remain, by their shares."""
        remaining = [name for name in self.trained if name not in self.state.done]
        shares = self.settings.budget.shares(remaining)
        measures = 60 * self.settings.budget.shares(["measures"])["measures"]
        reserve = measures + self._seconds_of_report(len(self.rows)) + self._overhead * len(remaining)
        part = shares[stage] / sum(shares.values())
        return min(part * (self.deadline.minutes_of_training(reserve) or shares[stage]), _MOST_SHARE * shares[stage])

    def _seconds_of_report(self, num_rows: int) -> float:
        return _SECONDS_OF_REPORT + num_rows * NUM_SHOWN * _SECONDS_PER_PICTURE

    def _measure(self) -> None:
        source = self._source(max(self.state.clips, _CLIPS_TO_CHOOSE_FROM) if self.state.clips else _ALL_CLIPS)
        clips = choose(source, self.settings.num_prompts or MAX_PROMPTS, self.recipe.model.dit.max_seconds)
        sample = self.state.sample or self._fitting_sample(source, clips)
        self.state.sample = sample
        self._write_state()
        for row in self.rows[sample.rows :]:
            self.tell(f"left out, there is no time for it: {row.title}")
        clips = clips[: sample.prompts]
        real = real_takes(source, clips, self.settings.out / "sounds" / "real", self.progress)
        for place, row in enumerate(self.rows[: sample.rows]):
            self._measure_row(place, row, source, clips, Material([], real))

    def _fitting_sample(self, source: ClipSource, clips: list[int]) -> Sample:
        """Generate the first sounds of each row to see how many there is time for."""
        if self.settings.num_prompts:
            return sample_of(len(self.rows), len(clips))
        self.tell("measures: trying each row")
        tried = clips[:_TRIED]
        real = real_takes(source, tried, self.settings.out / "sounds" / "real", self.progress)
        wanted = wanted_of(source, tried, 1, 0)
        costs: list[RowCost] = []
        scoring = 0.0
        for row in self.rows:
            started = time.monotonic()
            model, times = _timed(wrap_model(open_model(row.stage, self.root)), row.stage, time.monotonic)
            made = make_takes(model, wanted, self.settings.out / "sounds", row.settings, self.progress)
            if not costs:
                begun = time.monotonic()
                self._scored(row.title, Material(made, real), MEASURES)
                scoring = time.monotonic() - begun
            opening = time.monotonic() - started - sum(times)
            costs.append(RowCost(opening + scoring, times[-1] + scoring / (2 * _TRIED) if times else scoring))
        return largest_sample(
            costs,
            self.deadline.seconds_left(self._seconds_of_report(len(self.rows))),
            least=min(MIN_PROMPTS, len(clips)),
            most=len(clips),
            least_rows=self.settings.budget.least_rows,
            sample_of=sample_of,
        )

    def _measure_row(self, place: int, row: Row, source: ClipSource, clips: list[int], material: Material) -> None:
        """Make and score a row's sounds; its numbers stand in rows/PLACE.json."""
        path = self.settings.out / "rows" / f"{place:02d}.json"
        if path.exists():
            return
        self.tell(f"measures: {row.title}")
        sample = self.state.sample
        assert sample is not None
        model, times = _timed(wrap_model(open_model(row.stage, self.root)), row.stage)
        several = wanted_of(source, clips[: sample.repeated], sample.takes, FIRST_OF_SEVERAL)
        folder = self.settings.out / "sounds"
        made = make_takes(model, wanted_of(source, clips, 1, 0), folder, row.settings, self.progress)
        found = self._scored(row.title, dataclasses.replace(material, generated=made), MEASURES)
        more = make_takes(model, several, folder, row.settings, self.progress)
        varied = self._scored(row.title, Material(more), ("diversity",))
        shown = made[:NUM_SHOWN]
        sounds = [SampleSound(take.prompt, str(take.path.relative_to(self.settings.out))) for take in shown]
        seconds = {"processor_seconds_per_sound": sum(times) / len(times) if times else None}
        path.parent.mkdir(exist_ok=True)
        report = msgspec.structs.replace(
            found,
            measurements=[*found.measurements, *varied.measurements],
            skipped=[*found.skipped, *varied.skipped],
            settings={**found.settings, **seconds},
        )
        write_config(path, RowResult(row.title, report, sounds))

    def _scored(self, title: str, material: Material, measures: tuple[str, ...]) -> Report:
        options = ScoringOptions(measures, self.settings.out / "embeddings")
        return score(title, material, self.settings.embedders, options, self.progress)


def _timed(
    model: EvaluatedModel, name: str, clock: Callable[[], float] = time.process_time
) -> tuple[EvaluatedModel, list[float]]:
    """The model under another name, and the list to which it adds the seconds of each sound that it makes.

    Other programs of the machine change the time that passes, so the processor's own time is what is compared.
    """
    times: list[float] = []

    def generate(*arguments: object, **fields: object) -> object:
        started = clock()
        result = model.generate(*arguments, **fields)
        times.append(clock() - started)
        return result

    return dataclasses.replace(model, name=name, generate=generate), times  # type: ignore[arg-type]
