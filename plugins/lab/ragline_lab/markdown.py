"""Tables and names in Markdown. Names come from files and may be anything, so what Markdown reads in them is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rag.writing import printed_line

_READ = re.compile(r"([\\`*_\[\]<>&|~#$])")


def inert(text: str) -> str:
    """Text that stands in Markdown as it is, on one line: no link, no markup, no cell of its own.

    >>> inert("a|b <img> [x](y)")
    'a\\\\|b \\\\<img\\\\> \\\\[x\\\\](y)'
    """
    return _READ.sub(r"\\\1", printed_line(text))


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table; the first row has the names of the columns. Cells are escaped here."""
    head, *body = ([inert(cell) for cell in row] for row in rows)
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in body:
        yield f"| {' | '.join(row)} |"
