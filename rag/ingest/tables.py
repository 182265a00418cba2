"""CSV and TSV through the csv module: one row, one document."""

from __future__ import annotations

import csv
import io

from rag.ingest.clean import Cleaner, decode
from rag.ingest.records import file_document, with_distinct_ids
from rag.ingest.types import Note, ParsedDocument, ReadError, distinct


def parse(data: bytes, name: str, note: Note) -> list[ParsedDocument]:
    """A document for every row below the header. `;`, tab and `|` are told from the header line too.

    Raises:
        ReadError: no row below the header, or quotes that never close.
    """
    clean = Cleaner()
    text = clean(decode(data, note))
    csv.field_size_limit(max(1, len(text)))  # this process only parses, so nobody else sees it
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=_delimiter(text, name), strict=True))
    except csv.Error as cause:
        raise ReadError(f"not a table: {cause}") from None
    header, *rows = [row for row in rows if any(cell.strip() for cell in row)] or [[]]
    if not rows:
        raise ReadError("no row below the header line")
    columns = _columns(header, max(map(len, rows)))
    documents = []
    for position, row in enumerate(rows, start=1):
        record = dict(zip(columns, map(str.strip, row), strict=False))
        documents.append(file_document(record, name=name, position=position, clean=clean))
    clean.tell(note)
    return with_distinct_ids([document for document in documents if document], note)


def _columns(header: list[str], width: int) -> list[str]:
    names = [*header, *[""] * (width - len(header))]
    taken: set[str] = set()
    return [distinct(name.strip() or f"column {i}", taken) for i, name in enumerate(names, start=1)]


def _delimiter(text: str, name: str) -> str:
    if name.lower().endswith(".tsv"):
        return "\t"
    header = text.lstrip("\n").partition("\n")[0]
    return max(",;\t|", key=header.count)
