"""Sounds that instruments play: sampled libraries and SoundFonts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from arctone.data.corpus.drums import KITS, Kit
from arctone.data.corpus.instruments import FLUID, MUSESCORE, SYNTH, Instrument, Preset, instruments, presets_of
from arctone.data.corpus.recordings import Recording, pack_recordings, sonic_pi_recordings, strum_recordings
from arctone.errors import InputFileError, UsageError

SAMPLE_RATE = 44_100
MAX_VOICES = 192
# A reset fades voices out over some milliseconds; this much is rendered and dropped before each stem.
_DRAIN_SAMPLES = 4_410

Audio = npt.NDArray[np.float32]


@dataclass(frozen=True, order=True)
class Note:
    """One note.

    Args:
        start_seconds: From the stem's beginning.
        pitch: MIDI number.
        velocity: 0 to 1.
    """

    start_seconds: float
    duration_seconds: float
    pitch: int
    velocity: float


class SoundFont:
    """A loaded sf2 or sf3 file that renders one stem at a time.

    Args:
        path: The file.

    Raises:
        InputFileError: if it cannot be loaded.
        UsageError: if tinysoundfont is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self._font = _load(Path(path))

    def has(self, bank: int, program: int) -> bool:
        """Whether the font has this preset; bank 128 holds the drum kits."""
        return bool(self._font.get_preset_index(bank, program) >= 0)

    def render(self, bank: int, program: int, notes: list[Note], num_samples: int) -> Audio:
        """Sound of `notes` on one preset, float32 [2, num_samples], dry."""
        self._prepare(bank, program)
        stereo = np.zeros((num_samples, 2), np.float32)
        position = 0
        for sample, is_on, note in _events(notes, num_samples):
            self._fill(stereo, position, sample)
            position = sample
            self._switch(is_on, note)
        self._fill(stereo, position, num_samples)
        return np.ascontiguousarray(stereo.T)

    def _prepare(self, bank: int, program: int) -> None:
        self._font.reset()
        self._fill(np.zeros((_DRAIN_SAMPLES, 2), np.float32), 0, _DRAIN_SAMPLES)
        self._font.channel_set_bank(0, bank)
        self._font.channel_set_preset_number(0, program, bank == 128)

    def _fill(self, stereo: Audio, start: int, end: int) -> None:
        if end > start:
            self._font.render(stereo[start:end].data.cast("B"))

    def _switch(self, is_on: bool, note: Note) -> None:
        if is_on:
            self._font.channel_note_on(0, note.pitch, note.velocity)
        else:
            self._font.channel_note_off(0, note.pitch)


@lru_cache(maxsize=8)
def open_shared_font(path: str) -> SoundFont:
    """The font at `path`, loaded once; processes that are forked afterwards have it, too."""
    return SoundFont(path)


def _events(notes: list[Note], num_samples: int) -> list[tuple[int, bool, Note]]:
    events = []
    for note in notes:
        start = round(note.start_seconds * SAMPLE_RATE)
        end = max(start + 1, round((note.start_seconds + note.duration_seconds) * SAMPLE_RATE))
        if start < num_samples:
            events += [(start, True, note), (min(end, num_samples), False, note)]
    return sorted(events, key=lambda event: (event[0], event[1], event[2].pitch, event[2].velocity))


def _load(path: Path) -> Any:
    try:
        from tinysoundfont import _tinysoundfont as tiny
    except ImportError:
        raise UsageError(
            f"soundfonts: playing {path} needs the package tinysoundfont (pip install --no-deps tinysoundfont).",
            field="soundfonts",
        ) from None
    try:
        font = tiny.SoundFont(str(path))
    except Exception as problem:
        raise InputFileError(
            f"soundfonts: {path} cannot be loaded as a soundfont: {problem}.", field="soundfonts"
        ) from None
    font.set_output(tiny.OutputMode.StereoInterleaved, SAMPLE_RATE, 0.0)
    font.set_max_voices(MAX_VOICES)
    return font


FLUID_GS = "FluidR3_GS"
FONT_LICENCE = "MIT"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FontSound:
    """An effect preset of a soundfont.

    Args:
        pitch: The key that sounds natural.
        seconds: How long it is held.
    """

    font: str
    bank: int
    program: int
    wordings: tuple[str, ...]
    kind: str
    pitch: int = 60
    seconds: float = 3.0


def _gs(bank: int, program: int, seconds: float, *wordings: str, kind: str = "effect") -> FontSound:
    return FontSound(FLUID_GS, bank, program, wordings, kind, 60, seconds)


def _gm(program: int, seconds: float, *wordings: str, kind: str = "effect") -> tuple[FontSound, ...]:
    return tuple(FontSound(font, 0, program, wordings, kind, 60, seconds) for font in (FLUID, MUSESCORE))


