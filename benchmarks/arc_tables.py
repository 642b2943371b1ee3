"""Tables of the ARC benchmarks from their stored results; needs no torch."""

from __future__ import annotations

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
    rows = [
        [name, f"{result[side]['seconds']:.1f}", f"{result[side]['peak_mb'] / 1000:.2f}"]
        for name, side in (("released trainer's arithmetic", "public"), ("arctone", "ours"))
    ]
    table = results.table(["updates", "processor seconds for a pair", "peak memory, GB"], rows)
    verdict = f"{result['speed_up']:.2f} times as fast, {result['memory_ratio']:.2f} of the memory."
    return f"{table}\n\n{verdict}\n\n{results.footer(result)}"
