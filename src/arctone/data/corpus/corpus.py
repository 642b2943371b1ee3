"""The corpus: clip = f(seed, index), as a `ClipSource`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from arctone.audio.waveform import Waveform
from arctone.data.corpus.captions import write_captions
from arctone.data.corpus.instruments import SYNTH
from arctone.data.corpus.library import FONT_LICENCE, Library, open_library
from arctone.data.corpus.planner import Planner
from arctone.data.corpus.plans import SAMPLE_RATE, Plan
from arctone.data.corpus.render import load_fonts, render_plan
from arctone.data.corpus.second_version import PITCH_SHARE, SECOND_SHARES, SecondPlanner
from arctone.data.corpus.splits import RULES, find_broken_rules
from arctone.data.sound import ClipInfo, Split
from arctone.errors import UsageError

DEFAULT_SIZE = 19_000
DEFAULT_SOUNDFONTS = (
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/sounds/sf2/FluidR3_GS.sf2",
    "/usr/share/sounds/sf3/MuseScore_General_Lite.sf3",
)
DEFAULT_SONIC_PI = "/usr/share/sonic-pi/samples"
# Parts per thousand.
CATEGORY_SHARES: dict[str, int] = {
    "note": 158,
    "phrase": 263,
    "duet": 79,
    "drums": 132,
    "music": 132,
    "ambience": 53,
    "effect": 130,
    "mixture": 53,
}
TEST_SHARE, VALID_SHARE = 0.07, 0.02
_MAX_DRAWS = 80
_PREPARED_CLIPS = 64  # they play nearly every soundfont that there is
_GOLDEN = 0.6180339887498949


class Corpus:
    """Captioned stereo clips that are made when they are asked for.

    The same arguments and the same files give the same clips, in any order and in any process.

    Args:
        seed: Another seed is another corpus.
        size: Number of clips over all splits.
        pack: Folder of the audio pack, None to do without.
        soundfonts: Files of FluidR3_GM, FluidR3_GS, MuseScore_General; missing ones are left out, see `missing`.
        sonic_pi: Folder of Sonic Pi's samples.
        strums: Folder with the kit belofilms_GuitarStrums.
        split: Which clips to number; filtering makes no sound. Without any file all categories remain, synthesised.
        version: Of the planner, 1 or 2.

    Raises:
        UsageError: for a bad size or split.
        InputFileError: for a broken file.
    """

    def __init__(
        self,
        seed: int = 0,
        size: int = DEFAULT_SIZE,
        *,
        pack: str | Path | None = None,
        soundfonts: Sequence[str | Path] = DEFAULT_SOUNDFONTS,
        sonic_pi: str | Path | None = DEFAULT_SONIC_PI,
        strums: str | Path | None = None,
        split: Literal["all"] | Split = "all",
        version: int = 1,
    ) -> None:
        _check(seed, size, split, version)
        self.seed, self.size, self.split, self.version = seed, size, split, version
        folders = [Path(folder) if folder is not None else None for folder in (pack, sonic_pi, strums)]
        self._library: Library = open_library(soundfonts, *folders)
        self._planner = Planner(self._library) if version == 1 else SecondPlanner(self._library)
        self._shares = CATEGORY_SHARES if version == 1 else SECOND_SHARES
        self._cached_plan = lru_cache(maxsize=64)(self._make_plan)
        self._numbers = self._filtered() if split != "all" else range(size)

    @property
    def missing(self) -> tuple[str, ...]:
        """One sentence for each source that was named but is not there."""
        return self._library.missing

    def __len__(self) -> int:
        return len(self._numbers)

    def info(self, index: int) -> ClipInfo:
        """Return the facts and captions of clip `index` of this split, without making its sound.

        Args:
            index: Number of the clip, from 0.

        Returns:
            Facts of the clip.

        Raises:
            IndexError: outside the range.
        """
        number = self._number(index)
        plan, split, rules = self._cached_plan(number)
        wording = _generator(self.seed, number, 2)
        pitch_share = None if self.version == 1 else PITCH_SHARE
        captions = write_captions(plan.frames, plan.fields, "unseen_wording" in rules, wording, pitch_share)
        licence, source = _origins(plan)
        return ClipInfo(
            id=f"corpus{'' if self.version == 1 else self.version}-{self.seed}-{number:06d}",
            caption=captions[0],
            captions=captions,
            duration_seconds=plan.num_samples / SAMPLE_RATE,
            bpm=float(plan.bpm) if plan.bpm else None,
            key=plan.key,
            category=plan.category,
            attributes=plan.attributes,
            split=split,
            held_out=rules,
            licence=licence,
            source=source,
        )

    def waveform(self, index: int) -> Waveform:
        """Render clip `index` of this split; every call gives the same sound.

        Args:
            index: Number of the clip, from 0.

        Returns:
            Stereo, 44.1 kHz.

        Raises:
            IndexError: outside the range.
        """
        number = self._number(index)
        plan, _, _ = self._cached_plan(number)
        return Waveform(render_plan(plan, self._library, _generator(self.seed, number, 1)), SAMPLE_RATE)

    def prepare(self, indices: Sequence[int]) -> None:
        """Load the soundfonts of the first of these clips, so that processes forked afterwards share them.

        Args:
            indices: Numbers of clips.
        """
        load_fonts((self.plan(index) for index in indices[:_PREPARED_CLIPS]), self._library)

    def plan(self, index: int) -> Plan:
        """Plan clip `index`: layers, scores' frames, room.

        Args:
            index: Number of the clip, from 0.

        Returns:
            The plan.

        Raises:
            IndexError: outside the range.
        """
        return self._cached_plan(self._number(index))[0]

    def _number(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must be from 0 to {len(self) - 1}, got {index}.")
        return self._numbers[index]

    def _filtered(self) -> tuple[int, ...]:
        return tuple(number for number in range(self.size) if self._make_plan(number)[1] == self.split)

    def _make_plan(self, number: int) -> tuple[Plan, Split, tuple[str, ...]]:
        rng = _generator(self.seed, number, 0)
        category, wanted = category_of(number, self._shares), _wanted_rule(rng)
        for _ in range(_MAX_DRAWS):
            plan = self._planner.plan(category, rng)
            broken = _broken(plan)
            if wanted in broken:
                return plan, "test", broken
            if not broken and wanted == "unseen_wording":
                return plan, "test", ("unseen_wording",)
            if not broken and wanted in ("train", "valid"):
                return plan, ("valid" if wanted == "valid" else "train"), ()
        return self._last_resort(category, rng)

    def _last_resort(self, category: str, rng: np.random.Generator) -> tuple[Plan, Split, tuple[str, ...]]:
        """Where a rule cannot be met in this category (no tempo in an ambience): any other plan, tested by wording."""
        plan = self._planner.plan(category, rng)
        return plan, "test", _broken(plan) or ("unseen_wording",)


def category_of(number: int, shares: dict[str, int] = CATEGORY_SHARES) -> str:
    """Category of clip `number`: a golden-ratio sequence keeps the shares in every stretch of the corpus."""
    place = (number * _GOLDEN) % 1.0 * sum(shares.values())
    for category, share in shares.items():
        place -= share
        if place < 0:
            return category
    return "note"


def _check(seed: int, size: int, split: str, version: int) -> None:
    if version not in (1, 2):
        raise UsageError(f"version must be 1 or 2, got {version}.", field="version")
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed must be from 0 to 2**63 - 1, got {seed}.", field="seed")
    if size < 1:
        raise UsageError(f"size must be at least 1, got {size}.", field="size")
    if split not in ("all", "train", "valid", "test"):
        raise UsageError(f"split must be all, train, valid or test, got {split!r}.", field="split")


def _generator(seed: int, number: int, stream: int) -> np.random.Generator:
    """stream: 0 plan, 1 sound, 2 captions, so that a change in one leaves the others alone."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, number], np.uint64), counter=[0, 0, 0, stream]))


def _wanted_rule(rng: np.random.Generator) -> str:
    draw = float(rng.random())
    if draw < TEST_SHARE:
        return RULES[int(draw / TEST_SHARE * len(RULES))]
    return "valid" if draw < TEST_SHARE + VALID_SHARE * (1 - TEST_SHARE) else "train"


def _broken(plan: Plan) -> tuple[str, ...]:
    recordings = [(recording.source, recording.fold) for recording in plan.recordings()]
    return find_broken_rules(plan.pairs, plan.bpm, recordings, plan.presets())


def _origins(plan: Plan) -> tuple[str, str]:
    fonts = [preset.partition("/")[0] for preset in plan.presets()]
    licences = [FONT_LICENCE if font != SYNTH else "CC0-1.0" for font in fonts] + [r.licence for r in plan.recordings()]
    sources = [f"arctone {font}" if font == SYNTH else font for font in fonts] + [r.source for r in plan.recordings()]
    if any(isinstance(getattr(layer, "sound", None), str) for layer in plan.layers):
        licences.append("CC0-1.0")
        sources.append(f"arctone {SYNTH}")
    parts = {part for licence in licences for part in licence.split(" AND ")}
    return " AND ".join(sorted(parts)), " + ".join(dict.fromkeys(sources))
