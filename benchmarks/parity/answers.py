"""What both sides of a comparison are asked, and where their answers are kept.

The two programs never need to be in memory together: each writes its answers, and is not asked again for those that
are there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from arctone.flow.noise import item_noise

PROMPT, SECONDS, SEED = "rain on a tin roof", 8.0, 7
LEVELS = (1.0, 0.6, 0.05)
CONDITIONING, DECODED = "conditioning", "decoded"


class Side(Protocol):
    """One of the programs, with the weights of a comparison."""

    def context(self) -> np.ndarray:
        """Text and duration as the transformer is given them, [L, D]."""

    def output(self, x: np.ndarray, t: float) -> np.ndarray:
        """One call of the network for latents of any length, [C, T]."""

    def sampled(self, steps: int, shape: tuple[int, int]) -> np.ndarray:
        """Latents of that shape by the published sampler, with the noise of SEED."""

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Samples [2, N]; the last question, so what else is in memory may go."""


@dataclass(frozen=True)
class Questions:
    """How much is asked.

    window: (C, T) of the first call, as a rule the published window. frames: of the other calls and of sampling.
    decode_frames: how many of the sampled frames become sound.
    """

    window: tuple[int, int]
    frames: int
    steps: int
    decode_frames: int

    def __post_init__(self) -> None:
        if not 1 <= self.decode_frames <= self.frames <= self.window[1]:
            raise ValueError("1 <= decode_frames <= frames <= the window's frames must hold.")

    def asked(self, side: Side, folder: Path) -> dict[str, Callable[[], np.ndarray]]:
        """Names and questions, in their order. folder: where the sampled latents are found again for the decoder."""
        channels, window = self.window
        found: dict[str, Callable[[], np.ndarray]] = {CONDITIONING: side.context}
        for number, level in enumerate(LEVELS):
            x = item_noise(SEED, 0, (channels, self.frames if number else window))
            found[f"transformer at {level:g}, {x.shape[1]} frames"] = lambda x=x, level=level: side.output(x, level)  # type: ignore[misc]
        sampling = f"{self.steps} steps, {self.frames} frames"
        found[sampling] = lambda: side.sampled(self.steps, (channels, self.frames))
        found[f"{DECODED}, {self.decode_frames} frames"] = lambda: side.decode(
            _kept(folder, sampling)[:, : self.decode_frames]
        )
        return found


def answer(side: Side, questions: Questions, folder: Path) -> None:
    """Ask a side what it was not yet asked. folder: one file an answer, and one with the seconds each took."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, ask in questions.asked(side, folder).items():
        if _file(folder, name).exists():
            continue
        started = time.perf_counter()
        value = ask()
        seconds = {**seconds_of(folder), name: round(time.perf_counter() - started, 2)}
        (folder / "seconds.json").write_text(json.dumps(seconds, indent=2) + "\n")
        partial = folder / "partial.npy"
        np.save(partial, value)
        partial.rename(_file(folder, name))
        print(f"{folder.name}: {name}, {seconds[name]:.1f} s", flush=True)


def compared(names: list[str], ours: Path, theirs: Path) -> dict[str, dict[str, float]]:
    """Relative error and seconds of each answer."""
    times = seconds_of(ours), seconds_of(theirs)
    return {
        name: {
            "relative_error": relative_error(_kept(ours, name), _kept(theirs, name)),
            "ours_s": times[0][name],
            "theirs_s": times[1][name],
        }
        for name in names
    }


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Greatest difference, relative to the greatest value."""
    return float(np.abs(ours - theirs).max() / max(float(np.abs(theirs).max()), float(np.finfo(np.float32).tiny)))


def seconds_of(folder: Path) -> dict[str, Any]:
    """What each answer took, as far as they are given."""
    path = folder / "seconds.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _kept(folder: Path, name: str) -> np.ndarray:
    found: np.ndarray = np.load(_file(folder, name))
    return found


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(', ', '-').replace(' ', '-')}.npy"
