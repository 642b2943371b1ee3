"""Reproduce the paper's comparisons: models, ablations, budget, rows."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

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
from arctone.evaluation.scoring.takes import EvaluatedModel, evaluated_model, make_takes, real_takes
from arctone.files.strict_json import read_config, write_config
from arctone.inference.backends.torch import TorchBackend
from arctone.inference.engine import Engine, Model
from arctone.model_folder.config import ModelConfig, TextConfig, of_type
from arctone.model_folder.folder import file_hash
from arctone.model_folder.tokenizer import Tokenizer
from arctone.training.arc.config import AlignmentConfig, ArcConfig, TeacherConfig
from arctone.training.post_training import ArcStage, DistillStage
from arctone.training.recipes import Recipe
from arctone.training.stages import FlowStage, Stage, run_stage


@dataclasses.dataclass(frozen=True)
class Ablation:
    """One changed setting of ARC: its title in the table, and what differs from the first one's settings."""

    title: str
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)

    def applied(self) -> ArcConfig:
        """The settings."""
        return dataclasses.replace(ArcConfig(), **self.changes)


# By stage. Short reproductions train the first three.
ABLATIONS = {
    "arc-paper": Ablation("ARC, losses and laws alone"),
    "arc-without-contrastive": Ablation("without contrastive loss", {"contrastive_weight": 0.0}),
    "arc-least-squares": Ablation("with least squares", {"loss": "least_squares"}),
    "arc-own-output": Ablation("with its own noised output", {"self_output": 0.5}),
    "arc-own-sounds": Ablation("with full sampler rollouts", {"rollout_steps": 8}),
    "arc-sampler-levels": Ablation("with the sampler's levels", {"time_law": "sampler"}),
    "arc-teacher": Ablation("with a guided teacher", {"teacher": TeacherConfig(weight=1.0, steps=10)}),
    "arc-alignment": Ablation("with an alignment critic", {"alignment": AlignmentConfig(steps=500, weight=0.5)}),
}


TRAINED = ("flow", "arc", "dmd", "consistency", *ABLATIONS)
FLOW = "flow"


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


# Parts of the budget; the rest is for starting up and for the report. All ablations together have one share.
SHARES = {"data": 0.15, "flow": 0.3, "arc": 0.1, "dmd": 0.1, "consistency": 0.04, "ablations": 0.14, "measures": 0.14}
ABLATION = "arc-"
# Rendering and encoding a clip, and making and measuring a sound, on two CPU cores.
_SECONDS_PER_CLIP, _SECONDS_PER_SOUND = 0.6, 4.0
_UNITS = {"m": 1.0, "h": 60.0}


@dataclasses.dataclass(frozen=True)
class Budget:
    """A length of time and the sizes that fit into it.

    Args:
        minutes: Of all.
        given: Parts of SHARES that take none, because their results are there already.
    """

    minutes: float
    given: tuple[str, ...] = ()

    def shares(self, stages: Collection[str]) -> Mapping[str, float]:
        """Minutes of each of these stages; the names of ablations begin with "arc-", and they are given equal parts."""
        scale = self.minutes * sum(SHARES.values()) / sum(self._part(name) for name in SHARES)
        ablations = [stage for stage in stages if stage.startswith(ABLATION)]
        own = {stage: scale * self._part(stage) for stage in stages if stage not in ablations}
        return own | {stage: scale * SHARES["ablations"] / len(ablations) for stage in ablations}

    @property
    def recipe(self) -> str:
        """Name of the recipe: the small model below two hours."""
        return "spark" if self.minutes >= 120 else "spark-minutes"

    @property
    def num_clips(self) -> int:
        """Clips of the corpus, from 100 to the bundled model's number."""
        if "data" in self.given:
            return 19_000
        return min(max(round(60 * self.shares(["data"])["data"] / _SECONDS_PER_CLIP), 100), 19_000)

    def num_prompts(self, num_rows: int, takes_per_prompt: float) -> int:
        """Prompts that every row is asked, from 4 to 500."""
        seconds = 60 * self.shares(["measures"])["measures"]
        return min(max(round(seconds / (_SECONDS_PER_SOUND * num_rows * takes_per_prompt)), 4), 500)

    def _part(self, name: str) -> float:
        return 0.0 if name in self.given else SHARES[name]


def parse_budget(text: str, given: tuple[str, ...] = ()) -> Budget:
    """Parse a budget such as 60m or 6h, at least 1m.

    Args:
        text: Such as 60m or 6h.
        given: Parts of `SHARES` that take no time.

    Returns:
        The budget.

    Raises:
        UsageError: for anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mh])", text.strip())
    minutes = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if minutes < 1:
        raise UsageError(
            f"budget: {text!r} is not possible, write minutes or hours such as 60m or 6h, at least 1m", field="budget"
        )
    return Budget(minutes, given)


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table: title, stage that trained the model, and fields of GenerationRequest."""

    title: str
    stage: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


