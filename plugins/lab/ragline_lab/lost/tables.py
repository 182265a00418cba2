"""Rows as HTML, for the pages of the lab. Everything that is put in is text, and is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ragline_lab.lost.fate import Fate
from ragline_lab.lost.flow import COLOUR
from ragline_lab.pages.document import escaped


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A cell of prose, which may break into lines."""

    text: str


Cell = str | int | Fate | Words
"""A cell: text, a number, prose, or what became of a document."""


def table(heads: Sequence[str | Words], rows: Iterable[Sequence[Cell]]) -> str:
    """A table that scrolls by itself where the page is narrow. The first cell of a row is its head; that of prose is prose."""
    head = f'<th scope="col">{_text(heads[0])}</th>' + "".join(map(_head, heads[1:]))
    body = "".join(f'<tr><th scope="row">{_first(row[0])}</th>{"".join(map(_cell, row[1:]))}</tr>\n' for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>'


def _head(name: str | Words) -> str:
    look = ' class="text"' if isinstance(name, Words) else ""
    return f'<th scope="col"{look}><span>{_text(name)}</span></th>'


def _first(cell: Cell) -> str:
    return _fate(cell) if isinstance(cell, Fate) else f"<span>{_text(cell)}</span>"


def _cell(cell: Cell) -> str:
    if isinstance(cell, Fate):
        return f'<td class="text">{_fate(cell)}</td>'
    look = ' class="text"' if isinstance(cell, Words) else ""
    return f"<td{look}>{_text(cell)}</td>"


def _text(cell: str | int | Words) -> str:
    if isinstance(cell, Words):
        return escaped(cell.text)
    return f"{cell:,}" if isinstance(cell, int) else escaped(cell)


def _fate(fate: Fate) -> str:
    return f'<span class="fate c{COLOUR[fate.label]}">{escaped(told(fate))}</span>'


def told(fate: Fate) -> str:
    """A fate in words.

    >>> told(Fate(label="fell", node="fused")), told(Fate(label="kept"))
    ('fell at fused', 'kept')
    """
    return f"{fate.label} at {fate.node}" if fate.node else fate.label