FONT_SOUNDS: tuple[FontSound, ...] = (
    *_gm(120, 1.0, "guitar fret noise", "a finger slide on guitar strings"),
    *_gm(121, 1.0, "breath noise", "a flute breath"),
    *_gm(122, 8.0, "the seashore", "sea waves on a shore", kind="ambience"),
    *_gm(123, 2.5, "a bird tweet", "a chirping bird", "bird tweets"),
    *_gm(124, 3.0, "a ringing telephone", "a telephone ringing", "an old phone ringing"),
    *_gm(125, 6.0, "a helicopter", "a flying helicopter"),
    *_gm(126, 6.0, "applause", "clapping audience", "a clapping crowd"),
    *_gm(127, 2.0, "a gunshot", "a gun shot"),
    *_gm(119, 2.5, "a reversed cymbal", "a reverse cymbal swell"),
    _gs(1, 120, 0.6, "a guitar cut noise"),
    _gs(1, 121, 0.4, "a flute key click"),
    _gs(1, 122, 9.0, "rain", "falling rain", kind="ambience"),
    _gs(1, 123, 1.2, "a dog barking", "a barking dog", "dog barking"),
    _gs(1, 124, 3.0, "a telephone ringing", "a ringing phone"),
    _gs(1, 125, 4.0, "a car engine", "a running car engine"),
    _gs(1, 126, 3.0, "a laugh", "laughter"),
    _gs(1, 127, 2.0, "a machine gun", "machine gun fire"),
    _gs(2, 120, 0.6, "a string slap"),
    _gs(2, 122, 5.0, "thunder", "a clap of thunder"),
    _gs(2, 123, 4.0, "a galloping horse", "horse gallop", "a horse galloping"),
    _gs(2, 124, 2.0, "a creaking door", "a door creaking"),
    _gs(2, 125, 3.0, "a car braking", "a car stopping"),
    _gs(2, 126, 2.5, "a scream", "a person screaming"),
    _gs(2, 127, 1.0, "a laser gun", "a laser shot"),
    _gs(3, 122, 9.0, "wind", "blowing wind", kind="ambience"),
    _gs(3, 123, 3.0, "birds", "birds chirping", "birdsong"),
    _gs(3, 124, 1.5, "a slamming door", "a door slam"),
    _gs(3, 125, 4.0, "a passing car", "a car driving by"),
    _gs(3, 126, 0.8, "a punch", "a fist punch"),
    _gs(3, 127, 3.0, "an explosion", "a blast"),
    _gs(4, 122, 9.0, "a stream", "a flowing river", kind="ambience"),
    _gs(4, 124, 1.0, "a record scratch", "a DJ scratch"),
    _gs(4, 125, 3.0, "a car crash", "a crashing car"),
    _gs(4, 126, 4.0, "a heartbeat", "a beating heart"),
    _gs(5, 122, 4.0, "bubbles", "bubbling water"),
    _gs(5, 124, 4.0, "wind chimes", "tinkling wind chimes"),
    _gs(5, 125, 5.0, "a siren", "a police siren"),
    _gs(5, 126, 4.0, "footsteps", "walking footsteps"),
    _gs(6, 125, 6.0, "a train", "a passing train", kind="ambience"),
    _gs(7, 125, 6.0, "a jet plane", "a jet taking off"),
    _gs(8, 125, 6.0, "a starship", "a flying spaceship"),
)


@dataclass(frozen=True)
class Library:
    """All soundfonts, instruments and kits.

    Args:
        fonts: Path by font name.
        instruments: (instrument, its presets), none empty.
        kits: Those that can sound.
    """

    fonts: dict[str, str]
    instruments: tuple[tuple[Instrument, tuple[Preset, ...]], ...]
    kits: tuple[Kit, ...]
    recordings: dict[str, tuple[Recording, ...]]
    strokes: dict[str, tuple[Recording, ...]]
    font_sounds: tuple[FontSound, ...]
    missing: tuple[str, ...] = field(default=())

    def kit_presets(self, kit: Kit) -> tuple[str, ...]:
        """Preset ids of a kit whose font is available."""
        return tuple(p for p in kit.presets if p.partition("/")[0] in (*self.fonts, SYNTH))


def open_library(
    soundfonts: Sequence[str | Path], pack: Path | None, sonic_pi: Path | None, strums: Path | None
) -> Library:
    """Find out what can sound. Missing files are left out with a warning in the log and in `missing`."""
    fonts, missing = _fonts(soundfonts)
    found: list[Recording] = []
    for path, reader in ((pack, pack_recordings), (sonic_pi, sonic_pi_recordings), (strums, strum_recordings)):
        if path is not None and path.exists():
            found += reader(path)
        elif path is not None:
            missing.append(f"{path} does not exist: its recordings are left out")
    for sentence in missing:
        _log.warning("corpus: %s", sentence)
    strokes = _grouped(found, "kit", "stroke")
    playable = tuple((i, p) for i in instruments() if (p := presets_of(i, tuple(fonts))))
    kits = tuple(
        kit
        for kit in KITS
        if kit.sampled in strokes or any(p.partition("/")[0] in (*fonts, SYNTH) for p in kit.presets)
    )
    sounds = tuple(sound for sound in FONT_SOUNDS if sound.font in fonts)
    return Library(fonts, playable, kits, _grouped(found, "kind"), strokes, sounds, tuple(missing))


def font_name(path: str | Path) -> str:
    """Identify a known soundfont by its file name.

    Args:
        path: File of a soundfont.

    Returns:
        Name of the font.

    Raises:
        UsageError: for other soundfonts.
    """
    name = Path(path).name
    for known in (FLUID_GS, FLUID, MUSESCORE):
        if name.startswith(known):
            return known
    raise UsageError(
        f"soundfonts: {name} is unknown; allowed are files named {FLUID}*, {FLUID_GS}* and {MUSESCORE}*.",
        field="soundfonts",
    )


def _fonts(soundfonts: Sequence[str | Path]) -> tuple[dict[str, str], list[str]]:
    fonts: dict[str, str] = {}
    missing: list[str] = []
    for path in soundfonts:
        name = font_name(path)
        if Path(path).exists():
            fonts.setdefault(name, str(path))
        else:
            missing.append(f"{path} does not exist: the presets of {name} are left out")
    return fonts, missing


def _grouped(found: list[Recording], key: str, only_kind: str = "") -> dict[str, tuple[Recording, ...]]:
    groups: dict[str, list[Recording]] = {}
    for recording in found:
        if not only_kind or recording.kind == only_kind:
            groups.setdefault(str(getattr(recording, key)), []).append(recording)
    return {name: tuple(group) for name, group in groups.items()}