# What a short reproduction has time for.
SHORT = (
    Row("flow, guided, 24 steps", "flow", {"steps": 24}),
    Row("flow, guided, 8 steps", "flow", {"steps": 8}),
    Row("flow, 8 ping-pong steps", "flow", {"steps": 8, "sampler": "ping_pong", "cfg_scale": 1.0}),
    Row("ARC, 8 steps", "arc"),
    Row("ARC, 4 steps", "arc", {"steps": 4}),
    Row("distribution matching, 8 steps", "dmd"),
    Row("consistency, 8 steps", "consistency"),
    *(Row(f"{ABLATIONS[name].title}, 8 steps", name) for name in list(ABLATIONS)[:3]),
)
FULL = (
    Row("flow, guided, 100 steps", "flow", {"steps": 100}),
    Row("flow, guided, 50 steps", "flow", {"steps": 50}),
    Row("flow, guided, 8 steps", "flow", {"steps": 8}),
    Row("flow, 8 ping-pong steps", "flow", {"steps": 8, "sampler": "ping_pong", "cfg_scale": 1.0}),
    Row("ARC, 8 steps", "arc"),
    *(Row(f"ARC, {steps} step{'s' if steps > 1 else ''}", "arc", {"steps": steps}) for steps in (4, 2, 1)),
    Row("distribution matching, 8 steps", "dmd"),
    Row("consistency, 8 steps", "consistency"),
    *(Row(f"{ablation.title}, 8 steps", name) for name, ablation in ABLATIONS.items()),
)
# From this budget on, in minutes, all of it.
FULL_FROM = 120.0


def rows_for(minutes: float) -> tuple[Row, ...]:
    """The rows that a budget has time for."""
    return FULL if minutes >= FULL_FROM else SHORT


STATE = "state.json"
MEASURES = ("frechet", "kernel", "divergence", "adherence", "manifold")
# Of some prompts several sounds are made, which tell how much they differ.
NUM_TAKES, NUM_REPEATED = 4, 60
# Their seeds lie far from those of the others.
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
    """

    minutes: float
    source: str
    model: str
    given: tuple[str, ...] = ()
    prompts: int = 0
    done: dict[str, float] = {}


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


class Reproduction:
    """All stages of one folder.

    Args:
        settings: All settings of the reproduction.
        tell: Receives the name of each stage as it begins.

    Raises:
        UsageError: if the folder was begun with other settings.
    """

    def __init__(self, settings: Settings, tell: Tell = lambda _: None) -> None:
        self.settings, self.tell = settings, tell
        self.root = settings.out / "models"
        self.rows = settings.rows or rows_for(settings.budget.minutes)
        self.latents = settings.latents or settings.out / "latents"
        self.state = self._opened()
        self.recipe = prepare(settings.model, self.root / FLOW, settings.recipe, settings.keep_flow)
        needed = {row.stage for row in self.rows} | ({FLOW} if not settings.keep_flow else set())
        self.trained = [stage for stage in TRAINED if stage in needed and self._is_trained_here(stage)]

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
        write_config(self.settings.out / STATE, self.state)

    def _encode(self) -> None:
        folder = self.root / FLOW
        audio, text = open_autoencoder(folder), open_text_encoder(folder)
        chosen = EncodeSettings(
            hop_length=audio.hop_length, sample_rate=audio.sample_rate, num_workers=self.settings.workers
        )
        encode_corpus(
            open_source(self.settings.source, size=self.settings.budget.num_clips, split="train"),
            audio.encode,
            text.encode,
            self.latents,
            autoencoder_hash=audio.hash,
            text_encoder_hash=text.hash,
            settings=chosen,
        )

    def _train(self, stage: str) -> None:
        minutes = self.settings.budget.shares(self.trained)[stage]
        run_stage(stage_of(stage, self.recipe, self.root, self.latents, minutes))

    def _measure(self) -> None:
        source = open_source(self.settings.source, size=self.settings.budget.num_clips)
        number = self.settings.num_prompts or self.settings.budget.num_prompts(len(self.rows), 2)
        clips = choose(source, number, self.recipe.model.dit.max_seconds)
        real = real_takes(source, clips, self.settings.out / "sounds" / "real")
        for place, row in enumerate(self.rows):
            self._measure_row(place, row, source, clips, Material([], real))

    def _measure_row(self, place: int, row: Row, source: ClipSource, clips: list[int], material: Material) -> None:
        """Make and measure a row's sounds; its numbers stand in rows/PLACE.json."""
        path = self.settings.out / "rows" / f"{place:02d}.json"
        if path.exists():
            return
        self.tell(f"measures: {row.title}")
        model, times = _timed(evaluated_model(open_model(row.stage, self.root)), row.stage)
        repeated = clips[: min(NUM_REPEATED, max(len(clips) // 3, NUM_SHOWN))]
        several = wanted_of(source, repeated, NUM_TAKES, FIRST_OF_SEVERAL)
        folder = self.settings.out / "sounds"
        made = make_takes(model, wanted_of(source, clips, 1, 0), folder, row.settings)
        found = self._scored(row.title, dataclasses.replace(material, generated=made), MEASURES)
        more = make_takes(model, several, folder, row.settings)
        varied = self._scored(row.title, Material(more), ("diversity",))
        shown = made[:NUM_SHOWN]
        sounds = [SampleSound(take.prompt, str(take.path.relative_to(self.settings.out))) for take in shown]
        seconds = {"seconds_per_sound": sum(times) / len(times) if times else None}
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
        return score(title, material, self.settings.embedders, options)


def _timed(model: EvaluatedModel, name: str) -> tuple[EvaluatedModel, list[float]]:
    """The model under another name, and the list to which it adds the seconds of each sound that it makes."""
    times: list[float] = []

    def generate(*arguments: object, **fields: object) -> object:
        started = time.perf_counter()
        result = model.generate(*arguments, **fields)
        times.append(time.perf_counter() - started)
        return result

    return dataclasses.replace(model, name=name, generate=generate), times  # type: ignore[arg-type]
