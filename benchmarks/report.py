"""Write the generated blocks of README.md, MODEL_CARD.md and docs/ from the stored results, or check that they are
fresh; write the full tables next to the results.

Pages show short tables. Each stored result also becomes a dated file in benchmarks/results/, with all its tables,
settings, machine and command; the footers of the pages link to it. A block is what stands between
`<!-- generated:NAME -->` and `<!-- /generated -->`. `python -m benchmarks.report` writes all of these, `--check` only
says which are stale and ends with exit code 1 if any is.
"""

from __future__ import annotations

import argparse
import os
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
    diverse_takes,
    editing,
    engine_table,
    gallery,
    generation_table,
    kinds_table,
    latency,
    leaderboard,
    lengths,
    live,
    lora_few_steps,
    lora_timbre,
    machine,
    picking,
    precision_table,
    questions,
    results,
    sao_cpu,
    sao_edge,
    serve_load,
    silence_table,
    train_corpus_clap,
    train_kind_probe,
    web_page,
)
from benchmarks.arm import table as arm_table
from benchmarks.parity import published_table, train_published
from benchmarks.results import JSON, ROOT

_BLOCK = re.compile(r"(<!-- generated:(?P<name>[\w-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)
# Stands in blocks for the folder of the dated files, until the page is known.
LINK = "RESULTS:"
_MARKER = re.compile(r"<!-- generated:[\w-]+ -->")

# Name of the block: the result it is made from, and how.
BLOCKS: dict[str, tuple[str, Callable[[JSON], str]]] = {
    "autoencoder": ("autoencoder_table", autoencoder_table.block),
    "published-parity": (published_table.NAME, published_table.block),
    "published-training": (train_published.NAME, train_published.block),
    "adherence": ("adherence", adherence.block),
    "adherence-families": ("adherence", adherence.family_block),
    "adherence-summary": ("adherence", adherence.summary_block),
    "corpus-2": ("corpus_table", corpus_table.block),
    "decoder": ("decoder_table", decoder_table.block),
    "diverse-takes": ("diverse_takes", diverse_takes.block),
    "picking": ("picking", picking.block),
    "editing-levels": ("editing", editing.levels_block),
    "editing-seams": ("editing", editing.seams_block),
    "arm": ("arm", arm_table.block),
    "sao-edge": ("sao_edge", sao_edge.block),
    "arc-toy": ("arc_toy", arc_tables.toy_block),
    "arc-update": ("arc_update", arc_tables.update_block),
    "engines": ("engine_table", engine_table.block),
    "generation": ("generation_table", generation_table.block),
    "generation-int8": ("generation_int8", generation_table.block),
    "corpus-clap": ("train_corpus_clap", train_corpus_clap.block),
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
    "headline": ("latency", questions.headline_block),
    "how-fast": ("latency", questions.fast_block),
    "how-good": ("generation_table", questions.good_block),
    "how-many-steps": ("generation_table", questions.steps_block),
    "against-others": ("sao_cpu", questions.others_block),
    "gallery": ("gallery", gallery.block),
    "sounds": ("gallery", gallery.first_block),
    "web-page": ("web_page", web_page.block),
    "full-tables": ("latency", lambda _: full_list()),
}
# Blocks that say the same in short; the dated files leave them out.
SHORT = {
    "adherence-summary",
    "against-others",
    "full-tables",
    "gallery",
    "headline",
    "how-fast",
    "how-good",
    "how-many-steps",
    "sounds",
    "leaderboard",
}
TITLES = {
    "adherence": "Prompt adherence: family, tempo, key",
    "arc_toy": "ARC on a toy of eight modes",
    "arc_update": "Time and memory of an ARC update",
    "arm": "Kernels and parity on emulated Arm processors",
    "autoencoder_table": "The autoencoder against Opus",
    "corpus_table": "The corpus, version 2",
    "decoder_table": "Cost of decoders",
    "diverse_takes": "Takes that --diverse chooses",
    "picking": "Rounds of picks against fresh seeds",
    "editing": "Editing: levels of change and seams",
    "engine_table": "Parity of the engines",
    "generation_int8": "What 8 bits change in the sounds",
    "generation_table": "Generation: all models and ablations",
    "kind_probe": "The probe of 25 kinds of effects and ambiences",
    "kinds_table": "Kinds and attacks of generated sounds",
    "latency": "Latency of a whole process",
    "lengths": "Cost by sampler, length and number of sounds",
    "lengths_vnni": "Cost by sampler on a processor without matrix units",
    "live": "Live mode of the studio",
    "lora_few_steps": "Adapters on few-step models, on a toy",
    "lora_timbre": "An adapter for a timbre",
    "precision_table": "Precisions of the torch engine",
    "published_parity": "Parity with the public programs, over every kind of published model",
    "published_training": "Training of a shrunk stable-audio-open-small, and back in the public program",
    "sao_cpu": "Stable Audio Open small on a CPU with matrix units",
    "sao_cpu_vnni": "Stable Audio Open small on a CPU without matrix units",
    "sao_edge": "Stable Audio Open small on the edge runner",
    "serve_load": "The server under load",
    "silence_table": "How often short sounds are silent",
    "train_corpus_clap": "The small CLAP trained on our corpus",
    "web_page": "The engine in a page",
}


def render(name: str, folder: Path = results.FOLDER) -> str:
    """Render the content of a block. Raises: ValueError for a name that no benchmark writes."""
    if name not in BLOCKS:
        raise ValueError(f'the generated block is called "{name}", but must be one of {", ".join(BLOCKS)}.')
    source, block = BLOCKS[name]
    result = results.read(source, folder)
    if result is None:
        return f"Not measured yet: `python -m benchmarks.{source}` does it."
    text = block(result)
    if source not in TITLES or name in SHORT:
        return text
    return text.replace(results.footer(result), short_footer(result))


def short_footer(result: JSON) -> str:
    """Say when and where something was measured, with a link to settings and command."""
    measured = machine.sentence(result["machine"])
    return f"Measured {result['date']}, {measured}. [Settings and command]({LINK}{full_name(result)})."


def full_name(result: JSON) -> str:
    """Name the dated file of a result."""
    return f"{result['date']}-{result['name'].replace('_', '-')}.md"


def full_page(result: JSON) -> str:
    """Write the dated file of a result: every table in full, with settings, machine and command."""
    name = result["name"]
    tables = [block(result) for key, (source, block) in BLOCKS.items() if source == name and key not in SHORT]
    note = f"<!-- Written by `python -m benchmarks.report` from {name}.json. -->"
    text = "\n\n".join([note, f"# {TITLES[name]}, {result['date']}", *tables]) + "\n"
    return re.sub(r"\]\((?!https?:|#)([\w/.-]+\.md)", r"](../../docs/\1", text)


def full_pages(folder: Path = results.FOLDER) -> dict[Path, str | None]:
    """Find the dated files that differ from the results: their text, or None for one that is out of date."""
    found = {name: results.read(name, folder) for name in TITLES}
    fresh: dict[Path, str | None] = {folder / full_name(one): full_page(one) for one in found.values() if one}
    for path in folder.glob("*.md"):
        fresh.setdefault(path, None)
    return {path: text for path, text in fresh.items() if (path.read_text() if path.is_file() else None) != text}


def full_list(folder: Path = results.FOLDER) -> str:
    """Render the list of the dated files, the newest first."""
    found = [one for one in (results.read(name, folder) for name in TITLES) if one]
    found.sort(key=lambda one: (one["date"], one["name"]), reverse=True)
    rows = [[f"[{TITLES[one['name']]}]({LINK}{full_name(one)})", one["date"], _processor(one)] for one in found]
    lines = [
        "| table | measured | processor |",
        "| --- | --- | --- |",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines)


def _processor(result: JSON) -> str:
    return str(result["machine"]["processor"]).replace("(R)", "")


def refreshed(text: str, folder: Path = results.FOLDER, page: Path | None = None) -> str:
    """Render the blocks of a page again.

    Args:
        text: the page.
        folder: the stored results.
        page: where the page is, for links to the dated files; without it they are relative to the repository.

    Returns:
        The page with fresh blocks.

    Raises:
        ValueError: for unknown names and for markers without an end.
    """
    target = "benchmarks/results/"
    if page is not None:
        target = os.path.relpath(results.FOLDER, page.parent) + "/"

    def block(match: re.Match[str]) -> str:
        return f"{match[1]}{render(match['name'], folder).replace(LINK, target)}\n{match[3]}"

    fresh, num_blocks = _BLOCK.subn(block, text)
    if num_blocks != len(_MARKER.findall(text)):
        raise ValueError("a generated block has no end: the marker <!-- /generated --> is missing.")
    return fresh


def pages(root: Path = ROOT) -> list[Path]:
    """All pages that may hold blocks."""
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])


def stale(paths: Iterable[Path], folder: Path = results.FOLDER) -> list[Path]:
    """The pages whose blocks differ from the results."""
    return [path for path in paths if refreshed(path.read_text(), folder, path) != path.read_text()]


def main(arguments: list[str] | None = None) -> int:
    """Write the blocks, or with --check name the stale pages. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail if a page is stale")
    check = parser.parse_args(arguments).check
    old = stale(pages())
    for path in old:
        if not check:
            path.write_text(refreshed(path.read_text(), page=path))
        print(f"{path.relative_to(ROOT)}: {'stale, run python -m benchmarks.report' if check else 'written'}")
    full = full_pages()
    for path, text in full.items():
        if not check and text is not None:
            path.write_text(text)
        elif not check:
            path.unlink()
        print(f"{path.relative_to(ROOT)}: {'stale, run python -m benchmarks.report' if check else 'written'}")
    return 1 if check and (old or full) else 0


if __name__ == "__main__":
    sys.exit(main())
