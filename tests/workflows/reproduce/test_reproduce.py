"""The whole of a reproduction on a model of some thousand parameters: every stage, its resuming and its report."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from arctone.audio.files import write_audio
from arctone.audio.waveform import Waveform
from arctone.checkpoints.folder import load_config, load_state
from arctone.errors import UsageError
from arctone.evaluation.metrics.intervals import Interval
from arctone.evaluation.scoring.measurement import Report, measured
from arctone.files.strict_json import read_config
from arctone.training.arc.config import ArcConfig
from arctone.training.recipes import Recipe, recipe
from arctone.workflows.reproduce import budget as budgets
from arctone.workflows.reproduce import run
from arctone.workflows.reproduce.budget import (
    ABLATIONS,
    BRIEF,
    FULL,
    SHARES,
    SHORT,
    Budget,
    parse_budget,
    sample_of,
)
from arctone.workflows.reproduce.report import conclusion, write_report
from arctone.workflows.reproduce.run import Reproduction, RowResult, Settings, State
from arctone.workflows.time_limit import Deadline
from tests.evaluation.metrics.tiny_embedder import TinyEmbedder
from tests.tiny_model import CONFIG, write_checkpoint

STEPS = 6
# What a short reproduction trains.
TRAINED = ("flow", "arc", "dmd", "consistency", *list(ABLATIONS)[:3])


def _recipe() -> Recipe:
    plan = recipe("spark-minutes")
    loops: dict[str, object] = {
        name: dataclasses.replace(getattr(plan, name), total_steps=STEPS, warmup_steps=0, log_every=2)
        for name in ("flow_loop", "arc_loop", "dmd_loop", "consistency_loop")
    }
    # Not the paper's own settings: with steps instead of minutes, ARC and the first ablation would be the same.
    loops |= {"arc": dataclasses.replace(plan.arc, self_output=0.5)}
    return dataclasses.replace(plan, model=msgspec.structs.replace(plan.model, dit=CONFIG.dit), **loops)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    root = tmp_path_factory.mktemp("reproduction")
    (root / "sounds").mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        samples = 0.1 * rng.standard_normal((2, 22_050 + 3000 * number)).astype(np.float32)
        write_audio(root / "sounds" / f"{number}.wav", Waveform(samples, 44_100))
        (root / "sounds" / f"{number}.txt").write_text(f"noise number {number}, <loud> & rough")
    model = write_checkpoint(root / "given")
    return Settings(
        parse_budget("15m"), root / "out", str(root / "sounds"), model, _recipe(), [TinyEmbedder()], workers=0
    )


@pytest.fixture(scope="module")
def done(settings: Settings) -> Path:
    reported: list[str] = []
    Reproduction(settings, reported.append).run()
    assert reported[:8] == ["data", *TRAINED]
    assert reported[8:] == ["measures", "measures: trying each row", *(f"measures: {row.title}" for row in SHORT)]
    return settings.out


def test_every_row_has_its_own_model_and_numbers(done: Path) -> None:
    results = [read_config(path, RowResult) for path in sorted((done / "rows").glob("*.json"))]
    assert [result.title for result in results] == [row.title for row in SHORT]
    for result in results:
        found = {m.metric: m.value for m in result.report.measurements}
        assert found["frechet_distance"] > 0
        assert "conditional_diversity" in found
        assert result.report.settings["processor_seconds_per_sound"] > 0
    weights = [(done / "models" / stage / "dit.safetensors").read_bytes() for stage in TRAINED]
    assert len(set(weights)) == len(TRAINED)
    for stage in TRAINED:
        assert load_config(done / "models" / stage).sampling.post_trained == (stage != run.FLOW)


def test_parts_that_are_not_trained_are_the_given_models(done: Path, settings: Settings) -> None:
    given, used = load_state(settings.model, "autoencoder"), load_state(done / "models" / "arc", "autoencoder")
    assert all((given[name] == used[name]).all() for name in given)


def test_the_report_shows_everything_that_it_names(done: Path) -> None:
    html = write_report(done).read_text()
    markdown = (done / "report.md").read_text()
    paths = re.findall(r'src="([^"]+)"', html)
    assert len([path for path in paths if path.endswith(".wav")]) == 3 * len(SHORT)
    assert len([path for path in paths if "loss-" in path]) == len(TRAINED)
    for path in [*paths, *re.findall(r"\]\(([^)]+)\)", markdown)]:
        assert (done / path).stat().st_size > 0, path
    for row in SHORT:
        assert row.title in html
        assert f"| {row.title} |" in markdown
    assert "&lt;loud&gt; &amp; rough" in html
    assert "<loud>" not in html
    assert "| flow + ARC, 8 | 84.43 (r) |" in markdown


def test_what_is_done_is_not_done_again(done: Path, settings: Settings) -> None:
    reported: list[str] = []
    before = (done / "state.json").read_bytes()
    Reproduction(settings, reported.append).run()
    assert reported == []
    assert (done / "state.json").read_bytes() == before


def test_a_run_that_was_killed_goes_on_where_it_was(settings: Settings, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(stage: str) -> None:
        if stage == "consistency":
            raise Killed

    rows = tuple(row for row in SHORT if row.stage in ("flow", "consistency"))[-2:]
    here = dataclasses.replace(settings, out=tmp_path, rows=rows)
    with pytest.raises(Killed):
        Reproduction(here, kill).run()
    reported: list[str] = []
    Reproduction(here, reported.append).run()
    assert reported == [
        "consistency",
        "measures",
        "measures: trying each row",
        *(f"measures: {row.title}" for row in rows),
    ]


def test_a_folder_of_another_budget_is_refused(done: Path, settings: Settings) -> None:
    other = dataclasses.replace(settings, budget=parse_budget("6h"))
    with pytest.raises(UsageError, match=r"was begun with minutes 15.0, not 360.0"):
        Reproduction(other)


def test_ablations_share_equally_and_what_is_given_leaves_its_time_to_the_others() -> None:
    stages = [stage for stage in budgets.TRAINED if stage != "flow"]
    minutes = Budget(100).shares(budgets.TRAINED)
    assert minutes["flow"] == pytest.approx(30)
    assert {minutes[name] for name in ABLATIONS} == {minutes["arc-paper"]}
    assert sum(minutes[name] for name in ABLATIONS) == pytest.approx(14)
    kept = Budget(100, ("data", "flow")).shares(stages)
    assert kept["arc"] == pytest.approx(10 * 0.97 / 0.52)
    assert kept["arc"] / kept["arc-paper"] == pytest.approx(minutes["arc"] / minutes["arc-paper"])


def test_every_ablation_changes_the_settings_of_the_paper_in_one_thing() -> None:
    paper, *others = [ablation.applied() for ablation in ABLATIONS.values()]
    assert paper == ArcConfig()
    assert len({repr(settings) for settings in others}) == len(others)
    assert paper not in others


def test_a_given_flow_and_given_latents_are_used_as_they_are(done: Path, settings: Settings, tmp_path: Path) -> None:
    given = done / "models" / "flow"
    here = dataclasses.replace(
        settings,
        out=tmp_path,
        model=given,
        budget=parse_budget("15m", ("data", "flow")),
        rows=tuple(row for row in SHORT if row.title in ("flow, guided, 8 steps", "ARC, 8 steps")),
        keep_flow=True,
        latents=done / "latents",
        num_prompts=5,
    )
    reported: list[str] = []
    Reproduction(here, reported.append).run()
    assert reported == ["arc", "measures", "measures: flow, guided, 8 steps", "measures: ARC, 8 steps"]
    wanted, kept = load_state(given, "dit"), load_state(tmp_path / "models" / "flow", "dit")
    assert all((wanted[name] == kept[name]).all() for name in wanted)
    row = read_config(tmp_path / "rows" / "00.json", RowResult)
    assert row.report.counts["generated"] == 5
    assert not (tmp_path / "latents").exists()


def test_the_flow_of_a_post_trained_model_is_kept(done: Path, settings: Settings, tmp_path: Path) -> None:
    fast = done / "models" / "arc"
    Reproduction(dataclasses.replace(settings, out=tmp_path, model=fast, keep_flow=True))
    kept, flow = load_state(tmp_path / "models" / "flow", "dit"), load_state(done / "models" / "flow", "dit")
    assert all((flow[name] == kept[name]).all() for name in flow)
    assert load_config(tmp_path / "models" / "flow") == load_config(done / "models" / "flow")


def test_without_time_the_smallest_sample_of_the_first_rows_is_measured_and_the_report_says_so(
    settings: Settings, tmp_path: Path
) -> None:
    here = dataclasses.replace(settings, out=tmp_path, budget=parse_budget("1m"))
    reported: list[str] = []
    Reproduction(here, reported.append, deadline=Deadline(0.0)).run()
    assert reported[:3] == ["data", "flow", "arc"]
    assert reported[-3:] == [
        f"left out, there is no time for it: {BRIEF[2].title}",
        *(f"measures: {r.title}" for r in BRIEF[:2]),
    ]
    rows = [read_config(path, RowResult) for path in sorted((tmp_path / "rows").glob("*.json"))]
    assert [row.title for row in rows] == [row.title for row in BRIEF[:2]]
    state = read_config(tmp_path / "state.json", State)
    assert state.sample is not None
    assert state.sample.prompts == 4
    page = write_report(tmp_path).read_text()
    assert f"There was no time for: {BRIEF[2].title}." in page


def _row(title: str, value: float, reach: float) -> RowResult:
    found = measured(
        "frechet_distance", Interval(value, value - reach, value + reach, 0.95, 8), "none", "corpus-clap", "1", 0, {}
    )
    return RowResult(title, Report(title=title, version="1", counts={"generated": 8}, measurements=[found]), [])


def test_the_report_says_when_it_shows_nothing() -> None:
    (nothing,) = conclusion([_row("flow", 10, 3), _row("ARC", 8, 3)])
    assert nothing.startswith("This run shows no difference")
    assert "over 8 prompts" in nothing
    assert conclusion([_row("flow", 10, 0.5), _row("ARC", 8, 0.5)]) == [
        "frechet_distance, corpus-clap: ARC is better than flow by more than their intervals."
    ]


def test_budgets() -> None:
    assert parse_budget("90m").minutes == parse_budget("1.5h").minutes == 90
    assert (parse_budget("60m").recipe, parse_budget("6h").recipe) == ("spark-minutes", "spark")
    assert parse_budget("60m").num_clips(0.6) == 900
    assert parse_budget("60m").num_clips(1.2, seconds_spent=60) == 400
    assert parse_budget("1m").num_clips(10.0) == 16
    assert parse_budget("6h").num_clips(1e-9) == 19_000
    assert 0.9 < sum(SHARES.values()) < 1
    assert [parse_budget(text).rows for text in ("9m", "10m", "119m", "120m")] == [BRIEF, SHORT, SHORT, FULL]
    assert sample_of(3, 4).sounds == 10
    assert sample_of(3, 60).sounds == 140
    assert {row.stage for row in FULL} == {*SHARES, *ABLATIONS} - {"data", "measures", "ablations"}
    for text in ("", "60", "m", "-5m", "0m", "30s", "1e3m"):
        with pytest.raises(UsageError, match="budget:"):
            parse_budget(text)
