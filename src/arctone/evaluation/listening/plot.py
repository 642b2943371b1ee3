"""The scores as a picture (SVG): a panel for each dimension, a dot and its interval for each condition."""

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from arctone.evaluation.listening.analysis import Analysis
from arctone.evaluation.listening.scales import SCALES, Dimension
from arctone.evaluation.listening.scores import SystemScore

_WIDTH, _LABELS, _MARGIN, _ROW, _HEAD, _FOOT = 720, 170, 30, 28, 40, 34
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1d1d1f}.head{font-weight:600}.axis{stroke:#c8c8cc}.range{stroke:#1f5fbf;"
    "stroke-width:2.5}.dot{fill:#1f5fbf}.back{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#ececee}.axis{stroke:#4a4a50}"
    ".range{stroke:#8bb4f7}.dot{fill:#8bb4f7}.back{fill:#17181a}}"
)


def plot(analysis: Analysis) -> str:
    """The picture as SVG text."""
    panels = {dimension: [s for s in analysis.scores if s.dimension == dimension] for dimension in analysis.key.limits}
    shapes: list[str] = []
    top = 0
    for dimension, scores in panels.items():
        if scores:
            shapes += _panel(dimension, scores, analysis.key.limits[dimension], top)
            top += _HEAD + _ROW * len(scores) + _FOOT
    words = f"Mean opinion scores with {analysis.confidence:.0%} intervals"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img" aria-label="{words}">'
        f"<title>{words}</title><style>{_STYLE}</style>"
        f'<rect class="back" width="{_WIDTH}" height="{top}"/>{"".join(shapes)}</svg>\n'
    )


def _panel(dimension: Dimension, scores: Sequence[SystemScore], limits: tuple[int, int], top: int) -> Iterator[str]:
    bottom = top + _HEAD + _ROW * len(scores)
    yield f'<text class="head" x="12" y="{top + 26}">{escape(SCALES[dimension].name)}</text>'
    low, high = limits
    for step in range(low, high + 1, 1 if high <= 10 else 20):
        x = _place(step, limits)
        yield f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{top + _HEAD - 4}" y2="{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{step}</text>'
    for row, score in enumerate(scores):
        yield from _row(score, limits, top + _HEAD + _ROW * row + _ROW / 2)


def _row(score: SystemScore, limits: tuple[int, int], y: float) -> Iterator[str]:
    mean = score.mean
    yield f'<text x="{_LABELS - 14}" y="{y + 4.5}" text-anchor="end">{escape(_short(score.system))}</text>'
    if not math.isnan(mean.low):
        first, last = _place(mean.low, limits), _place(mean.high, limits)
        yield f'<line class="range" x1="{first:.1f}" x2="{last:.1f}" y1="{y}" y2="{y}"/>'
    yield f'<circle class="dot" cx="{_place(mean.value, limits):.1f}" cy="{y}" r="5"/>'


def _place(value: float, limits: tuple[int, int]) -> float:
    low, high = limits
    return _LABELS + (value - low) / (high - low) * (_WIDTH - _LABELS - _MARGIN)


def _short(name: str) -> str:
    return name if len(name) <= 20 else name[:19] + "…"
