"""docs/architecture.md is true: its paths exist, and a prompt takes the way that the page describes."""

from __future__ import annotations

import os
import re
import sys
import threading
import tomllib
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import arctone
from arctone.cli.main import main

ROOT = Path(__file__).parents[2]
PREFIX = str(Path(arctone.__file__).parent) + os.sep
PAGE = (ROOT / "docs" / "architecture.md").read_text()
MOST_FILES = 12
LAYERS: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0][
    "layers"
]
# A sampler calls the velocity function that it receives; reading a config calls the checks of its type.
CALLBACKS = {("flow/samplers.py", "inference/pipeline.py"), ("files/strict_json.py", "model_folder/config.py")}


def test_every_path_of_the_page_exists() -> None:
    known = [
        f"/{path.relative_to(ROOT).as_posix()}" for top in ("src", "tests", "tools") for path in (ROOT / top).rglob("*")
    ]
    named = re.findall(r"`([\w/]+(?:\.py|/))`", PAGE)
    assert len(named) > 50
    assert [name for name in named if not any(path.endswith(f"/{name.rstrip('/')}") for path in known)] == []


def test_a_prompt_takes_the_way_that_the_page_describes(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls()
    target = str(tmp_path / "a.wav")
    words = ["arctone", "generate", "a drum loop", "--model", str(tiny_model_folder), "-d", "0.5", "-o", target]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        calls.record(main)
    assert ended.value.code in {None, 0}

    section = PAGE.partition("## The way of a prompt")[2].partition("\n## ")[0]
    described = re.findall(r"^\d+\. `([\w/]+\.py)`", section, re.MULTILINE)
    assert len(described) <= MOST_FILES
    assert set(described) <= set(calls.files)
    # The engine asks the backend what it can do, before the backend's turn comes.
    in_order = [path for path in described if "backends" not in path]
    assert [path for path in calls.files if path in in_order] == in_order
    assert {(caller, called) for caller, called in calls.pairs if layer(called) < layer(caller)} <= CALLBACKS


class Calls:
    """The calls between files of the package, those of imports left out."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.pairs: set[tuple[str, str]] = set()

    def record(self, function: Any) -> None:
        """Call a function, and note who calls whom."""
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        try:
            function()
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, _argument: object) -> None:
        called = _file(frame)
        if event != "call" or called is None or frame.f_code.co_name.startswith(("__", "<")):
            return
        callers = []
        above = frame.f_back
        while above is not None:
            callers.append(above)
            above = above.f_back
        if any(caller.f_code.co_name == "<module>" and _file(caller) for caller in callers):
            return
        # The prompt is not there yet when the model is opened.
        if called not in self.files and not any(_file(caller) == "inference/loading.py" for caller in callers):
            self.files.append(called)
        caller = next((path for path in map(_file, callers) if path is not None), called)
        self.pairs.add((caller, called))


def _file(frame: FrameType) -> str | None:
    path = frame.f_code.co_filename
    return path.removeprefix(PREFIX).replace(os.sep, "/") if path.startswith(PREFIX) else None


def layer(path: str) -> int:
    """Return the number of a file's layer, 0 for the highest."""
    package = path.partition("/")[0].removesuffix(".py")
    return next(number for number, packages in enumerate(LAYERS) if package in packages.split(" : "))
