"""The user's own sounds: captions where there are none, what is kept apart, and prompts of other kinds."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import msgspec

from arctone.audio.waveform import Waveform
from arctone.data.sound import ClipInfo, ClipSource

# Prompts of all kinds, each with the beginnings of the words that name its kind in a caption.
GENERAL_PROMPTS = {
    "rain on a tin roof": ("rain", "drizzl", "downpour", "shower", "storm"),
    "a funky drum loop, 110 BPM": ("drum", "beat", "break", "groove", "percuss", "kick", "snare", "hat", "hihat"),
    "a solo flute melody in D minor": ("flute", "recorder", "piccolo", "woodwind", "whistl", "panpipe"),
    "a dog barking": ("dog", "bark", "pupp", "hound", "growl", "howl", "whin", "animal", "woof"),
    "a warm analog pad in a huge church": ("pad", "synth", "drone", "ambient", "analog"),
    "a church organ playing chords": ("organ", "church", "choir", "hymn"),
    "an 8-bit laser shot": ("laser", "8-bit", "8bit", "chip", "arcade", "retro", "blaster", "zap", "shot"),
    "wind howling through trees": ("wind", "breez", "gust", "storm", "tree", "leaves", "forest", "howl"),
    "a slap bass riff, dry": ("bass", "slap", "riff"),
    "a sad solo cello, slow": ("cello", "violin", "viola", "string", "fiddle", "contrabass"),
    "thunder, far away": ("thunder", "storm", "lightning", "rumbl"),
    "a techno drum loop, 130 BPM": ("techno", "drum", "beat", "house", "electronic", "kick", "percuss", "groove"),
    "footsteps on gravel": ("foot", "step", "gravel", "walk", "run", "shoe"),
    "a bright piano arpeggio": ("piano", "key", "arpegg"),
    "a door creaks": ("door", "creak", "hinge", "squeak", "knock"),
    "waves on a beach": ("wave", "sea", "ocean", "beach", "surf", "water"),
    "a church bell": ("bell", "church", "chime", "gong", "toll"),
    "applause in a hall": ("applau", "clap", "crowd", "audience", "cheer"),
}


# Fewer files are all needed for training.
_MIN_FILES_TO_KEEP_APART = 5
_SHARE, _MAX_KEPT_APART = 0.2, 8


class OwnSounds:
    """A source whose clips all have captions, of which some are kept apart from training (split "valid").

    Args:
        source: Source of clips.
        fallback: Caption of clips without one; "" makes one of the file's name.
        keep_apart: False trains on all that do not say themselves that they are for something else. uncaptioned: the
            ids of the clips without a caption.
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
        """Return the facts of clip `index`.

        Args:
            index: Number of the clip, from 0.

        Returns:
            Facts of the clip.

        Raises:
            IndexError: outside the range.
        """
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


def other_prompts(captions: Sequence[str], count: int) -> tuple[str, ...]:
    """Choose general prompts whose kind no caption names; where captions name all kinds, the kinds they name least.

    Args:
        captions: Of the user's sounds.
        count: Of prompts, at most.

    Returns:
        The prompts.

    >>> "a dog barking" in other_prompts(["my puppy barks"], 12)
    False
    """
    texts = {caption.lower() for caption in captions}
    patterns = {prompt: re.compile(rf"\b(?:{'|'.join(roots)})") for prompt, roots in GENERAL_PROMPTS.items()}
    named = {prompt: sum(bool(pattern.search(text)) for text in texts) for prompt, pattern in patterns.items()}
    fewest = min(named.values())
    return tuple(prompt for prompt in GENERAL_PROMPTS if named[prompt] == fewest)[:count]


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
