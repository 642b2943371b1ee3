"""What is in a source of clips, and what is wrong with it, before hours are spent on training."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import msgspec
import numpy as np

from arctone.data.batches import LengthBucketSampler
from arctone.data.encode import map_in_order
from arctone.data.sound import ClipInfo, ClipSource
from arctone.data.sources import files_of, format_of, problems_of
from arctone.errors import ArctoneError

SILENCE_DB = -60.0
TOO_SHORT_SECONDS = 0.25
NUM_EXAMPLES = 3
# A clipped sound stays at full scale for several samples running.
_FULL_SCALE, _CLIPPED_RUN = 0.999, 3
_HOP_LENGTH = 2048
_NO_NAME = "(none)"


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the clips: how many, and how long together."""

    clips: int
    hours: float


class Unusable(msgspec.Struct, frozen=True, kw_only=True):
    """A clip or a file that cannot be trained on.

    Args:
        clip: Its id, empty if it did not even become a clip.
    """

    clip: str
    problem: str


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """What check found.

    Args:
        sample_rates: Of the files.
        channels: Of the files.
        unusable: Must be repaired or left out. The other lists hold ids and are worth a look: silent (peak below -60
            dBFS or a constant), clipped, too_short (below 0.25 s), without_caption, without_licence.
        duplicate_captions: Captions that stand first in more than one clip, and how often.
        batches_per_epoch: Of the train split.
        listened: Whether the sound itself was looked at.
        layout: Of the collection, as it was recognised.
        examples: The first clips with their captions.
        passed_over: Files that are neither sounds nor about one.
        notes: Remarks on how files were read.
    """

    total: Group
    splits: dict[str, Group]
    categories: dict[str, Group]
    licences: dict[str, Group]
    sample_rates: dict[str, int]
    channels: dict[str, int]
    seconds_range: tuple[float, float]
    unusable: tuple[Unusable, ...]
    silent: tuple[str, ...]
    clipped: tuple[str, ...]
    too_short: tuple[str, ...]
    without_caption: tuple[str, ...]
    without_licence: tuple[str, ...]
    duplicate_captions: dict[str, int]
    batch: str
    batches_per_epoch: int
    listened: bool
    layout: str = ""
    examples: tuple[tuple[str, str], ...] = ()
    passed_over: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_usable(self) -> bool:
        """There are clips, and none of them is unusable."""
        return not self.unusable and self.total.clips > 0


@dataclass(frozen=True)
class SoundLevels:
    """Whether the sound of one clip is silent or clipped."""

    is_silent: bool
    is_clipped: bool


def check(
    source: ClipSource,
    *,
    batch_size: int = 16,
    max_frames: int | None = None,
    listen: bool = True,
    num_workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Check every clip of a source.

    Args:
        source: Source of clips.
        batch_size: Clips of a training batch, for batches_per_epoch.
        max_frames: If given, the batch is a budget of latent frames instead.
        listen: Decode or render every clip; without it only facts and file headers are looked at.
        num_workers: Processes that read the sounds.
        progress: Called with (done, total).

    Returns:
        Counts, lists of clips to look at, and facts of the whole source.
    """
    files = files_of(source)
    infos = [source.info(index) for index in range(len(source))]
    checked = _check_sounds(source, num_workers, progress or (lambda done, total: None)) if listen else {}
    broken = [Unusable(clip="", problem=problem) for problem in problems_of(source)]
    broken += [Unusable(clip=infos[i].id, problem=str(e)) for i, e in checked.items() if isinstance(e, ArctoneError)]
    levels = {infos[i].id: one for i, one in checked.items() if isinstance(one, SoundLevels)}
    formats = [format_of(source, index) for index in range(len(source))]
    seconds = [info.duration_seconds for info in infos]
    captions = Counter(info.caption for info in infos if info.caption)
    train = [info for info in infos if info.split == "train"]
    return CheckReport(
        total=_group(infos),
        splits=_groups(infos, lambda info: info.split),
        categories=_groups(infos, lambda info: info.category),
        licences=_groups(infos, lambda info: info.licence),
        sample_rates=_histogram([str(one.sample_rate) for one in formats]),
        channels=_histogram([str(one.num_channels) for one in formats]),
        seconds_range=(min(seconds, default=0.0), max(seconds, default=0.0)),
        unusable=tuple(broken),
        silent=tuple(name for name, one in levels.items() if one.is_silent),
        clipped=tuple(name for name, one in levels.items() if one.is_clipped),
        too_short=tuple(info.id for info in infos if info.duration_seconds < TOO_SHORT_SECONDS),
        without_caption=tuple(info.id for info in infos if not info.caption.strip()),
        without_licence=tuple(info.id for info in infos if not info.licence.strip()),
        duplicate_captions={caption: count for caption, count in captions.most_common() if count > 1},
        batch=f"{batch_size} clips" if max_frames is None else f"{max_frames} latent frames",
        batches_per_epoch=_num_batches(train, batch_size, max_frames),
        listened=listen,
        layout=files.layout if files is not None else "made by arctone",
        examples=tuple((info.id, " | ".join(info.captions)) for info in infos[:NUM_EXAMPLES]),
        passed_over=files.passed_over if files is not None else (),
        notes=files.notes if files is not None else (),
    )


def check_sound(source: ClipSource, index: int) -> SoundLevels:
    """Check whether the sound of one clip is silent or clipped.

    Args:
        source: Source of clips.
        index: Number of the clip, from 0.

    Returns:
        Whether it is silent and whether it is clipped.

    Raises:
        InputFileError: if it cannot be made.
    """
    samples = source.waveform(index).samples
    swing = float(np.ptp(samples, axis=1).max()) / 2 if samples.size else 0.0
    full = np.abs(samples) >= _FULL_SCALE  # [2, N]
    runs = np.lib.stride_tricks.sliding_window_view(full, min(_CLIPPED_RUN, max(1, full.shape[1])), axis=1)
    return SoundLevels(is_silent=swing < 10 ** (SILENCE_DB / 20), is_clipped=bool(runs.all(axis=2).any()))


def _check_sounds(
    source: ClipSource, num_workers: int, report: Callable[[int, int], None]
) -> dict[int, SoundLevels | ArctoneError]:
    checked: dict[int, SoundLevels | ArctoneError] = {}
    with closing(map_in_order(source, check_sound, range(len(source)), num_workers)) as found:
        for index, one in enumerate(found):
            checked[index] = one
            report(index + 1, len(source))
    return checked


def _group(infos: Sequence[ClipInfo]) -> Group:
    return Group(clips=len(infos), hours=sum(info.duration_seconds for info in infos) / 3600)


def _groups(infos: Sequence[ClipInfo], name_of: Callable[[ClipInfo], str]) -> dict[str, Group]:
    parts: dict[str, list[ClipInfo]] = {}
    for info in infos:
        parts.setdefault(name_of(info) or _NO_NAME, []).append(info)
    return {name: _group(parts[name]) for name in sorted(parts)}


def _histogram(values: list[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _num_batches(train: Sequence[ClipInfo], batch_size: int, max_frames: int | None) -> int:
    if not train:
        return 0
    if max_frames is None:
        return -(-len(train) // batch_size)
    frames = [max(1, -(-round(info.duration_seconds * 44_100) // _HOP_LENGTH)) for info in train]
    return len(LengthBucketSampler(frames, max_frames))
