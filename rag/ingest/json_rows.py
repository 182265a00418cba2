"""JSON: an array of objects is a table, of which each row is a document; anything else is source code."""

from __future__ import annotations

import json
from collections.abc import Iterable

from rag.ingest import code
from rag.ingest.clean import Cleaner, decode
from rag.ingest.records import DistinctIds, LongTable, file_document
from rag.ingest.types import Note, ParsedDocument


def parse(data: bytes, name: str, note: Note) -> Iterable[ParsedDocument]:
    """A document for every object of an array, as for the lines of a JSONL file; else one."""
    try:
        records = json.loads(decode(data, lambda reason, lost=False: None))
    except (ValueError, RecursionError):  # with comments, or cut off: still worth having as text
        records = None
    if not isinstance(records, list) or not records or not all(isinstance(record, dict) for record in records):
        return code.parse(data, name, note)
    clean, ids, table = Cleaner(), DistinctIds(), LongTable(name)
    documents = []
    for position, record in enumerate(records, start=1):
        document = file_document(record, name=name, position=position, clean=clean)
        if document is not None:
            documents.append(ids.distinct(table.row(document, record)))
    clean.tell(note)
    ids.tell(note)
    table.tell(note)
    return documents
