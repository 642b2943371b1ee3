"""What a training clip is, and what every source of clips offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import msgspec

if TYPE_CHECKING:
    from arctone.audio.waveform import Waveform

Split = Literal["train", "valid", "test"]


class ClipInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about a clip except its sound.

    id: unique and stable name inside its source. caption: what the clip is, in English.
    captions: all wordings, the first is `caption`. duration_seconds: exact length of the waveform.
    bpm: exact tempo, None where there is no beat. key: tonic and mode such as "C minor", None where unpitched.
    attributes: machine readable labels, such as family, instrument, genre, kit. held_out: names of the rules that put
    the clip into the test split, empty elsewhere. licence: SPDX-like names, joined by " AND ". source: where the
    sounds come from, joined by " + ".
    """

    id: str
    caption: str
    captions: tuple[str, ...]
    duration_seconds: float
    bpm: float | None = None
    key: str | None = None
    category: str = ""
    attributes: dict[str, str] = {}
    split: Split = "train"
    held_out: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""


@runtime_checkable
class ClipSource(Protocol):
    """An ordered collection of clips: numbers 0 to len - 1."""

    def __len__(self) -> int: ...

    def info(self, index: int) -> ClipInfo:
        """Facts of clip `index`. Cheap: makes no audio. Raises IndexError outside the range."""
        ...

    def waveform(self, index: int) -> Waveform:
        """Sound of clip `index`: float32 [2, samples], 44,100 Hz, the same at every call."""
        ...
