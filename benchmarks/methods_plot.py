"""A dot plot as SVG text: what each method gains over the first stage, and what it costs, a row each. Knows no files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

ROW, TOP = 24, 70
NAMES, GAINS, COSTS, GAP = 210, 420, 240, 30  # widths: names, the two panels, and what stands between them
WIDTH = NAMES + GAINS + COSTS + 3 * GAP
_COLOURS = {"rerank": "#1f6f8b", "reformulate": "#c8553d"}
_LEAST_SECONDS = 0.001  # what took no time stands at the left edge


@dataclass(frozen=True, kw_only=True)
class Point:
    """What one method gains and costs with one model: mean seconds per query, and mean difference in nDCG@10.

    `low`, `high`: the ends of the difference's 95% interval. `model`: what the legend calls it by; empty where all points
    are of one.
    """

    name: str
    kind: str
    seconds: float
    gain: float
    low: float
    high: float
    model: str = ""


def plot(points: Sequence[Point], models: Sequence[str] = ("",)) -> str:
    """Best gain first; gains left and right of a line at 0, seconds on a logarithmic axis beside them.

    `models`: those of the points, the one last that rows are ordered by; its dots are full and those of others hollow.
    """
    if not points:
        return _svg([_text(WIDTH / 2, TOP, "nothing is measured yet", "middle")], TOP + ROW)
    rows = _rows(points, models)
    bottom = TOP + ROW * len(rows)
    middle = NAMES + GAP + GAINS / 2
    most = max(0.01, *(max(abs(point.low), abs(point.high)) for point in points))
    logs = {point: math.log10(max(point.seconds, _LEAST_SECONDS)) for point in points}
    left = math.floor(min(logs.values()))
    right = max(math.ceil(max(logs.values())), left + 1)

    def gained(gain: float) -> float:
        return middle + gain / (1.1 * most) * GAINS / 2

    def took(log: float) -> float:
        return NAMES + GAINS + 2 * GAP + (log - left) / (right - left) * COSTS

    drawn = [_text(NAMES + GAP, 20, "difference in nDCG@10 to the first stage, mean over sets, 95% interval", "start")]
    drawn.append(_text(took(left), 20, "seconds per query", "start"))
    for edge in (-most, 0.0, most):
        drawn += [
            _line(gained(edge), TOP - 12, bottom),
            _text(gained(edge), TOP - 18, f"{edge:+.2f}" if edge else "0", "middle"),
        ]
    for power in range(left, right + 1):
        drawn += [_line(took(power), TOP - 12, bottom), _text(took(power), TOP - 18, f"{10.0**power:g}", "middle")]
    for at, (name, of_models) in enumerate(rows.items()):
        middle_of_row = TOP + ROW * (at + 0.5)
        drawn.append(_text(NAMES, middle_of_row + 4, name, "end"))
        for model, point in of_models.items():
            place = models.index(model)
            height = middle_of_row + 7 * (place - (len(models) - 1) / 2)
            colour, full = _COLOURS.get(point.kind, "#555555"), place == len(models) - 1
            drawn.append(_bar(gained(point.low), gained(point.high), height, colour))
            drawn += [_dot(across, height, colour, full) for across in (gained(point.gain), took(logs[point]))]
    for at, (kind, colour) in enumerate(_COLOURS.items()):
        drawn += [_dot(10, 16 + 18 * at, colour), _text(20, 20 + 18 * at, f"{kind}.*", "start")]
    for at, model in enumerate(models if len(models) > 1 else ()):
        drawn += [
            _dot(120, 16 + 18 * at, "#555555", at == len(models) - 1),
            _text(130, 20 + 18 * at, model, "start"),
        ]
    return _svg(drawn, bottom + ROW)


def _rows(points: Sequence[Point], models: Sequence[str]) -> Mapping[str, Mapping[str, Point]]:
    """Method -> model -> its point; the best with the last model first, what that one did not run behind."""
    rows: dict[str, dict[str, Point]] = {}
    for point in points:
        rows.setdefault(point.name, {})[point.model] = point

    def worth(row: Mapping[str, Point]) -> tuple[bool, float]:
        last = row.get(models[-1])
        return last is None, -(last or max(row.values(), key=lambda point: point.gain)).gain

    return dict(sorted(rows.items(), key=lambda item: worth(item[1])))


def _dot(x: float, y: float, colour: str, full: bool = True) -> str:
    fill = colour if full else "white"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{fill}" stroke="{colour}"/>'


def _bar(left: float, right: float, y: float, colour: str) -> str:
    return f'<line x1="{left:.1f}" y1="{y:.1f}" x2="{right:.1f}" y2="{y:.1f}" stroke="{colour}"/>'


def _line(x: float, top: float, bottom: float) -> str:
    return f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}" stroke="#cccccc"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(drawn: Sequence[str], height: float) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height:g}" fill="white"/>', *drawn, "</svg>", ""])
