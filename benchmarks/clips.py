"""Which clips a benchmark looks at: chosen by a rule from the fixed splits of the corpus, never by hand."""

from __future__ import annotations

import argparse
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from arctone.data.sound import ClipInfo, ClipSource

MAX_SECONDS = 11.88


@dataclass(frozen=True)
class Chosen:
    """A clip of a source: its number and its facts."""

    index: int
    info: ClipInfo


def add_corpus_options(parser: argparse.ArgumentParser) -> None:
    """Options that say which corpus: --corpus-seed, --corpus-size, --pack, --strums."""
    parser.add_argument("--corpus-seed", type=int, default=0)
    parser.add_argument("--corpus-size", type=int, default=19_000)
    parser.add_argument("--pack", type=Path, default=None, help="folder of real recordings, left out if not given")
    parser.add_argument(
        "--strums", type=Path, default=None, help="folder with the kit belofilms_GuitarStrums, likewise"
    )


def open_corpus(options: argparse.Namespace) -> ClipSource:
    """The corpus that the options name."""
    from arctone.data.corpus import Corpus

    return Corpus(seed=options.corpus_seed, size=options.corpus_size, pack=options.pack, strums=options.strums)


def in_split(source: ClipSource, splits: Iterable[str], max_seconds: float = MAX_SECONDS) -> list[Chosen]:
    """Clips of the named splits that are not too long, in an order that is random but always the same."""
    wanted = set(splits)
    infos = ((index, source.info(index)) for index in range(len(source)))
    kept = [
        Chosen(index, info) for index, info in infos if info.split in wanted and info.duration_seconds <= max_seconds
    ]
    return sorted(kept, key=lambda clip: hashlib.sha256(clip.info.id.encode()).digest())


def balanced(clips: Iterable[Chosen], label: Callable[[ClipInfo], str | None], count: int) -> list[Chosen]:
    """The first `count` clips, taking turns between the labels; clips whose label is None are left out."""
    groups: dict[str, list[Chosen]] = defaultdict(list)
    for clip in clips:
        name = label(clip.info)
        if name is not None:
            groups[name].append(clip)
    depth = max(map(len, groups.values()), default=0)
    turns = [groups[name][turn] for turn in range(depth) for name in sorted(groups) if turn < len(groups[name])]
    return turns[:count]
