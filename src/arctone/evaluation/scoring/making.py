"""Sounds for an evaluation, made once: of a model, and the real ones of a source.

Every file has a name that follows from all it depends on, and its captions in a .txt file beside it: work that was
stopped goes on where it was, and each folder can be judged on its own with `arctone eval folder`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from arctone.audio.files import write_audio
from arctone.audio.waveform import Waveform
from arctone.data.clip import ClipSource
from arctone.evaluation.scoring.takes import Take
from arctone.files.atomic import write_atomically
from arctone.inference.engine import Model

Progress = Callable[[int, int, str], None]


class _Result(Protocol):
    @property
    def waveforms(self) -> tuple[Waveform, ...]: ...


@dataclass(frozen=True)
class Maker:
    """A model as a maker of sounds. model_hash: names its weights. generate: prompt and request fields to a result."""

    name: str
    model_hash: str
    generate: Callable[..., _Result]


def maker_of(model: Model) -> Maker:
    """A loaded model as a maker."""
    return Maker(model.name, model.engine.model_hash, model.generate)


@dataclass(frozen=True)
class Wanted:
    """A sound to be made. name: unique among all that are wanted; a real sound of the same name is its partner."""

    name: str
    prompt: str
    duration_seconds: float
    seed: int


def make_takes(
    maker: Maker, wanted: Sequence[Wanted], root: Path, settings: Mapping[str, Any], progress: Progress | None = None
) -> list[Take]:
    """The wanted sounds of a model, those that are missing generated.

    Args: root: folder that holds a folder for each model and settings. settings: fields of GenerationRequest that hold
    for all, such as steps and cfg_scale; fields that are None are left to the model. Raises: what generating raises.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    folder = root / f"{slug(maker.name)}-{digest(maker.model_hash, given)}"
    folder.mkdir(parents=True, exist_ok=True)
    about = {"model": maker.name, "model_hash": maker.model_hash, "settings": given}
    write_atomically(folder / "settings.json", json.dumps(about, indent=2).encode(), force=True)
    report, takes = progress or (lambda done, total, stage: None), []
    for number, one in enumerate(wanted):
        report(number, len(wanted), f"generating, {maker.name}")
        path = folder / f"{slug(one.prompt)}-{digest(one.prompt, one.duration_seconds, one.seed)}.wav"
        takes.append(Take(f"{one.name}.wav", path, (one.prompt,)))
        keep(takes[-1], lambda one=one: _made(maker, one, given))  # type: ignore[misc]
    report(len(wanted), len(wanted), f"generating, {maker.name}")
    return takes


def real_takes(source: ClipSource, chosen: Sequence[int], folder: Path, progress: Progress | None = None) -> list[Take]:
    """The real sounds of some clips of a source, those that are missing rendered into the folder.

    Raises: what the source raises for a bad clip.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report, takes = progress or (lambda done, total, stage: None), []
    for done, number in enumerate(chosen):
        report(done, len(chosen), "rendering real sounds")
        info = source.info(number)
        path = folder / f"{slug(info.id)}-{digest(info.id)}.flac"
        takes.append(Take(f"{info.id}.flac", path, info.captions or (info.caption,)))
        keep(takes[-1], lambda number=number: source.waveform(number))  # type: ignore[misc]
    report(len(chosen), len(chosen), "rendering real sounds")
    return takes


def keep(take: Take, make: Callable[[], Waveform]) -> None:
    """Write a take's sound and captions unless they are there; the sound comes last, so that it stands for both."""
    if not take.path.exists():
        write_atomically(take.path.with_suffix(".txt"), "\n".join(take.captions).encode(), force=True)
        write_audio(take.path, make())


def slug(text: str) -> str:
    """A few words of a text as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-") or "sound"


def digest(*parts: object) -> str:
    """One short name for values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _made(maker: Maker, wanted: Wanted, settings: Mapping[str, Any]) -> Waveform:
    fields = {**settings, "duration_seconds": wanted.duration_seconds, "seed": wanted.seed}
    return maker.generate(wanted.prompt, **fields).waveforms[0]
