"""Where documents leave, as a picture: a Sankey diagram with one stream that gets narrower from node to node.

Drawn here and not by matplotlib, whose Sankey chains figures by hand and has no columns of nodes, and whose colours are
fixed: this one takes the page's, on light and on dark paper, and needs nothing that may not be installed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ragline_lab.lost.fate import LABELS, Label
from ragline_lab.lost.report import Lost
from ragline_lab.pages.document import escaped
from ragline_lab.pages.svg import fitted, line_of_text, picture, width_of

COLOUR: dict[Label, int] = {
    "kept": 2,
    "never found": 7,
    "cut": 5,
    "fell": 1,
    "too low": 3,
    "failed": 6,
    "prompt": 4,
    "not cited": 0,
}
"""Label -> its colour of the page, `c0` to `c7`."""

_STEP, _BAR, _TOP, _HEIGHT, _LEAVING, _FALL, _LINE = 168, 10, 44, 260, 52, 30, 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A node, or all legs together: what arrives there, and what leaves there for good."""

    name: str
    arriving: int
    leaving: tuple[tuple[Label, int], ...]

    @property
    def staying(self) -> int:
        """How many go on from here."""
        return self.arriving - sum(n for _, n in self.leaving)


def columns(lost: Lost) -> list[Column]:
    """The legs, then every later node on the way; where answers were written, also the prompt and the writer.

    A document that failed at a node that has no column leaves at the legs, or, if the rankings had passed it, as where a
    check failed, at the end.
    """
    names = ["", *(stage.name for stage in lost.stages.later), *lost.answering]
    losses: dict[str, Counter[Label]] = {name: Counter() for name in names}
    for each in lost.gold:
        label, node = each.fate.label, each.fate.node
        if label == "kept":
            continue
        if node not in names:
            node = names[-1] if label == "failed" and lost.stages.last.name in each.ranks else ""
        losses[node][label] += 1
    drawn: list[Column] = []
    arriving = lost.n_gold
    for name, counted in losses.items():
        title = name or " + ".join(leg.name for leg in lost.stages.legs)
        leaving = tuple((label, counted[label]) for label in LABELS if label in counted)
        drawn.append(Column(name=title, arriving=arriving, leaving=leaving))
        arriving = drawn[-1].staying
    return drawn


def flow(title: str, way: Sequence[Column], *, begin: str, end: str) -> str:
    """A stream from left to right: at each column it is as high as what stays, and what leaves bends down out of it.

    Args:
        way: at least one column, where at least one document arrives.
        begin, end: what the stream is called before the first column and after the last.
    """
    unit = _HEIGHT / way[0].arriving
    lowest = float(_TOP + _HEIGHT)
    drawn: list[str] = [_bar(0, way[0].arriving * unit), *_heading(0, begin, way[0].arriving)]
    for number, column in enumerate(way, start=1):
        left, after = number * _STEP, column.staying * unit
        drawn += _heading(left, column.name, column.staying)
        shape = f'x="{left - _STEP + _BAR:g}" y="{_TOP}" width="{_STEP - _BAR:g}" height="{after:.1f}"'
        told = f"<title>{escaped(f'{column.name}: {column.staying:,}')}</title>"
        drawn.append(f'<rect class="band c{COLOUR["kept"]}" {shape}>{told}</rect>')
        drawn.append(_bar(left, after))
        leaving, bottom = _leaving(column, left - _STEP + _BAR, after, unit)
        drawn += leaving
        lowest = max(lowest, bottom)
    last = len(way) * _STEP + _BAR
    kept = f"{end} {way[-1].staying:,}"
    drawn.append(line_of_text(last + 8, _TOP + max(12.0, way[-1].staying * unit / 2), kept, "start"))
    return picture(title, last + 24 + width_of(kept), round(lowest), drawn)


def _leaving(column: Column, left: float, top: float, unit: float) -> tuple[list[str], float]:
    """What leaves on the way to a column, and how low it reaches.

    A band for each label, bent down below what stays, and its name and number.
    """
    drawn: list[str] = []
    line = bottom = 0.0
    for label, n in column.leaving:
        height = n * unit
        begin, end = _TOP + top, _TOP + top + _FALL
        middle, right = left + _LEAVING / 2, left + _LEAVING
        path = (
            f"M{left:g} {begin:.1f}C{middle:g} {begin:.1f} {middle:g} {end:.1f} {right:g} {end:.1f}"
            f"v{max(height, 1):.1f}C{middle:g} {end + height:.1f} {middle:g} {begin + height:.1f} {left:g} {begin + height:.1f}z"
        )
        told = escaped(f"{column.name}, {label}: {n:,}")
        drawn.append(f'<path class="band c{COLOUR[label]}" d="{path}"><title>{told}</title></path>')
        line = max(end + height / 2 + 4, line + _LINE)  # names of narrow bands stand below one another
        drawn.append(line_of_text(right + 5, line, f"{label} {n:,}", "start"))
        top += height
        bottom = max(line, end + height)
    return drawn, bottom + _LINE / 2


def _bar(left: float, height: float) -> str:
    return f'<rect class="stage" x="{left:g}" y="{_TOP}" width="{_BAR}" height="{max(height, 1):.1f}"/>'


def _heading(left: float, name: str, n: int) -> list[str]:
    return [
        line_of_text(left, _TOP - 24, fitted(name, _STEP - 14), "start", full=name),
        line_of_text(left, _TOP - 8, f"{n:,}", "start", look="scale"),
    ]
