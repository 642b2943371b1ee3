"""The stages of a reproduction, one after another; a run that was interrupted goes on where it stopped."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from arctone.data.clip import ClipSource
from arctone.data.encode import EncodeSettings, encode_corpus
from arctone.data.encoders import open_autoencoder, open_text_encoder
from arctone.data.opening import open_source
from arctone.errors import UsageError
from arctone.evaluation.embedders.protocol import Embedder
from arctone.evaluation.scoring.making import Maker, make_takes, maker_of, real_takes
from arctone.evaluation.scoring.measurement import Report
from arctone.evaluation.scoring.prompts import choose, wanted_of
from arctone.evaluation.scoring.score import Material, ScoringOptions, score
from arctone.files.strict_json import read_config, write_config
from arctone.training.recipes import Recipe
from arctone.training.stages import run_stage
from arctone.workflows.reproduce import models
from arctone.workflows.reproduce.budget import Budget
from arctone.workflows.reproduce.rows import Row, rows_for

STATE = "state.json"
MEASURES = ("frechet", "kernel", "divergence", "adherence", "manifold")
# Of some prompts several sounds are made, which tell how much they differ.
NUM_TAKES, NUM_REPEATED = 4, 60
# Their seeds lie far from those of the others.
FIRST_OF_SEVERAL = 1_000_000
# Prompts whose sounds stand in the report.
NUM_SHOWN = 3
Tell = Callable[[str], None]


class Heard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sound of the report. path: seen from the reproduction's folder."""

    prompt: str
    path: str


class RowResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found about a row of the table."""

    title: str
    report: Report
    sounds: list[Heard]


class State(msgspec.Struct, forbid_unknown_fields=True):
    """What a folder was begun with, and the seconds of each stage that is done.

    given: the parts that were there already. prompts: how many were wanted, 0 = as many as there is time for.
    """

    minutes: float
    source: str
    model: str
    given: tuple[str, ...] = ()
    prompts: int = 0
    done: dict[str, float] = {}


@dataclasses.dataclass(frozen=True)
class Settings:
    """model: folder that gives autoencoder and text. source: of training and test clips. rows: None = what the budget
    has time for. workers: of rendering. keep_flow: the model's transformer is the flow. latents: of the source's
    training clips, by the model's encoder; None = they are made. num_prompts: None = as many as there is time for.
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
    """All stages of one folder. Raises: UsageError if the folder was begun with other settings."""

    def __init__(self, settings: Settings, tell: Tell = lambda _: None) -> None:
        self.settings, self.tell = settings, tell
        self.root = settings.out / "models"
        self.rows = settings.rows or rows_for(settings.budget.minutes)
        self.latents = settings.latents or settings.out / "latents"
        self.state = self._opened()
        self.recipe = models.prepare(settings.model, self.root / models.FLOW, settings.recipe, settings.keep_flow)
        needed = {row.stage for row in self.rows} | ({models.FLOW} if not settings.keep_flow else set())
        self.trained = [stage for stage in models.TRAINED if stage in needed and self._is_trained_here(stage)]

    def run(self) -> None:
        """Do all that is not done yet."""
        if self.settings.latents is None:
            self._stage("data", self._encode)
        for stage in self.trained:
            self._stage(stage, lambda stage=stage: self._train(stage))  # type: ignore[misc]
        self._stage("measures", self._measure)

    def _is_trained_here(self, stage: str) -> bool:
        return stage != models.FLOW or not self.settings.keep_flow

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
        folder = self.root / models.FLOW
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
        run_stage(models.stage_of(stage, self.recipe, self.root, self.latents, minutes))

    def _measure(self) -> None:
        source = open_source(self.settings.source, size=self.settings.budget.num_clips)
        number = self.settings.num_prompts or self.settings.budget.num_prompts(len(self.rows), 2)
        clips = choose(source, number, self.recipe.model.dit.max_seconds)
        real = real_takes(source, clips, self.settings.out / "sounds" / "real")
        for place, row in enumerate(self.rows):
            self._measure_row(place, row, source, clips, Material([], real))

    def _measure_row(self, place: int, row: Row, source: ClipSource, clips: list[int], material: Material) -> None:
        """Make and judge a row's sounds; its numbers stand in rows/PLACE.json."""
        path = self.settings.out / "rows" / f"{place:02d}.json"
        if path.exists():
            return
        self.tell(f"measures: {row.title}")
        maker, times = _timed(maker_of(models.open_model(row.stage, self.root)), row.stage)
        repeated = clips[: min(NUM_REPEATED, max(len(clips) // 3, NUM_SHOWN))]
        several = wanted_of(source, repeated, NUM_TAKES, FIRST_OF_SEVERAL)
        folder = self.settings.out / "sounds"
        made = make_takes(maker, wanted_of(source, clips, 1, 0), folder, row.settings)
        found = self._scored(row.title, dataclasses.replace(material, generated=made), MEASURES)
        more = make_takes(maker, several, folder, row.settings)
        varied = self._scored(row.title, Material(more), ("diversity",))
        shown = made[:NUM_SHOWN]
        sounds = [Heard(take.prompt, str(take.path.relative_to(self.settings.out))) for take in shown]
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


def _timed(maker: Maker, name: str) -> tuple[Maker, list[float]]:
    """The maker under another name, and the list to which it adds the seconds of each sound that it makes."""
    times: list[float] = []

    def generate(*arguments: object, **fields: object) -> object:
        started = time.perf_counter()
        result = maker.generate(*arguments, **fields)
        times.append(time.perf_counter() - started)
        return result

    return dataclasses.replace(maker, name=name, generate=generate), times  # type: ignore[arg-type]
