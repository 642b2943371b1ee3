"""`arctone listen` from the command line: what is written, what is said, and the exit codes."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from arctone.cli.main import run
from arctone.evaluation.listening.design import read_key
from tests.evaluation.listening.made_systems import SYSTEMS, page_csv, simulated, straight_liner


def words(sounds: Path, out: Path, *more: object) -> list[str]:
    systems = [word for name in SYSTEMS for word in ("--system", f"{name}={sounds / name}")]
    return ["listen", "build", *systems, "--reference", str(sounds / "real"), "-o", str(out), *map(str, more)]


def test_build_answer_analyse(sounds, tmp_path, capsys):
    assert run(words(sounds, tmp_path / "test", "-s", 9, "--prompts", 6, "--title", "Rain")) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'test'}\n"
    key = read_key(tmp_path / "test")
    assert (key.seed, len(key.prompts), key.title) == (9, 6, "Rain")
    for seed in range(9):
        (tmp_path / f"{seed}.csv").write_text(page_csv(key, f"l{seed}", simulated(key, seed)))
    (tmp_path / "same.csv").write_text(page_csv(key, "same", straight_liner(key)))
    analyse = ["listen", "analyse", str(tmp_path / "test"), "--key", str(tmp_path / "test"), "-o", str(tmp_path / "r")]
    analyse[2:3] = [str(path) for path in sorted(tmp_path.glob("*.csv"))]
    assert run(analyse) == 0
    printed = capsys.readouterr()
    assert "quality    reference" in printed.out
    assert printed.out.endswith(f"{tmp_path / 'r' / 'report.md'}\n")
    assert "same left out: 100% of the answers are the same." in printed.err
    assert "note: A small group:" in printed.err
    before = json.loads((tmp_path / "r/report.json").read_text())
    assert run(analyse) == 2
    assert "already exists; it is replaced only with force" in capsys.readouterr().err
    assert run([*analyse, "--force", "--keep-all"]) == 0
    after = json.loads((tmp_path / "r/report.json").read_text())
    assert (before["is_screened"], after["is_screened"]) == (True, False)
    assert "same counted although" in capsys.readouterr().err


def test_a_seed_that_is_not_given_is_drawn_and_noted(sounds, tmp_path):
    for name in "ab":
        assert run(words(sounds, tmp_path / name, "--dimension", "quality", "--prompts", 1)) == 0
    seeds = {read_key(tmp_path / name).seed for name in "ab"}
    assert len(seeds) == 2
    assert f"with seed {min(seeds)}" in "".join((tmp_path / n / "key/protocol.md").read_text() for n in "ab")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["build", "--system", "a", "-o", "t"], 2, "system must be NAME=FOLDER, got 'a'"),
        (["build", "--system", "a=x", "--system", "a=y", "-o", "t"], 2, "system has the name 'a' twice"),
        (["build", "--system", "a=x", "-o", "t"], 2, "got 1"),
        (["build", "--system", "a=x", "--system", "b=y", "-o", "t"], 3, "x does not exist"),
        (["build", "--system", "a=x", "--system", "b=y", "-o", "no/t"], 3, "x does not exist"),
        (["build", "--system", "a=x", "--system", "b=y", "-o", "/dev/null/t"], 2, "/dev/null is no folder"),
        (
            ["build", "--system", "a=x", "--system", "b=y", "-o", "t", "--kind", "paper"],
            2,
            "kind must be page or webmushra",
        ),
        (["build", "--system", "a=x", "--system", "b=y", "-o", "t", "--dimension", "fun"], 2, "adherence, got 'fun'"),
        (["analyse", "x.csv", "--key", "k", "-o", "r"], 3, "k does not exist"),
        (["serve", "t", "--results", "r"], 3, "t does not exist"),
    ],
)
def test_mistakes_end_in_one_sentence(tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    assert run(["listen", *arguments]) == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_serve_runs_until_it_is_interrupted(page_test, tmp_path):
    command = [
        sys.executable,
        "-m",
        "arctone",
        "listen",
        "serve",
        str(page_test.folder),
        "-r",
        "answers",
        "--port",
        "0",
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as program:
        assert program.stdout is not None
        address = program.stdout.readline().decode().strip()
        with urllib.request.urlopen(address, timeout=10) as reply:
            assert b"Listening test" in reply.read()
        time.sleep(0.1)
        program.send_signal(2)
        _, stderr = program.communicate(timeout=10)
    assert address.startswith("http://127.0.0.1:")
    assert program.returncode == 130
    assert b"Traceback" not in stderr
