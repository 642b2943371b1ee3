"""The examples of docs/how-to/serve.md, run against a server: curl, Python and JavaScript."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from tests.serving.http.conftest import Process

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "serve.md"
MARK = "<!-- not run: needs a server, and tests/serving/http/test_examples.py runs it against one -->"
BLOCKS = re.findall(rf"^{re.escape(MARK)}\n```(\w+)\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
BASE = "http://127.0.0.1:8000"


def run(language: str, code: str, folder: Path) -> str:
    """Run an example in a folder; gives what it prints."""
    commands = {
        "sh": ["sh", "-eu", "-c", code],
        "python": [sys.executable, "-c", code],
        "js": ["node", "--input-type=module"],
    }
    command = commands[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        command, input=code if language == "js" else None, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_examples_do_what_they_say(start: Callable[..., Process], tmp_path: Path) -> None:
    server = start()
    here = server.url.rstrip("/")
    work = tmp_path / "work"
    work.mkdir()
    assert [language for language, _ in BLOCKS] == ["sh", "sh", "sh", "sh", "python", "js"]
    printed = [run(language, code.replace(BASE, here).replace('"spark"', '"tiny"'), work) for language, code in BLOCKS]
    info = {path.name: soundfile.info(path) for path in work.iterdir() if path.suffix in (".mp3", ".wav", ".flac")}
    assert set(info) == {"rain.mp3", "dog.wav", "second.flac", "rain-7.wav"}
    assert all(abs(one.duration - 2.0) < 0.1 for one in info.values())
    assert "event: done" in (work / "events.txt").read_text()
    assert '"prompt":"a dog barking"' in printed[3]
    assert "sampling 1 of 4" in printed[5] or "decoding" in printed[5]
    num_bytes = re.search(r"done (\d+) bytes", printed[5])
    assert num_bytes is not None
    assert int(num_bytes[1]) > 2 * 44_100 * 4
