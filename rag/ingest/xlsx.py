"""Excel files: a sheet is a section, a row is a line, and below a row of names `column: value; column: value`.

Values are those that Excel last computed; no formula is run.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING

from rag.ingest.columns import Cell, Columns, Repeated
from rag.ingest.layout import Layout
from rag.ingest.office import Package, attribute, below, first, outermost, relation
from rag.ingest.types import Note, ParsedDocument, ReadError
from rag.ingest.xml_tree import local

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

_BOOK = "xl/workbook.xml"
_COLUMN = re.compile(r"[A-Z]{1,3}")
_ROWS = 50
"""Rows of a block."""
_DATES = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})  # built-in formats
_DATE_LETTERS = re.compile("[ymdhs]", re.IGNORECASE)
_NOT_DATE = re.compile(r'"[^"]*"|\\.|\[[^\[\]]*\]|General', re.IGNORECASE)


def parse(data: bytes, name: str, note: Note) -> Iterator[ParsedDocument]:
    """One document, titled by the file's name.

    Raises:
        ReadError: not such a file, encrypted, a bomb, or with a document type declaration.
    """
    package, layout = Package(data), Layout()
    book, targets = package.tree(_BOOK), package.targets(_BOOK)
    values = _Values(package, book)
    sheets: dict[str, str] = {}
    for sheet in below(book, "sheet"):
        sheets.setdefault(
            targets.get(relation(sheet), ""), attribute(sheet, "name")
        )  # a part may be listed a million times
    for part, sheet_name in sheets.items():
        if not part.startswith("xl/worksheets/"):
            continue  # a chart
        layout.heading(1, sheet_name)
        for under, lines in _blocks(_rows(package.read(part), values), layout.repeated):
            layout.block("\n".join(lines), lines=True, tight=True, under=under)
            if layout.full:
                yield layout.stretch(name)
    layout.tell(note)
    yield layout.document(name)


Row = dict[int, tuple[str, bool]]
"""Column from 0 -> value, and whether it is text."""


def _blocks(rows: Iterator[Row], repeated: Repeated) -> Iterator[tuple[str, list[str]]]:
    """Lines of up to 50 rows. A first row of two or more texts and nothing else names the columns."""
    head = next(rows, {})
    named = len(head) > 1 and all(is_text for _, is_text in head.values())
    after = next(rows, None)
    if not named or after is None:  # a row of names alone is one
        columns, rows = Columns({}, repeated), chain([head], [after] if after else [], rows)
    else:
        columns, rows = Columns(dict(_cells(head)), repeated), chain([after], rows)
    yield from columns.blocks(map(_cells, rows), most=_ROWS)


def _cells(row: Row) -> list[Cell]:
    return [(column, " ".join(value.split())) for column, (value, _) in sorted(row.items())]


def _rows(sheet: bytes, values: _Values) -> Iterator[Row]:
    """Rows with anything in them. Each is forgotten when the next one is read."""
    from lxml import etree

    events = etree.iterparse(
        io.BytesIO(sheet), tag="{*}row", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        for n, (_, element) in enumerate(events):
            if n == 0 and element.getroottree().docinfo.doctype:
                raise ReadError("contains a document type declaration, which Excel files must not have")
            row: Row = {}
            for position, cell in enumerate(each for each in element if local(each) == "c"):
                value = values.of(cell)
                if value.strip():
                    text = attribute(cell, "t") in ("s", "str", "inlineStr")
                    row[_column(attribute(cell, "r"), position)] = value, text
            if row:
                yield row
            element.clear()
            while (before := element.getprevious()) is not None:
                before.getparent().remove(before)
    except etree.XMLSyntaxError as cause:
        raise ReadError(f"a sheet in it is not well-formed: {str(cause)[:120]}") from None


def _column(reference: str, position: int) -> int:
    letters = _COLUMN.match(reference)
    if letters is None:
        return position
    number = 0
    for letter in letters[0]:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


class _Values:
    """Cells -> what they show: shared texts, and numbers that are dates by their format."""

    def __init__(self, package: Package, book: Element) -> None:
        shared = "xl/sharedStrings.xml"
        items = outermost(package.tree(shared), "si") if shared in package.names else ()
        self._texts = ["".join(part.text or "" for part in below(item, "t")) for item in items]
        self._dates = _date_styles(package.tree("xl/styles.xml")) if "xl/styles.xml" in package.names else frozenset()
        properties = first(book, "workbookPr")
        since_1904 = properties is not None and attribute(properties, "date1904") in ("1", "true")
        self._zero = datetime(1904, 1, 1) if since_1904 else datetime(1899, 12, 30)

    def of(self, cell: Element) -> str:
        """What a cell shows, about."""
        kind = attribute(cell, "t")
        if kind == "inlineStr":
            return "".join(part.text or "" for part in below(cell, "t"))
        inner = first(cell, "v")
        value = "" if inner is None else inner.text or ""
        if kind == "s":
            return self._texts[int(value)] if value.isdecimal() and int(value) < len(self._texts) else ""
        if kind == "b":
            return {"1": "TRUE", "0": "FALSE"}.get(value, "")
        return value if kind in ("str", "e", "d") else self._number(value, attribute(cell, "s"))

    def _number(self, value: str, style: str) -> str:
        try:
            number = float(value)
            if style.isdecimal() and int(style) in self._dates:
                moment = self._zero + timedelta(seconds=round(number * 86_400))
                if number < 1:
                    return moment.time().isoformat()
                return moment.date().isoformat() if number == int(number) else moment.isoformat(" ")
            return f"{number:.15g}"
        except (ValueError, OverflowError):
            return value


def _date_styles(styles: Element) -> frozenset[int]:
    """Numbers of the cell styles that show dates or times."""
    custom = {
        attribute(each, "numFmtId"): _NOT_DATE.sub("", attribute(each, "formatCode"))
        for each in below(styles, "numFmt")
    }
    formats = first(styles, "cellXfs")
    if formats is None:
        return frozenset()
    numbers = [attribute(each, "numFmtId") for each in formats]
    return frozenset(
        place
        for place, number in enumerate(numbers)
        if (number.isdecimal() and int(number) in _DATES) or _DATE_LETTERS.search(custom.get(number, ""))
    )
