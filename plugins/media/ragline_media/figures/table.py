"""A table as a content: CSV of which a spreadsheet runs nothing, and back."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.types import Content

KIND = "table"
MEDIA_TYPE = "text/csv"
MOST_ROWS = 5_000
MOST_COLUMNS = 100
LONGEST_CELL = 1_000
MOST_CHARACTERS = 2_000_000
"""Of all cells."""

_FORMULA = re.compile(r"'*[=+\-@＝＋－＠]")
"""How what a spreadsheet would run begins, and what was made plain of it."""
_NUMBER = re.compile(r"[+-]\d[\d.,]*%?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Rows of as many cells each. `header`: the first one names the columns. `cut`: there were more than are kept."""

    rows: Rows
    header: bool = False
    cut: bool = False


def csv_of(rows: Rows) -> bytes:
    """UTF-8, each cell in quotes. One that begins as a formula has an apostrophe before it; a number has none."""
    stream = io.StringIO()
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows(map(_plain, row) for row in rows)
    return stream.getvalue().encode("utf-8", "replace")


def rows_of(data: bytes) -> list[list[str]]:
    """What `csv_of` was given."""
    read = csv.reader(io.StringIO(data.decode("utf-8", "replace"), newline=""))
    return [[cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell for cell in row] for row in read]


def said(content: Content) -> str:
    """What stands for a table in words."""
    return content.text


def _plain(cell: str) -> str:
    cell = _CONTROL.sub(" ", cell)[:LONGEST_CELL]
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell
