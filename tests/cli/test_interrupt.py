"""Ctrl-C at any stage: exit code 130, one line, no file. And a reader that goes away."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# A real signal to a real process, sent by itself when the given stage reports its first progress.
INTERRUPT_AT = """
import os, signal, sys
from arctone.cli import output
from arctone.cli.main import run
from arctone.inference.request import Progress

def interrupted(events, stage=sys.argv.pop(1)):
    for event in events:
        if isinstance(event, Progress) and event.stage == stage and event.item == 1 - (stage == "text"):
            os.kill(os.getpid(), signal.SIGINT)
        yield event

original = output._last
output._last = lambda events, bar=None: original(interrupted(events), bar)
sys.exit(run(sys.argv[1:]))
"""
INTERRUPT_WRITING = """
import os, signal, sys
from arctone.files import atomic
from arctone.cli.main import run

class Writing:
    def __getattr__(self, name):
        if name == "fsync":
            os.kill(os.getpid(), signal.SIGINT)
        return getattr(os, name)

atomic.os = Writing()
sys.exit(run(sys.argv[1:]))
"""


def start(code: str, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("stage", ["text", "sampling", "decoding"])
def test_interrupted_generation_leaves_nothing(tmp_path, tiny_model_folder, stage):
    words = ["generate", "rain", "-n", "2", "-d", "1", "-o", "x-{n}.wav", "-m", str(tiny_model_folder)]
    done = start(INTERRUPT_AT, stage, *words, folder=tmp_path)
    assert done.returncode == 130, done.stderr
    assert "interrupted: nothing half-written is left behind." in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_interrupted_writing_leaves_nothing(tmp_path, tiny_model_folder):
    done = start(
        INTERRUPT_WRITING, "generate", "rain", "-d", "1", "-o", "x.wav", "-m", str(tiny_model_folder), folder=tmp_path
    )
    assert done.returncode == 130, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--help"], ["models"], ["generate", "rain", "-d", "2", "-o", "-", "-m"]])
def test_a_reader_that_goes_away_is_met_with_silence(tmp_path, tiny_model_folder, words):
    words = [*words, str(tiny_model_folder)] if words[-1] == "-m" else words
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "arctone", *words], cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode in (0, 1)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_letters_the_terminal_does_not_know(tmp_path, tiny_model_folder, encoding):
    done = subprocess.run(
        [sys.executable, "-m", "arctone", "generate", "雨 🌧", "-d", "1", "-s", "7", "-m", str(tiny_model_folder)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["雨-7.wav"]
