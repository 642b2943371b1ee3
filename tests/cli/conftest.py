"""The program as the tests call it."""

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from arctone.cli.main import run


@dataclass(frozen=True)
class Done:
    """How a command line ended."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def out(self) -> str:
        """Standard output as text."""
        return self.stdout.decode()


Program = Callable[..., Done]


@pytest.fixture
def arctone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Program:
    """Run a command line in an empty folder: arctone("info", "x.wav", stdin=b"...")."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfdbinary.readouterr()
        code = run([str(word) for word in words])
        sys.stdout.flush()
        captured = capfdbinary.readouterr()
        return Done(code, captured.out, captured.err.decode())

    return call


@pytest.fixture
def generate(arctone: Program, tiny_model_folder: Path) -> Program:
    """`arctone generate` on the tiny model, 0.5 seconds unless the words say otherwise."""

    def call(*words: object, stdin: bytes = b"") -> Done:
        return arctone("generate", "-d", "0.5", "-m", tiny_model_folder, *words, stdin=stdin)

    return call


@pytest.fixture
def bad_sounds(tmp_path: Path) -> dict[str, Path]:
    """Files that are no usable sound, by what is wrong with them."""
    folder = tmp_path / "bad"
    folder.mkdir()
    files = {name: folder / f"{name}.wav" for name in ("missing", "empty", "truncated", "text", "constant", "nan")}
    files["empty"].touch()
    files["text"].write_text("this is no sound " * 100)
    soundfile.write(files["constant"], np.full((4410, 2), 0.25, np.float32), 44100)
    soundfile.write(files["nan"], np.full((4410, 2), np.nan, np.float32), 44100, subtype="FLOAT")
    soundfile.write(files["truncated"], np.random.default_rng(0).uniform(-0.5, 0.5, (44100, 2)), 44100)
    whole = files["truncated"].read_bytes()
    files["truncated"].write_bytes(whole[: len(whole) // 2])
    return files
