"""The four tables of docs/benchmarks.md and its figure, joined from the stored results. Nothing is measured here.

python -m benchmarks.questions     draws docs/figures/steps.png
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import leaderboard, results
from benchmarks.results import JSON, ROOT

FIGURE = ROOT / "docs" / "figures" / "steps.png"
FLOW = "flow model, guided"
SPARK = "spark"
ARC = "ARC from the flow model"
# Series of the figure: title, and (network calls, row of the table of generation) from few to many.
SERIES: dict[str, list[tuple[int, str]]] = {
    FLOW: [(8, "base, 4 steps"), (16, "base, 8 steps"), (40, "base, 20 steps"), (200, "base, 100 steps")],
    SPARK: [(1, "spark, 1 step"), (2, "spark, 2 steps"), (4, "spark, 4 steps"), (8, "spark, 8 steps")],
    ARC: [(1, "ARC, 1 step"), (2, "ARC, 2 steps"), (4, "ARC, 4 steps"), (8, "ARC, 8 steps")],
}
GOOD = {
    "real, other clips": "real sounds of other prompts",
    "real, decoded": "real sounds through the autoencoder",
    "base, 100 steps": "flow model, 100 guided steps (the teacher)",
    "spark, 8 steps": "**spark**, 8 steps",
    "before adversarial training, 8 steps": "spark before adversarial training, 8 steps",
    "guidance distilled longer, 8 Euler steps": "guidance distillation alone, 8 steps",
    "ARC, 8 steps": "ARC as published, from the flow model, 8 steps",
    "distribution matching, 8 steps": "distribution matching (DMD2), 8 steps",
}
QUALITY = {
    "distance (FD)": ("frechet_distance/aisfx", 1),
    "text score": ("text_audio_score/corpus-clap", 3),
    "recall": ("recall/aisfx", 2),
    "diversity (CCDS)": ("conditional_diversity/corpus-clap", 3),
}


def fast_block(_: JSON) -> str:
    """Render "How fast?": seconds for 11.89 s of sound by situation, with the model's version and the processor."""
    whole, loaded, plain, published = (_read(name) for name in ("latency", "lengths", "lengths_vnni", "sao_cpu"))
    minute = next(row for row in loaded["lengths"] if row["seconds_of_sound"] == 60)
    int8 = next(row for row in published["rows"] if row["name"] == "arctone native, int8")
    rows = [
        ["process start to file, 8 steps", f"{whole['process_seconds']['median']:.2f}", *_origin(whole)],
        *([f"in a running program, {_title(row)}", _seconds(row), *_origin(loaded)] for row in _wanted(loaded)),
        ["in a running program, 8 steps", _seconds(_eight(plain)), *_origin(plain, ", no matrix units")],
        ["60 s of sound, overlapping windows, guided", f"{minute['seconds']:.1f}", *_origin(loaded)],
        ["int8, 8 steps", f"{int8['total']:.2f}", "Stable Audio Open small, random weights", _processor(published)],
    ]
    return results.table(["what", "seconds", "model", "two cores of"], rows)


def good_block(table: JSON) -> str:
    """Render "How good?": distance, score, recall and diversity on the same held-out prompts."""
    rows = [[title, *_quality(table["rows"][row])] for row, title in GOOD.items()]
    return "\n\n".join([results.table(["sounds", *QUALITY], rows), _explanation(table)])


def steps_block(table: JSON) -> str:
    """Render "How many steps?": the flow model and spark by network calls."""
    rows = []
    for series in (FLOW, SPARK):
        for calls, row in reversed(SERIES[series]):
            cells = table["rows"][row]
            quality = [results.number(cells.get(name), digits) for name, digits in list(QUALITY.values())[:2]]
            rows.append([series, row.split(", ")[1].split()[0], str(calls), *quality, _latency(cells)])
    head = ["model", "steps", "network calls", "distance (FD)", "text score", "latency, s"]
    timed = {name: results.processor(results.machine_of(SERIES[name][0][1], table)) for name in (FLOW, SPARK)}
    machines = "; ".join(f"{name} on {machine}" for name, machine in timed.items())
    return "\n\n".join([results.table(head, rows), f"Latency: process start to file, two cores ({machines})."])


