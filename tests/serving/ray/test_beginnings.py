"""What cannot begin on a cluster is refused in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from arctone.cli.main import run
from arctone.errors import ModelError, install_hint
from arctone.serving.ray.batches import name_everywhere


def test_without_ray_the_program_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_model_folder: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.chdir(tmp_path)
    Path("prompts.jsonl").write_text('{"prompt": "rain"}')
    model = ["-m", str(tiny_model_folder)]
    for words in (["serve", "--ray", "auto"], ["generate", "--batch", "prompts.jsonl", "-o", "out", "--ray", "auto"]):
        assert run([*words, *model]) == 2
        sentence = f"error: ray is not installed: {install_hint('scale')}.\n"
        assert capsys.readouterr().err == sentence


def test_ray_needs_a_batch(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "rain", "--ray", "auto"]) == 2
    assert capsys.readouterr().err == "error: --ray makes the lines of a batch, so it needs --batch FILE.\n"


def test_workers_and_any_port_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--concurrency", "2"], ["--port", "0"]):
        assert run(["serve", "--ray", "auto", *words]) == 2
        assert "give --replicas instead of --concurrency, and a port that is not 0" in capsys.readouterr().err


def test_a_model_is_known_by_its_name_or_by_its_whole_path(tiny_model_folder: Path, monkeypatch: Any) -> None:
    assert name_everywhere("spark") == "spark"
    monkeypatch.chdir(tiny_model_folder.parent)
    assert name_everywhere(tiny_model_folder.name) == str(tiny_model_folder)
    with pytest.raises(ModelError, match="nonsense"):
        name_everywhere("nonsense")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--ray", "127.0.0.1:1"], 2, "ray 127.0.0.1:1 is no cluster that answers: connection refused."),
        (["--ray", "auto", "-m", "nonsense"], 4, "neither a folder nor a known name"),
    ],
)
def test_a_server_that_cannot_begin(words: list[str], code: int, sentence: str) -> None:
    pytest.importorskip("ray", reason="needs Ray: make scale")
    done = subprocess.run(
        [sys.executable, "-m", "arctone", "serve", *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_more_workers_than_processors_are_refused(ray: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--ray", "auto", "--replicas", "3"]) == 2
    sentence = "replicas must be at most 2, because a worker holds 1 of the cluster's processors, got 3."
    assert capsys.readouterr().err == f"error: {sentence}\n"
