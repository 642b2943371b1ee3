"""The Arm results as a table."""

from __future__ import annotations

from benchmarks import results
from benchmarks.results import JSON

# What each stands for: products of 8-bit integers (dotprod), matrices of them (i8mm, SVE), a matrix unit (SME).
PROCESSORS = {"neoverse-n1": "dotprod", "neoverse-v1": "i8mm", "max": "SME"}


def block(result: JSON) -> str:
    """The table as Markdown."""
    head = ["model, processor", "least SNR to x86, dB", "KleidiAI kernels executed"]
    rows = [
        [
            _title(row),
            f"{min(row['snr_db'].values()):.1f}",
            "<br>".join(f"`{name}`" for name in row["kleidiai"]) or "none",
        ]
        for row in result["rows"]
    ]
    return "\n\n".join([results.table(head, rows), results.footer(result)])


def _title(row: JSON) -> str:
    known = PROCESSORS.get(row["processor"])
    return f"{row['model']}, {row['processor']}{f' ({known})' if known else ''}"
