"""Write the generated blocks of README.md, MODEL_CARD.md and docs/ from the stored results, or check that they are
fresh.

A block is what stands between `<!-- generated:NAME -->` and `<!-- /generated -->`. `python -m benchmarks.report` writes
them, `--check` only says which are stale and ends with exit code 1 if any is.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks import (
    adherence,
    arc_tables,
    autoencoder_table,
    corpus_table,
    decoder_table,
    editing,
    engine_table,
    generation_table,
    kinds_table,
    latency,
    leaderboard,
    lengths,
    live,
    lora_few_steps,
    lora_timbre,
    precision_table,
    results,
    sao_cpu,
    sao_edge,
    serve_load,
    silence_table,
    train_ears,
    train_kind_probe,
)
from benchmarks.arm import table as arm_table
from benchmarks.parity import published_table
from benchmarks.results import JSON, ROOT

_BLOCK = re.compile(r"(<!-- generated:(?P<name>[\w-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)
_MARKER = re.compile(r"<!-- generated:[\w-]+ -->")

# Name of the block: the result it is made from, and how.
BLOCKS: dict[str, tuple[str, Callable[[JSON], str]]] = {
    "autoencoder": ("autoencoder_table", autoencoder_table.block),
    "published-parity": (published_table.NAME, published_table.block),
    "adherence": ("adherence", adherence.block),
    "adherence-families": ("adherence", adherence.family_block),
    "adherence-summary": ("adherence", adherence.summary_block),
    "corpus-2": ("corpus_table", corpus_table.block),
    "decoder": ("decoder_table", decoder_table.block),
    "editing-levels": ("editing", editing.levels_block),
    "editing-seams": ("editing", editing.seams_block),
    "arm": ("arm", arm_table.block),
    "sao-edge": ("sao_edge", sao_edge.block),
    "arc-toy": ("arc_toy", arc_tables.toy_block),
    "arc-update": ("arc_update", arc_tables.update_block),
    "engines": ("engine_table", engine_table.block),
    "generation": ("generation_table", generation_table.block),
    "generation-int8": ("generation_int8", generation_table.block),
    "ears": ("train_ears", train_ears.block),
    "kinds": ("kinds_table", kinds_table.block),
    "kind-probe": ("kind_probe", train_kind_probe.block),
    "lengths": ("lengths", lengths.lengths_block),
    "lengths-samplers": ("lengths", lengths.samplers_block),
    "lengths-samplers-vnni": ("lengths_vnni", lengths.samplers_block),
    "lengths-variations": ("lengths", lengths.variations_block),
    "lora-few-steps": ("lora_few_steps", lora_few_steps.block),
    "lora-timbre": ("lora_timbre", lora_timbre.block),
    "live": ("live", live.block),
    "latency": ("latency", latency.block),
    "leaderboard": ("leaderboard", leaderboard.block),
    "silence": ("silence_table", silence_table.block),
    "serve-load": ("serve_load", serve_load.block),
    "sao-cpu": ("sao_cpu", sao_cpu.block),
    "sao-cpu-vnni": ("sao_cpu_vnni", sao_cpu.block),
    "precisions": ("precision_table", precision_table.block),
    "latency-summary": ("latency", latency.summary_block),
}


def render(name: str, folder: Path = results.FOLDER) -> str:
    """Content of a block. Raises: ValueError for a name that no benchmark writes."""
    if name not in BLOCKS:
        raise ValueError(f'the generated block is called "{name}", but must be one of {", ".join(BLOCKS)}.')
    source, block = BLOCKS[name]
    result = results.read(source, folder)
    if result is None:
        return f"Not measured yet: `python -m benchmarks.{source}` does it."
    return block(result)


def refreshed(text: str, folder: Path = results.FOLDER) -> str:
    """The page with its blocks made anew. Raises: ValueError for unknown names and for markers without an end."""
    fresh, num_blocks = _BLOCK.subn(lambda match: f"{match[1]}{render(match['name'], folder)}\n{match[3]}", text)
    if num_blocks != len(_MARKER.findall(text)):
        raise ValueError("a generated block has no end: the marker <!-- /generated --> is missing.")
    return fresh


def pages(root: Path = ROOT) -> list[Path]:
    """All pages that may hold blocks."""
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])


def stale(paths: Iterable[Path], folder: Path = results.FOLDER) -> list[Path]:
    """The pages whose blocks differ from the results."""
    return [path for path in paths if refreshed(path.read_text(), folder) != path.read_text()]


def main(arguments: list[str] | None = None) -> int:
    """Write the blocks, or with --check name the stale pages. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail if a page is stale")
    check = parser.parse_args(arguments).check
    old = stale(pages())
    for path in old:
        if not check:
            path.write_text(refreshed(path.read_text()))
        print(f"{path.relative_to(ROOT)}: {'stale, run python -m benchmarks.report' if check else 'written'}")
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
