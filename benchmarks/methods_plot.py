"""A dot plot as SVG text: what each method gains over the first stage, and what it costs, a row each. Knows no files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

ROW, TOP = 20, 70
NAMES, GAINS, COSTS, GAP = 210, 420, 240, 30  # widths: names, the two panels, and what stands between them
WIDTH = NAMES + GAINS + COSTS + 3 * GAP
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
    """Best gain first; gains left and right of a line at 0, seconds on a logarithmic axis beside them."""
    if not points:
        return _svg([_text(WIDTH / 2, TOP, "nothing is measured yet", "middle")], TOP + ROW)
    bottom = TOP + ROW * len(points)
    middle = NAMES + GAP + GAINS / 2
    most = max(0.01, *(abs(point.gain) for point in points))
    logs = [math.log10(max(point.seconds, _LEAST_SECONDS)) for point in points]
    left, right = math.floor(min(logs)), max(math.ceil(max(logs)), math.floor(min(logs)) + 1)

    def gained(gain: float) -> float:
        return middle + gain / (1.1 * most) * GAINS / 2

    def took(log: float) -> float:
        return NAMES + GAINS + 2 * GAP + (log - left) / (right - left) * COSTS

    drawn = [_text(NAMES + GAP, 20, "difference in nDCG@10 to the first stage, mean over what is measured", "start")]
    drawn.append(_text(took(left), 20, "seconds per query", "start"))
    for edge in (-most, 0.0, most):
        drawn += [
            _line(gained(edge), TOP - 12, bottom),
            _text(gained(edge), TOP - 18, f"{edge:+.2f}" if edge else "0", "middle"),
        ]
    for power in range(left, right + 1):
        drawn += [_line(took(power), TOP - 12, bottom), _text(took(power), TOP - 18, f"{10.0**power:g}", "middle")]
    for at, (log, point) in enumerate(sorted(zip(logs, points, strict=True), key=lambda pair: -pair[1].gain)):
        height, colour = TOP + ROW * (at + 0.5), _COLOURS.get(point.kind, "#555555")
        drawn.append(_text(NAMES, height + 4, point.name, "end"))
        drawn += [_dot(across, height, colour) for across in (gained(point.gain), took(log))]
    for at, (kind, colour) in enumerate(_COLOURS.items()):
        drawn += [_dot(10, 16 + 18 * at, colour), _text(20, 20 + 18 * at, f"{kind}.*", "start")]
    return _svg(drawn, bottom + ROW)


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'


def _line(x: float, top: float, bottom: float) -> str:
    return f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}" stroke="#cccccc"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(drawn: Sequence[str], height: float) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height:g}" fill="white"/>', *drawn, "</svg>", ""])
