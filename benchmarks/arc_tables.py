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
    names = {"public": "released trainer's arithmetic", "ours": "arctone", "by_item": "arctone, one item at a time"}
    rows = []
    for side, name in names.items():
        one = result[side]
        times = (
            f"{one['seconds'][full]:.1f} ({one['speed_up']:.2f}x)",
            f"{mean(one['seconds'].values()):.1f} ({one['speed_up_of_mix']:.2f}x)",
        )
        rows.append([name, *times, f"{one['peak_mb'] / 1000:.2f} ({one['memory_ratio']:.2f}x)"])
    head = [
        "a pair of updates",
        "full-length clips, s (speed)",
        "clips of 3 to 12 s, s (speed)",
        "peak memory, GB (part)",
    ]
    return f"{results.table(head, rows)}\n\n{results.footer(result)}"
