"""The program that trains the bundled model names commands, options and recipes that exist."""

import itertools
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from arctone.cli import data, export, train
from arctone.training.recipes import RECIPES
from tools import spark

APPS: dict[str, typer.Typer] = {"train": train.app, "data": data.app, "export": export.app}


def _plan(tmp_path: Path, autoencoder: Path | None = None, *, is_trial: bool = False) -> spark.Plan:
    return spark.Plan(tmp_path / "run", "corpus:version=2", autoencoder, 1, 1, is_trial)


@pytest.mark.parametrize("is_trial", [False, True])
def test_every_stage_is_a_command_with_options_that_it_has(tmp_path: Path, is_trial: bool) -> None:
    commands = _plan(tmp_path, is_trial=is_trial).commands()
    assert tuple(commands) == spark.STAGES
    for group, name, *words in commands.values():
        known = CliRunner().invoke(APPS[group], [name, "--help"], env={"COLUMNS": "200"}).output
        assert all(word in known for word in words if word.startswith("--"))
        if "--recipe" in words:
            assert words[words.index("--recipe") + 1] in RECIPES


def test_each_stage_reads_what_an_earlier_one_writes(tmp_path: Path) -> None:
    written: set[str] = {str(spark.KEPT)}
    for words in _plan(tmp_path).commands().values():
        given = dict(itertools.pairwise(words))
        read = [given[name] for name in ("--init", "--student", "--latents", "--model") if name in given]
        assert set(read) <= written
        written.add(given.get("--out", ""))
    assert words[2] in written


def test_a_trained_autoencoder_is_copied_without_its_training(tmp_path: Path) -> None:
    given = tmp_path / "given"
    (given / "training-autoencoder").mkdir(parents=True)
    for name in ("config.json", "autoencoder.safetensors", "hashes.json"):
        (given / name).write_text(name)
    plan = _plan(tmp_path, given)
    assert "autoencoder" not in plan.commands()
    plan.copy_autoencoder()
    assert {path.name for path in plan.model.iterdir()} == {"config.json", "autoencoder.safetensors"}
    (plan.model / "dit.safetensors").write_text("later")
    plan.copy_autoencoder()
    assert (plan.model / "dit.safetensors").exists()


def test_show_prints_the_commands_and_runs_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert spark.main(["--out", str(tmp_path / "run"), "--pack", "pack", "--show", "--from", "arc"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("arctone ") == 2
    assert "--recipe spark-arc" in shown
    assert not (tmp_path / "run").exists()
