"""Tables of the ARC benchmarks from their stored results; needs no torch."""

from __future__ import annotations

from statistics import mean

from benchmarks import results
from benchmarks.results import JSON


def toy_block(result: JSON) -> str:
    """What each way of post-training found in the plane, from `arc_toy`."""
    head = ["way", "modes found of 8, by run", "on a mode of the prompt", "on one of the other prompt"]
    rows = [
        [
            row["name"],
            ", ".join(map(str, row["modes"])),
            f"{100 * row['on_mode']:.0f} %",
            f"{100 * row['wrong_prompt']:.1f} %",
        ]
        for row in result["rows"]
    ]
    return f"{results.table(head, rows)}\n\n{results.footer(result)}"


def update_block(result: JSON) -> str:
    """Time and memory of a pair of updates, from `arc_update`."""
    full = max(result["ours"]["seconds"], key=int)
    rows = []
    for name, side in (("released trainer's arithmetic", "public"), ("arctone", "ours")):
        seconds = result[side]["seconds"]
        memory = f"{result[side]['peak_mb'] / 1000:.2f}"
        rows.append([name, f"{seconds[full]:.1f}", f"{mean(seconds.values()):.1f}", memory])
    head = ["a pair of updates", "full-length clips, s", "clips of 3 to 12 s, s", "peak memory, GB"]
    full_ratio, mix_ratio, memory = (result[name] for name in ("speed_up", "speed_up_of_mix", "memory_ratio"))
    verdict = (
        f"{full_ratio:.2f} times as fast on clips of the full length, {mix_ratio:.2f} times on a mix of lengths; "
        f"{memory:.2f} of the memory."
    )
    return f"{results.table(head, rows)}\n\n{verdict}\n\n{results.footer(result)}"
