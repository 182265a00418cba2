"""Bars and a radar as SVG text. Knows no files. More systems than there are colours begin again with the first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ragline_lab.pages.document import escaped
from ragline_lab.pages.svg import COLOURS, fitted, line_of_text, picture, width_of

_ROW, _WIDEST_NAME, _BARS, _VALUES, _TOP = 22, 180, 200, 64, 6
_RADIUS, _AROUND, _ABOVE, _RINGS = 150, 110, 24, 4
_NOTHING = 1e-9  # a scale cannot be told from 0 below it
MARKS = {"higher": "▲", "lower": "▼", "": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar: a name, a value with its interval if it has one, and a mark behind it. `colour` None: an outline alone."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    verdict: str = ""
    colour: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One system of a radar: a value for each axis."""

    name: str
    values: tuple[float, ...]
    colour: int


def bars(title: str, rows: Sequence[Bar], *, most: float, room: float) -> str:
    """A row for each bar.

    Args:
        title: what the picture shows, for those who hear it.
        most: the value that fills the width. `room`: for names (`room_for`). Equal in pictures that stand side by side.
    """
    names = room + 8
    drawn = [f'<line class="axis" x1="{names:g}" y1="0" x2="{names:g}" y2="{2 * _TOP + _ROW * len(rows)}"/>']
    for place, bar in enumerate(rows):
        top = _TOP + _ROW * place
        middle = top + _ROW / 2
        end = length = _along(bar.value, most)
        look = "published" if bar.colour is None else f"bar c{bar.colour % COLOURS}"
        drawn.append(line_of_text(names - 8, middle + 4, fitted(bar.name, room), "end", full=bar.name))
        drawn.append(
            f'<rect class="{look}" x="{names:g}" y="{top + 4:g}" width="{length:.1f}" height="{_ROW - 8}" rx="2"/>'
        )
        if bar.low is not None and bar.high is not None:
            end = max(length, _along(bar.high, most))
            low, high = (names + _along(each, most) for each in (bar.low, bar.high))
            ends = "".join(f"M{x:.1f} {middle - 3:g}v6" for x in (low, high))
            drawn.append(f'<path class="whisker" d="M{low:.1f} {middle:g}H{high:.1f}{ends}"/>')
        value = f"{bar.value:.3f} {MARKS[bar.verdict]}".rstrip()
        drawn.append(line_of_text(names + end + 6, middle + 4, value, "start", look=bar.verdict))
    return picture(title, names + _BARS + _VALUES, 2 * _TOP + _ROW * len(rows), drawn)


def room_for(names: Sequence[str]) -> float:
    """The width that bars need for these names, as long as none is too long."""
    return max((min(_WIDEST_NAME, width_of(name)) for name in names), default=0.0)


def radar(title: str, axes: Sequence[str], outlines: Sequence[Outline], *, most: float) -> str:
    """One axis for each set, from 0 in the middle to `most`; three axes at the least."""
    middle, centre = _RADIUS + _AROUND, _RADIUS + _ABOVE

    def point(axis: int, value: float) -> tuple[float, float]:
        angle = 2 * math.pi * axis / len(axes) - math.pi / 2
        reach = _RADIUS * max(0.0, min(1.0, value / most))
        return middle + reach * math.cos(angle), centre + reach * math.sin(angle)

    lowest = max(point(axis, most)[1] for axis in range(len(axes)))
    rings = [most * ring / _RINGS for ring in range(1, _RINGS + 1)]
    drawn = [_polygon([point(axis, ring) for axis in range(len(axes))], "ring") for ring in rings]
    drawn += [_axis(point(axis, 0), point(axis, most), name) for axis, name in enumerate(axes)]
    for outline in outlines:
        colour = f"c{outline.colour % COLOURS}"
        corners = [point(axis, value) for axis, value in enumerate(outline.values)]
        drawn.append(_polygon(corners, f"outline {colour}", full=outline.name))
        drawn += [f'<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in corners]
    drawn += [line_of_text(middle - 5, point(0, ring)[1] + 4, f"{ring:.3g}", "end", look="scale") for ring in rings]
    return picture(title, 2 * middle, lowest + _ABOVE, drawn)


def _axis(centre: tuple[float, float], end: tuple[float, float], name: str) -> str:
    """A line outwards, and its name beyond the end, on the side where there is room."""
    across, down = (one - other for one, other in zip(end, centre, strict=True))
    beside = abs(across) > _RADIUS / 10
    anchor = "middle" if not beside else "start" if across > 0 else "end"
    room = _AROUND - 14 if beside else 2 * _AROUND
    at = (end[0] + across / _RADIUS * 10, end[1] + down / _RADIUS * 14 + 4)
    line = f'<line class="ring" x1="{centre[0]:g}" y1="{centre[1]:g}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"/>'
    return line + line_of_text(*at, fitted(name, room), anchor, full=name)


def scale(values: Sequence[float]) -> float:
    """A round number that none of the values passes.

    >>> scale([0.61, 0.74]), scale([0.03]), scale([])
    (0.8, 0.04, 1.0)
    """
    highest = max(values, default=0.0)
    if highest <= _NOTHING:
        return 1.0
    step = 10.0 ** math.floor(math.log10(highest))
    return next(round(step * n, 12) for n in (1, 2, 4, 6, 8, 10) if step * n >= highest - 1e-12)


def _along(value: float, most: float) -> float:
    return _BARS * max(0.0, min(1.0, value / most))


def _polygon(points: Sequence[tuple[float, float]], look: str, *, full: str = "") -> str:
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    title = f"<title>{escaped(full)}</title>" if full else ""
    return f'<polygon class="{look}" points="{corners}">{title}</polygon>'
