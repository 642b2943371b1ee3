"""The whole of a reproduction on a model of some thousand parameters: every stage, its resuming and its report."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.metrics.tiny_embedder import TinyEmbedder
from tests.tiny_model import CONFIG, write_checkpoint

from arctone.audio.files import write_audio
from arctone.audio.waveform import Waveform
from arctone.checkpoints.folder import load_config, load_state
from arctone.config import read_config
from arctone.errors import UsageError
from arctone.reproduce import models
from arctone.reproduce.budget import SHARES, parse_budget
from arctone.reproduce.report import write_report
from arctone.reproduce.rows import ROWS
from arctone.reproduce.run import Reproduction, RowResult, Settings
from arctone.training.recipes import Recipe, recipe

STEPS = 6


def _recipe() -> Recipe:
    plan = recipe("spark-minutes")
    loops = {
        name: dataclasses.replace(getattr(plan, name), total_steps=STEPS, warmup_steps=0, log_every=2)
        for name in ("flow_loop", "arc_loop", "dmd_loop", "consistency_loop")
    }
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
        parse_budget("5m"), root / "out", str(root / "sounds"), model, _recipe(), [TinyEmbedder()], workers=0
    )


@pytest.fixture(scope="module")
def done(settings: Settings) -> Path:
    told: list[str] = []
    Reproduction(settings, told.append).run()
    assert told[:7] == ["data", *models.TRAINED]
    assert told[7:] == ["measures", *(f"measures: {row.title}" for row in ROWS)]
    return settings.out


def test_every_row_has_its_own_model_and_numbers(done: Path) -> None:
    results = [read_config(path, RowResult) for path in sorted((done / "rows").glob("*.json"))]
    assert [result.title for result in results] == [row.title for row in ROWS]
    for result in results:
        found = {m.metric: m.value for m in result.report.measurements}
        assert found["frechet_distance"] > 0
        assert "conditional_diversity" in found
        assert result.report.settings["seconds_per_sound"] > 0
    weights = [(done / "models" / stage / "dit.safetensors").read_bytes() for stage in models.TRAINED]
    assert len(set(weights)) == len(models.TRAINED)
    for stage in models.TRAINED:
        assert load_config(done / "models" / stage).sampling.post_trained == (stage != models.FLOW)


def test_parts_that_are_not_trained_are_the_given_models(done: Path, settings: Settings) -> None:
    given, used = load_state(settings.model, "autoencoder"), load_state(done / "models" / "arc", "autoencoder")
    assert all((given[name] == used[name]).all() for name in given)


def test_the_report_shows_everything_that_it_names(done: Path) -> None:
    html = write_report(done).read_text()
    markdown = (done / "report.md").read_text()
    paths = re.findall(r'src="([^"]+)"', html)
    assert len([path for path in paths if path.endswith(".wav")]) == 3 * len(ROWS)
    assert len([path for path in paths if "loss-" in path]) == len(models.TRAINED)
    for path in [*paths, *re.findall(r"\]\(([^)]+)\)", markdown)]:
        assert (done / path).stat().st_size > 0, path
    for row in ROWS:
        assert row.title in html
        assert f"| {row.title} |" in markdown
    assert "&lt;loud&gt; &amp; rough" in html
    assert "<loud>" not in html
    assert "| flow + ARC, 8 | 84.43 (r) |" in markdown


def test_what_is_done_is_not_done_again(done: Path, settings: Settings) -> None:
    told: list[str] = []
    before = (done / "state.json").read_bytes()
    Reproduction(settings, told.append).run()
    assert told == []
    assert (done / "state.json").read_bytes() == before


def test_a_run_that_was_killed_goes_on_where_it_was(settings: Settings, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(stage: str) -> None:
        if stage == "consistency":
            raise Killed

    rows = tuple(row for row in ROWS if row.stage in ("flow", "consistency"))[-2:]
    here = dataclasses.replace(settings, out=tmp_path, rows=rows)
    with pytest.raises(Killed):
        Reproduction(here, kill).run()
    told: list[str] = []
    Reproduction(here, told.append).run()
    assert told == ["consistency", "measures", *(f"measures: {row.title}" for row in rows)]


def test_a_folder_of_another_budget_is_refused(done: Path, settings: Settings) -> None:
    other = dataclasses.replace(settings, budget=parse_budget("6h"))
    with pytest.raises(UsageError, match=r"was begun with minutes 5.0, not 360.0"):
        Reproduction(other)


def test_budgets() -> None:
    assert parse_budget("90m").minutes == parse_budget("1.5h").minutes == 90
    assert (parse_budget("60m").recipe, parse_budget("6h").recipe) == ("spark-minutes", "spark")
    assert parse_budget("5m").num_clips == 100
    assert parse_budget("6h").num_clips == 5400
    assert parse_budget("60m").num_prompts(9, 2) == 6
    assert 0.9 < sum(SHARES.values()) < 1
    assert {row.stage for row in ROWS} <= SHARES.keys()
    for text in ("", "60", "m", "-5m", "0m", "30s", "1e3m"):
        with pytest.raises(UsageError, match="budget:"):
            parse_budget(text)
