"""A source of clips as FLAC files with a manifest, to listen to or to take elsewhere."""

import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from arctone.audio.files import write_audio
from arctone.data.encode import hash_of, map_in_order
from arctone.data.folder import RENDER_HEADER, ManifestRow
from arctone.data.sound import ClipInfo, ClipSource
from arctone.errors import ArctoneError, InputFileError, UsageError
from arctone.files.atomic import clear_leftovers
from arctone.files.strict_json import read_config, write_config, write_records

MANIFEST = "manifest.jsonl"
CLIPS = "clips"


class RenderHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Says which clips a folder is for.

    Args:
        source_hash: SHA-256 in hex over the facts of all clips.
    """

    source_hash: str
    num_clips: int
    format_version: int = 1


@dataclass(frozen=True)
class RenderReport:
    """What was written.

    Args:
        skipped: (clip id, problem).
        over_full_scale: Clips that this run cut off at full scale.
    """

    manifest: Path
    num_clips: int
    skipped: tuple[tuple[str, str], ...]
    over_full_scale: tuple[str, ...]


def render(
    source: ClipSource,
    folder: str | Path,
    *,
    num_workers: int = 2,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> RenderReport:
    """Write every clip as 16-bit FLAC and a manifest.jsonl with caption, licence and source of each.

    Files are written whole, the manifest last, so a run that was killed is continued by calling again; what is there is
    kept.

    Args:
        source: Source of clips.
        folder: New folder.
        num_workers: Processes that render.
        skip_bad: Leave out clips that cannot be made instead of stopping.
        progress: Called with (done, total).

    Returns:
        Clips written, skipped and cut at full scale.

    Raises:
        UsageError: if the folder is for other clips or cannot be written.
        InputFileError: for a bad clip.
    """
    folder, report = Path(folder), progress or (lambda done, total: None)
    infos = [source.info(index) for index in range(len(source))]
    if not infos:
        raise InputFileError("the source holds no clips, so there is nothing to render.")
    _start_folder(folder, RenderHeader(source_hash=hash_of(infos), num_clips=len(infos)))
    skipped: dict[int, str] = {}
    over: list[str] = []
    work = partial(_write_clip, folder)
    with closing(map_in_order(source, work, range(len(infos)), num_workers)) as results:
        for index, result in enumerate(results):
            if isinstance(result, ArctoneError):
                if not skip_bad:
                    raise result
                skipped[index] = str(result)
            elif result:
                over.append(infos[index].id)
            report(index + 1, len(infos))
    write_records(folder / MANIFEST, _rows(infos, skipped))
    return RenderReport(
        folder / MANIFEST,
        len(infos) - len(skipped),
        tuple((infos[index].id, problem) for index, problem in skipped.items()),
        tuple(over),
    )


def clip_path(info: ClipInfo, index: int) -> str:
    """Where a clip is written, from the folder on: numbered, so that ids differing in odd characters do not collide."""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", info.id).strip("-")[-60:]
    return f"{CLIPS}/{index:06d}-{slug}.flac"


def _write_clip(folder: Path, source: ClipSource, index: int) -> bool:
    """Whether the clip was over full scale. One that is there already is kept, and its level is not looked at again."""
    path = folder / clip_path(source.info(index), index)
    if path.exists():
        return False
    waveform = source.waveform(index)
    write_audio(path, waveform, "flac")
    return bool(np.abs(waveform.samples).max(initial=0.0) > 1.0)


def _start_folder(folder: Path, header: RenderHeader) -> None:
    path = folder / RENDER_HEADER
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty and holds no earlier rendering: choose another folder.")
        _make(folder / CLIPS)
        write_config(path, header)
    elif read_config(path, RenderHeader, error=InputFileError) != header:
        raise UsageError(f"{folder} holds the rendering of other clips: choose another folder.")
    _make(folder / CLIPS)
    clear_leftovers(folder)
    clear_leftovers(folder / CLIPS)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UsageError(f"{folder} cannot be made: {(problem.strerror or str(problem)).lower()}.") from None


def _rows(infos: Sequence[ClipInfo], skipped: dict[int, str]) -> list[ManifestRow]:
    return [
        ManifestRow(path=clip_path(info, index), **{name: getattr(info, name) for name in ClipInfo.__struct_fields__})
        for index, info in enumerate(infos)
        if index not in skipped
    ]
