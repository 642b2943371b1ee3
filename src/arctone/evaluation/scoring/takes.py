"""Takes of an evaluation: generate them, keep them, read them again."""

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
from arctone.data.file_source import SoundEntry
from arctone.data.folder import MANIFEST_SUFFIXES, list_folder, manifest_entries
from arctone.data.sound import ClipSource
from arctone.errors import InputFileError, UsageError
from arctone.files.atomic import write_atomically
from arctone.inference.engine import Model

Progress = Callable[[int, int, str], None]


class _Result(Protocol):
    @property
    def waveforms(self) -> tuple[Waveform, ...]: ...


@dataclass(frozen=True)
class EvaluatedModel:
    """A model under evaluation.

    Args:
        model_hash: Names its weights.
        generate: Prompt and request fields to a result.
    """

    name: str
    model_hash: str
    generate: Callable[..., _Result]


def wrap_model(model: Model) -> EvaluatedModel:
    """Return a loaded model as one to evaluate."""
    return EvaluatedModel(model.name, model.engine.model_hash, model.generate)


@dataclass(frozen=True)
class Wanted:
    """A sound to be made.

    Args:
        name: Unique among all that are wanted; a real sound of the same name is its partner.
    """

    name: str
    prompt: str
    duration_seconds: float
    seed: int


def make_takes(
    model: EvaluatedModel,
    wanted: Sequence[Wanted],
    root: Path,
    settings: Mapping[str, Any],
    progress: Progress | None = None,
) -> list[Take]:
    """Generate the wanted sounds of a model that are missing.

    Raises what generating raises.

    Args:
        model: Model that generates.
        wanted: Sounds to make.
        root: Folder that holds a folder for each model and settings.
        settings: Fields of GenerationRequest that hold for all, such as steps and cfg_scale; fields that are None are
            left to the model.
        progress: Called with (done, total, stage).

    Returns:
        All wanted sounds, in order.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    folder = root / f"{slug(model.name)}-{digest(model.model_hash, given)}"
    folder.mkdir(parents=True, exist_ok=True)
    about = {"model": model.name, "model_hash": model.model_hash, "settings": given}
    write_atomically(folder / "settings.json", json.dumps(about, indent=2).encode(), force=True)
    report, takes = progress or (lambda done, total, stage: None), []
    for number, one in enumerate(wanted):
        report(number, len(wanted), f"generating, {model.name}")
        path = folder / f"{slug(one.prompt)}-{digest(one.prompt, one.duration_seconds, one.seed)}.wav"
        takes.append(Take(f"{one.name}.wav", path, (one.prompt,)))
        keep(takes[-1], lambda one=one: _made(model, one, given))  # type: ignore[misc]
    report(len(wanted), len(wanted), f"generating, {model.name}")
    return takes


def real_takes(source: ClipSource, chosen: Sequence[int], folder: Path, progress: Progress | None = None) -> list[Take]:
    """The real sounds of some clips of a source, those that are missing rendered into the folder.

    Raises what the source raises for a bad clip.
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


def _made(model: EvaluatedModel, wanted: Wanted, settings: Mapping[str, Any]) -> Waveform:
    fields = {**settings, "duration_seconds": wanted.duration_seconds, "seed": wanted.seed}
    return model.generate(wanted.prompt, **fields).waveforms[0]


@dataclass(frozen=True)
class Take:
    """One sound.

    Args:
        name: From its folder on.
        path: Of the file.
        captions: The first is the prompt; may be empty.
    """

    name: str
    path: Path
    captions: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        """The first caption, "" if there is none."""
        return self.captions[0] if self.captions else ""

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return Path(self.name).with_suffix("").as_posix()


def read_takes(place: Path, captions: Path | None = None) -> tuple[list[Take], list[str]]:
    """List the sounds of a folder or manifest.

    Args:
        place: A folder, with captions in .txt or .json files next to the sounds, or a .csv, .tsv or .jsonl manifest.
        captions: A manifest whose paths are those of the sounds inside the folder, with or without their endings; it
            takes the place of the files next to them.

    Returns:
        The sounds, and a sentence for each file that is left out.

    Raises:
        InputFileError: if nothing can be read.
        UsageError: for another kind.
    """
    if place.is_dir():
        found = list_folder(place)
        entries, problems = found.entries, [*found.problems, *(f"{name} is no sound." for name in found.passed_over)]
    elif place.suffix.lower() in MANIFEST_SUFFIXES:
        entries, problems = manifest_entries(place)
    elif not place.exists():
        raise InputFileError(f"{place} does not exist; name a folder of sounds or a manifest.")
    else:
        kinds = ", ".join(sorted(MANIFEST_SUFFIXES))
        raise UsageError(f"{place} is neither a folder of sounds nor a manifest ({kinds}).")
    takes = [Take(entry.name, entry.place.path, entry.facts.wordings()) for entry in entries]
    return (takes if captions is None else _captioned(takes, captions)), problems


def pair(generated: Sequence[Take], reference: Sequence[Take]) -> list[tuple[int, int]]:
    """(generated, reference) indices that belong together: files of the same name, else of the same caption.

    A generated sound without either is left out; a real one may serve several.
    """
    by_stem = {take.stem: number for number, take in enumerate(reference)}
    by_caption: dict[str, int] = {}
    for number, take in enumerate(reference):
        for caption in take.captions:
            by_caption.setdefault(caption, number)
    found = ((number, by_stem.get(take.stem, by_caption.get(take.prompt))) for number, take in enumerate(generated))
    return [(number, other) for number, other in found if other is not None]


def _captioned(takes: Sequence[Take], captions: Path) -> list[Take]:
    entries, problems = manifest_entries(captions)
    if problems:
        raise InputFileError(f"{captions} has {len(problems)} unusable rows, the first: {problems[0]}")
    wordings: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        _add(wordings, entry)
    found = [Take(take.name, take.path, wordings.get(take.name, wordings.get(take.stem, ()))) for take in takes]
    if not any(take.captions for take in found):
        raise InputFileError(f"{captions} names none of the sounds; the first of them is {takes[0].name}.")
    return found


def _add(wordings: dict[str, tuple[str, ...]], entry: SoundEntry) -> None:
    name = Path(entry.name).as_posix()
    wordings[name] = (*wordings.get(name, ()), *entry.facts.wordings())
