"""A scatter plot as SVG text: what each method gains over the first stage, and what it costs. Knows nothing of files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT, MARGIN = 960, 560, 70
_COLOURS = {"rerank": "#1f6f8b", "reformulate": "#c8553d"}
_LEAST_SECONDS = 0.001  # what took no time stands at the left edge


@dataclass(frozen=True, kw_only=True)
class Point:
    """One method: mean seconds per query, and mean difference in nDCG@10."""

    name: str
    kind: str
    seconds: float
    gain: float


def plot(points: Sequence[Point]) -> str:
    """Seconds on a logarithmic axis to the right, gain upward, a line at 0."""
    if not points:
        return _svg([_text(WIDTH / 2, HEIGHT / 2, "nothing is measured yet", "middle")])
    logs = [math.log10(max(point.seconds, _LEAST_SECONDS)) for point in points]
    left, right = math.floor(min(logs)), max(math.ceil(max(logs)), math.floor(min(logs)) + 1)
    reach = max(0.01, *(abs(point.gain) for point in points)) * 1.1

    def x(log: float) -> float:
        return MARGIN + (log - left) / (right - left) * (WIDTH - 2 * MARGIN)

    def y(gain: float) -> float:
        return HEIGHT / 2 - gain / reach * (HEIGHT / 2 - MARGIN)

    drawn = [_line(MARGIN, y(0), WIDTH - MARGIN, y(0)), _text(MARGIN - 8, y(0) + 4, "0", "end")]
    for edge in (-reach / 1.1, reach / 1.1):
        drawn.append(_text(MARGIN - 8, y(edge) + 4, f"{edge:+.2f}", "end"))
    for power in range(left, right + 1):
        drawn += [_line(x(power), MARGIN, x(power), HEIGHT - MARGIN)]
        drawn += [_text(x(power), HEIGHT - MARGIN + 20, f"{10.0**power:g} s", "middle")]
    taken: list[tuple[float, float]] = []
    for log, point in sorted(zip(logs, points, strict=True), key=lambda pair: -pair[1].gain):
        across, up = x(log), y(point.gain)
        drawn.append(f'<circle cx="{across:.1f}" cy="{up:.1f}" r="4" fill="{_COLOURS.get(point.kind, "#555555")}"/>')
        drawn.append(_text(across + 7, _free(across, up + 4, taken), point.name, "start"))
    drawn.append(_text(WIDTH / 2, HEIGHT - 16, "seconds per query", "middle"))
    drawn.append(_text(MARGIN, 24, "difference in nDCG@10 to the first stage, mean over what is measured", "start"))
    for at, (kind, colour) in enumerate(_COLOURS.items()):
        drawn.append(f'<circle cx="{WIDTH - 200}" cy="{20 + 18 * at}" r="4" fill="{colour}"/>')
        drawn.append(_text(WIDTH - 190, 24 + 18 * at, f"{kind}.*", "start"))
    return _svg(drawn)


def _free(across: float, up: float, taken: list[tuple[float, float]]) -> float:
    """The height of a name, moved down until it covers no name before it."""
    while any(abs(across - other) < 150 and abs(up - height) < 12 for other, height in taken):
        up += 3
    taken.append((across, up))
    return up


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#cccccc"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(drawn: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *drawn, "</svg>", ""])
