"""A report as rows of text, as Markdown and as JSON."""

from __future__ import annotations

import msgspec

from arctone.evaluation.scoring.measurement import BETTER, Measurement, Report, Suspect

HEAD = ("measure", "better", "embedder", "value", "95 % interval", "real", "at equal number", "chance", "sounds")
LEGEND = (
    "real: the same measure on real sounds; for distances and neighbourhoods between two random halves of the real "
    "set, and 'at equal number' is the generated set cut to as many sounds. chance: what unrelated pairs score."
)


def rows(report: Report) -> list[tuple[str, ...]]:
    """One row of cells for each measurement, in the order of `HEAD`."""
    return [_row(one) for one in report.measurements]


def as_json(report: Report) -> bytes:
    """The whole report, indented; the same report gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def as_markdown(report: Report) -> str:
    """A page with the table, what was left out, suspects of copying, and where the embedders come from."""
    counts = ", ".join(f"{count} {name}" for name, count in report.counts.items())
    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items() if value is not None)
    parts = [f"# {report.judged}", f"Sounds: {counts}. arctone {report.version}; {settings}."]
    parts += [table(HEAD, rows(report)), LEGEND]
    parts += _section("Notes", sorted({f"{m.metric}, {m.embedder}: {m.note}" for m in report.measurements if m.note}))
    parts += _section("Not measured", [f"{one.metric}, {one.embedder}: {one.reason}" for one in report.skipped])
    parts += _section("Suspected copies", [_suspect(one) for one in report.suspects])
    parts += _section("Left out", report.left_out)
    versions = {one.embedder: one.version for one in report.measurements}
    credits = [f"{name} ({versions.get(name, 'not used')}): {credit}" for name, credit in report.credits.items()]
    return "\n\n".join([*parts, *_section("Embedders", credits)]) + "\n"


def table(head: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    """A Markdown table; numbers stand to the right."""
    lines = [head, tuple("---" if n < 3 else "---:" for n in range(len(head))), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"## {title}", "\n".join(f"- {line}" for line in lines)] if lines else []


def _suspect(one: Suspect) -> str:
    likeness = f"cosine {one.similarity:.3f}, waveform {one.waveform:.2f}, spectrum {one.spectrum:.2f}"
    return f"{one.generated} is near {one.training} ({one.embedder}: {likeness})"


def _row(one: Measurement) -> tuple[str, ...]:
    sounds = str(one.count) if one.reference_count is None else f"{one.count} / {one.reference_count}"
    matched = "" if one.matched is None else f"{_number(one.matched)} ({one.matched_count})"
    return (
        one.metric,
        BETTER.get(one.metric, ""),
        one.embedder,
        _number(one.value),
        f"{_number(one.low)} to {_number(one.high)}",
        _number(one.real),
        matched,
        _number(one.chance),
        sounds,
    )


def _number(value: float | None) -> str:
    """As many digits as a reader can use: 0.123, 12.3, 1234."""
    if value is None:
        return ""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"
