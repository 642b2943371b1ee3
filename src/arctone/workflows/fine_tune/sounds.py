"""A user's own sounds as training material: captions where there are none, and a few sounds kept apart."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import msgspec

from arctone.audio.waveform import Waveform
from arctone.data.clip import ClipInfo, ClipSource

# Fewer files are all needed for training.
_MIN_FILES_TO_KEEP_APART = 5
_SHARE, _MAX_KEPT_APART = 0.2, 8


class OwnSounds:
    """A source whose clips all have captions, of which some are kept apart from training (split "valid").

    Args: fallback: caption of clips without one; "" makes one of the file's name. keep_apart: False trains on all that
    do not say themselves that they are for something else.
    uncaptioned: the ids of the clips without a caption.
    """

    def __init__(self, source: ClipSource, fallback: str = "", *, keep_apart: bool = True) -> None:
        self.source = source
        infos = [source.info(index) for index in range(len(source))]
        self.uncaptioned = tuple(info.id for info in infos if not info.caption)
        apart = kept_apart(infos) if keep_apart else frozenset()
        self._infos = [_own(info, fallback, file_of(info) in apart) for info in infos]

    def __len__(self) -> int:
        return len(self._infos)

    def info(self, index: int) -> ClipInfo:
        """Facts of clip `index`. Raises: IndexError outside the range."""
        return self._infos[index]

    def waveform(self, index: int) -> Waveform:
        """Sound of clip `index`."""
        return self.source.waveform(index)

    def of_split(self, *splits: str) -> list[int]:
        """Clips of some splits, in order."""
        return [index for index, info in enumerate(self._infos) if info.split in splits]


def kept_apart(infos: Sequence[ClipInfo]) -> frozenset[str]:
    """Files kept apart: those that say so themselves, else a fifth of all, at most 8, chosen by a hash of their names.

    Windows of one file stay together. Of fewer than 5 files all are trained on.
    """
    stated = frozenset(file_of(info) for info in infos if info.split != "train")
    files = sorted({file_of(info) for info in infos}, key=lambda name: hashlib.sha256(name.encode()).digest())
    if stated or len(files) < _MIN_FILES_TO_KEEP_APART:
        return stated
    return frozenset(files[: min(max(1, round(_SHARE * len(files))), _MAX_KEPT_APART)])


def caption_of_name(name: str) -> str:
    """Words of a file's name: "kit/Tape-Stop_02.wav" becomes "Tape Stop". Names without letters give "sound".

    >>> caption_of_name("kit/Tape-Stop_02.wav")
    'Tape Stop'
    """
    words = re.sub(r"[\W_]+", " ", PurePosixPath(name).stem)
    return re.sub(r"\s*\b\d+\b\s*", " ", words).strip() or "sound"


def file_of(info: ClipInfo) -> str:
    """The file that a clip is a window of."""
    name, mark, number = info.id.rpartition("#")
    return name if mark and number.isdigit() else info.id


def _own(info: ClipInfo, fallback: str, is_apart: bool) -> ClipInfo:
    split = info.split if info.split != "train" else ("valid" if is_apart else "train")
    if info.caption:
        return msgspec.structs.replace(info, split=split)
    words = fallback.strip() or caption_of_name(file_of(info))
    return msgspec.structs.replace(info, caption=words, captions=(words,), split=split)
