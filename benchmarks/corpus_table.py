"""What version 2 of the corpus holds: hours, lengths, and how many captions say what they could.

    python -m benchmarks.corpus_table --data corpus:version=2,seed=2,size=48000,pack=audio-pack,strums=drumkits

Counts facts of all clips; makes the sound of `--rendered` of them, evenly spread, for what only the sound shows.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

import numpy as np

from arctone.data.sound import ClipInfo, ClipSource
from arctone.data.sources import open_source
from benchmarks import results
from benchmarks.results import JSON

LENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 12.0)


def facts(infos: Sequence[ClipInfo]) -> JSON:
    """Clips, hours and captions of each category and of all."""
    categories = {name: _group([i for i in infos if i.category == name]) for name in _ordered(infos)}
    seconds = np.array([info.duration_seconds for info in infos])
    below = {str(limit): round(float((seconds < limit).mean()), 4) for limit in LENGTHS}
    return {
        "all": _group(infos),
        "categories": categories,
        "below_seconds": below,
        "splits": dict(Counter(info.split for info in infos)),
        "said": round(float(np.mean([says_pitch(i, c) for i in infos if _pitch(i) for c in i.captions])), 4),
        "captions": len({caption for info in infos for caption in info.captions}),
    }


def sounds(source: ClipSource, number: int) -> JSON:
    """Of `number` clips: how many end below 1 % of their peak, and how soon the short ones begin."""
    ends, begins = [], []
    for index in np.linspace(0, len(source) - 1, number).round().astype(int):
        level = np.abs(source.waveform(int(index)).samples).max(axis=0)
        ends.append(float(level[-44:].max() / level.max()))
        if source.info(int(index)).duration_seconds < 2:
            begins.append(float(np.argmax(level > 0.02 * level.max()) / 44_100))
    return {
        "rendered": number,
        "clean_ends": round(float(np.mean(np.array(ends) < 0.01)), 4),
        "short": len(begins),
        "begin_within_20_ms": round(float(np.mean(np.array(begins) < 0.02)), 4) if begins else None,
    }


def says_pitch(info: ClipInfo, caption: str) -> bool:
    """Whether a caption says the clip's key, or its pitch with or without the octave."""
    words = caption.replace(",", " ").replace(".", " ").split()
    if info.key:
        return info.key in caption
    pitch = _pitch(info)
    return pitch in words or pitch.rstrip("-0123456789") in words


def _pitch(info: ClipInfo) -> str:
    return info.key or info.attributes.get("pitch", "")


def _ordered(infos: Sequence[ClipInfo]) -> list[str]:
    return [name for name, _ in Counter(info.category for info in infos).most_common()]


def _group(infos: Sequence[ClipInfo]) -> JSON:
    seconds = np.array([info.duration_seconds for info in infos])
    return {
        "clips": len(infos),
        "hours": round(float(seconds.sum()) / 3600, 2),
        "mean_seconds": round(float(seconds.mean()), 2),
        "below_2_s": round(float((seconds < 2).mean()), 3),
    }


def block(result: JSON) -> str:
    """Table and sentences for docs/data.md."""
    rows = [*result["categories"].items(), ("all", result["all"])]
    lines = ["| category | clips | hours | mean s | shorter than 2 s |", "| --- | --- | --- | --- | --- |"]
    for name, row in rows:
        share = f"{100 * row['below_2_s']:.0f} %"
        lines.append(f"| {name} | {row['clips']:,} | {row['hours']} | {row['mean_seconds']} | {share} |")
    below = ", ".join(f"{100 * share:.0f} % below {limit} s" for limit, share in result["below_seconds"].items())
    splits = ", ".join(f"{count:,} {name}" for name, count in sorted(result["splits"].items()))
    found = result["sounds"]
    return "\n".join(
        [
            *lines,
            "",
            f"Lengths: {below}. Splits: {splits}. Different captions: {result['captions']:,}. Of the captions of clips "
            f"with a key or a pitch, {100 * result['said']:.0f} % say it. Of {found['rendered']} clips whose sound was "
            f"made, {100 * found['clean_ends']:.0f} % end below 1 % of their peak; of the {found['short']} short ones "
            f"among them, {100 * found['begin_within_20_ms']:.0f} % begin within 20 ms.",
            "",
            f"`{result['command']}`",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, render, store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus_table", description=__doc__)
    parser.add_argument("--data", required=True, help="the corpus, as `arctone data encode` takes it")
    parser.add_argument("--rendered", type=int, default=200, help="clips whose sound is made")
    options = parser.parse_args(arguments)
    source = open_source(options.data)
    infos = [source.info(index) for index in range(len(source))]
    values = {**facts(infos), "sounds": sounds(source, options.rendered)}
    print(results.write("corpus_table", {"clips": len(infos)}, values))


if __name__ == "__main__":
    main()
