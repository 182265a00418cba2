"""CSV and TSV through the csv module: one row, one document."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import chain

from rag.ingest.clean import Cleaner, decoded
from rag.ingest.columns import Repeated
from rag.ingest.formats import unpacked_name
from rag.ingest.records import DistinctIds, LongTable, file_document
from rag.ingest.stretches import lines
from rag.ingest.types import DistinctNames, Note, ParsedDocument, ReadError


def parse(data: bytes, name: str, note: Note) -> Iterator[ParsedDocument]:
    """A document for every row below the header. `;`, tab and `|` are told from the header line too.

    Raises:
        ReadError: no row below the header, or quotes that never close.
    """
    clean, ids, repeated, table = Cleaner(), DistinctIds(), Repeated(), LongTable(name)
    csv.field_size_limit(max(1, len(data)))  # this process only parses, so nobody else sees it
    position = 0
    try:
        columns = _Columns()
        for row in _rows(lines(map(clean, decoded(data, note))), name):
            if not columns.names:
                columns.header(map(repeated.cut, map(str.strip, row)))
                continue
            position += 1
            columns.widen(len(row))
            record = dict(zip(columns.names, map(str.strip, row), strict=False))
            document = file_document(record, name=name, position=position, clean=clean)
            if document is not None:
                yield ids.distinct(table.row(document, record))
    except csv.Error as cause:
        raise ReadError(f"not a table: {cause}") from None
    if not position:
        raise ReadError("no row below the header line")
    clean.tell(note)
    repeated.tell(note)
    ids.tell(note)
    table.tell(note)


def _rows(text_lines: Iterator[str], name: str) -> Iterator[list[str]]:
    """Rows with anything in them."""
    first = next((line for line in text_lines if line != "\n"), "")
    rows = csv.reader(chain([first], text_lines), delimiter=_delimiter(first, name), strict=True)
    return (row for row in rows if any(cell.strip() for cell in row))


class _Columns:
    """Names of the columns. One beyond the header is named when a row first has it."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._distinct = DistinctNames()

    def header(self, row: Iterable[str]) -> None:
        self.names = [self._distinct(cell or f"column {i}") for i, cell in enumerate(row, start=1)]

    def widen(self, width: int) -> None:
        self.names += [self._distinct(f"column {i}") for i in range(len(self.names) + 1, width + 1)]


def _delimiter(header: str, name: str) -> str:
    return "\t" if unpacked_name(name).lower().endswith(".tsv") else max(",;\t|", key=header.count)