def others_block(_: JSON) -> str:
    """Render "Against others?": seconds of public programs and of arctone for the same work on the same machine."""
    rows = []
    for name, machine in (("sao_cpu", "with matrix units"), ("sao_cpu_vnni", "without them")):
        totals = {row["name"]: row["total"] for row in _read(name)["rows"]}
        for ours, theirs in ((", float32", "float32"), (", bfloat16", "bfloat16"), (" native, int8", "float32")):
            precision = "float32, ours int8" if "int8" in ours else theirs
            title = f"Stable Audio Open small, 8 steps, {precision}, CPU {machine}"
            rows.append(_ratio(title, totals[f"public, {theirs}"], totals[f"arctone{ours}"]))
    update = _read("arc_update")
    mixed = sum(update["ours"]["seconds"].values()) / len(update["ours"]["seconds"])
    theirs = update["public"]["seconds"]["256"]
    rows.append(_ratio("ARC update of generator and discriminator, clips of 3 to 12 s", theirs, mixed))
    cost = {one["decoder"]: one["processor_seconds"] for one in _read("decoder_table")["costs"]}
    rows.append(_ratio("decode one second: Oobleck decoder, ours spectral", cost["oobleck"], cost["spectral"]))
    return results.table(["the same work", "public program, s", "arctone, s", "times as fast"], rows)


def draw(table: JSON, path: Path) -> None:
    """Draw distance against network calls, with 95 % intervals and the floor of real sounds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for (title, points), marker in zip(SERIES.items(), "so^", strict=True):
        cells = [table["rows"][row]["frechet_distance/aisfx"] for _, row in points]
        values = [cell["value"] for cell in cells]
        low = [cell["value"] - cell["low"] for cell in cells]
        high = [cell["high"] - cell["value"] for cell in cells]
        axes.errorbar([calls for calls, _ in points], values, [low, high], marker=marker, capsize=3, label=title)
    decoded = table["rows"]["real, decoded"]["frechet_distance/aisfx"]["value"]
    axes.axhline(decoded, ls=":", c="gray", label="real, decoded")
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 4, 8, 16, 40, 200], [1, 2, 4, 8, 16, 40, 200], minor=False)
    axes.minorticks_off()
    axes.set_xlabel("network calls for one sound")
    axes.set_ylabel("distance to real sounds (FD)")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)


def headline_block(_: JSON) -> str:
    """Render the three numbers of the README, each with its hardware or its prompts."""
    whole, table = _read("latency"), _read("generation_table")
    spark, base = (table["rows"][name]["frechet_distance/aisfx"] for name in ("spark, 8 steps", "base, 100 steps"))
    return "\n".join(
        [
            f"- **{whole['process_seconds']['median']:.1f} s** from process start to file for "
            f"{whole['audio_seconds']:.0f} s of sound, on {whole['machine']['cores']} cores of an {_processor(whole)} "
            f"({leaderboard.model_of(whole)}, {whole['date']}).",
            "- **8 evaluations of the network** give sounds as close to real ones as 200 evaluations of its teacher, "
            f"the flow model with 100 guided steps: Frechet distance {results.number(spark, 1)} "
            f"against {results.number(base, 1)}, lower is better, on "
            f"{table['settings']['prompts']} held-out prompts.",
            f"- **{whole['environment_megabytes']:.0f} MB** for the whole environment; no torch, no GPU, no internet "
            "connection.",
        ]
    )


def _read(name: str) -> JSON:
    found = results.read(name)
    if found is None:
        raise SystemExit(f"benchmarks/results/{name}.json is missing.")
    return found


def _processor(result: JSON) -> str:
    return results.processor(result["machine"])


def _origin(result: JSON, more: str = "") -> list[str]:
    """Cells of a row: version of the model, processor."""
    return [leaderboard.model_of(result), _processor(result) + more]


def _seconds(row: JSON) -> str:
    return f"{row['seconds']:.2f}"


def _wanted(loaded: JSON) -> list[JSON]:
    return [row for row in loaded["samplers"] if row["title"] != "8 steps, guided"]


def _title(row: JSON) -> str:
    return str(row["title"]).removesuffix(", no guidance")


def _eight(loaded: JSON) -> JSON:
    return next(row for row in loaded["samplers"] if row["title"] == "8 steps, no guidance")


def _quality(cells: JSON) -> list[str]:
    return [results.number(cells.get(name), digits) for name, digits in QUALITY.values()]


def _latency(cells: JSON) -> str:
    return f"{cells['cost']['latency_seconds']['value']:.2f}"


def _ratio(title: str, theirs: float, ours: float) -> list[str]:
    return [title, f"{theirs:.2f}", f"{ours:.2f}", f"{theirs / ours:.1f}"]


def _explanation(table: JSON) -> str:
    return (
        f"{table['settings']['prompts']} held-out prompts, brackets: 95 % intervals. FD: Frechet distance of aiSFX "
        "embeddings, lower is better. Text score: cosine of prompt and sound under a small CLAP trained on our corpus. "
        "Recall: share of real sounds with a generated neighbor. CCDS: mean cosine distance of four sounds of a prompt."
    )


def main() -> None:
    """Draw the figure."""
    draw(_read("generation_table"), FIGURE)
    print(FIGURE.relative_to(ROOT))


if __name__ == "__main__":
    main()
