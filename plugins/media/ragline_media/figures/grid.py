"""The cells of a table in a tree of text, and the words of any element of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from lxml.etree import _Element as Element

from rag.reading import attribute, local
from ragline_media.figures.table import LONGEST_CELL, MOST_CHARACTERS, MOST_COLUMNS, MOST_ROWS, Grid

TABLES, _ROWS = ("tbl", "table"), ("tr", "table-row")
HEADINGS = frozenset(f"h{level}" for level in range(1, 7))

_CELLS = ("tc", "td", "th", "table-cell", "covered-table-cell")
_SILENT = frozenset(
    {"script", "style", "template", "noscript", "svg", "tracked-changes", "title", "desc", "annotation"}
)
_APART = HEADINGS | {*_CELLS, "p", "h", "li", "dt", "dd", "div", "br", "tab", "s", "line-break", "cr"}
_OFFICE = ("openxmlformats", "purl.oclc.org/ooxml")
"""In names of OOXML, where text stands in elements called t alone."""
_NODES = 5_000
"""Of one text, that are looked at."""
_NEAR = 20
"""Elements at the beginning of a row or a cell that say how far it goes."""
_ABOVE = 80
"""Characters of a cell that stand in the rows which it reaches down to, as in the text."""
_YES = ("1", "true")


def text_of(element: Element) -> str:
    """The words of an element on one line, but for those of tables in it; of a very long one its beginning."""
    office = any(each in str(element.tag) for each in _OFFICE)
    pieces: list[str] = []
    todo: list[Element | str] = [element]
    for _ in range(_NODES):
        if not todo:
            break
        node = todo.pop()
        if isinstance(node, str):
            pieces.append(node)
            continue
        name = local(node)
        if not name or name in _SILENT or (name in TABLES and node is not element):
            continue
        if name in _APART:
            pieces.append(" ")
            todo.append(" ")
        if node.text and (name == "t" or not office):
            pieces.append(node.text)
        for child in reversed(node):
            if child.tail and not office:
                todo.append(child.tail)
            todo.append(child)
    return " ".join("".join(pieces).split())[:LONGEST_CELL]


def grid_of(table: Element) -> Grid | None:
    """Its cells. One that is merged says what it says once in its row, and its beginning in the rows that it reaches down to.

    A table that lays out other tables or headings is none, nor is one of a single row.
    """
    if any(local(each) in TABLES or local(each) in HEADINGS for each in table.iterdescendants()):
        return None
    rows, hanging, n, cut, header = list[list[str]](), dict[int, tuple[int, str]](), 0, False, False
    for element in _outermost(table, _ROWS):
        row = _row_of(element, hanging, rows[-1] if rows else [])
        for _ in range(min(_number(element, "number-rows-repeated"), MOST_ROWS + 1) if any(row) else 0):
            n += sum(map(len, row)) + len(row)
            cut = cut or any(row[MOST_COLUMNS:])
            if len(rows) == MOST_ROWS or n > MOST_CHARACTERS:
                return _padded(rows, header=header, cut=True)
            header = header if rows else _names_columns(element)
            rows.append(row[:MOST_COLUMNS])
    return _padded(rows, header=header, cut=cut)


def _padded(rows: list[list[str]], *, header: bool, cut: bool) -> Grid | None:
    """Rows of one width, without columns at the end in which nothing stands."""
    width = max((place for row in rows for place, cell in enumerate(row, start=1) if cell), default=0)
    padded = [[*row, *[""] * width][:width] for row in rows]
    return Grid(rows=padded, header=header, cut=cut) if len(rows) > 1 else None


def _row_of(element: Element, hanging: dict[int, tuple[int, str]], above: list[str]) -> list[str]:
    """The cells of a row, and those that hang down into it: by column how many rows are left of each, and what it says."""
    row = [""] * min(_number(_first(element, "gridBefore"), "val", least=0), MOST_COLUMNS)
    for cell in _outermost(element, _CELLS):
        covered = local(cell) == "covered-table-cell" or any(attribute(cell, n) in _YES for n in ("hMerge", "vMerge"))
        if covered or len(row) > MOST_COLUMNS:
            continue
        _hang(row, hanging)
        merged = _first(cell, "vMerge")
        goes_on = merged is not None and attribute(merged, "val") != "restart"
        text = "".join(above[len(row) : len(row) + 1])[:_ABOVE] if goes_on else text_of(cell)
        across = max(_number(cell, name) for name in ("colspan", "gridSpan", "number-columns-spanned"))
        across = max(across, _number(_first(cell, "gridSpan"), "val"))
        down = max(_number(cell, name) for name in ("rowspan", "rowSpan", "number-rows-spanned"))
        for each in [text, *[""] * (min(across, MOST_COLUMNS) - 1)] * min(
            _number(cell, "number-columns-repeated"), MOST_COLUMNS + 1
        ):
            if down > 1:
                hanging[len(row)] = down - 1, each[:_ABOVE]
            row.append(each)
    while len(row) <= max(hanging, default=-1):
        _hang(row, hanging)
        if len(row) < max(hanging, default=-1):
            row.append("")
    return row


def _hang(row: list[str], hanging: dict[int, tuple[int, str]]) -> None:
    """Add what hangs down behind the cells that a row has."""
    while (place := len(row)) in hanging:
        left, text = hanging.pop(place)
        if left > 1:
            hanging[place] = left - 1, text
        row.append(text)


def _names_columns(row: Element) -> bool:
    """Whether a first row names the columns: it is marked so, it comes again on each page, or all of it is bold."""
    above = [*islice(row.iterancestors(), 2)]
    runs = [run for run in row.iter() if local(run) == "r" and text_of(run)]
    return (
        any(local(each) in ("thead", "table-header-rows") for each in above)
        or any(attribute(each, "firstRow") in _YES for each in islice(above[0], 1))
        or _first(row, "tblHeader") is not None
        or all(local(cell) == "th" for cell in _outermost(row, _CELLS))
        or bool(runs and all(_first(run, "b") is not None for run in runs))
    )


def _first(element: Element, name: str) -> Element | None:
    """The first of a name, of a few elements below."""
    return next((each for each in islice(element.iterdescendants(), _NEAR) if local(each) == name), None)


def _number(element: Element | None, name: str, *, least: int = 1) -> int:
    """A number that an attribute says; the least one where it says none."""
    said = "" if element is None else attribute(element, name)
    return max(least, int(said)) if said.isdecimal() and len(said) < 10 else least


def _outermost(element: Element, names: tuple[str, ...]) -> Iterator[Element]:
    """Elements of these names below, without those within another of them or of a table."""
    todo = [*reversed(element)]
    while todo:
        each = todo.pop()
        name = local(each)
        if name in names:
            yield each
        elif name not in TABLES:
            todo.extend(reversed(each))
