"""Documents of an index on a server, fetched by row. A point holds the line that a directory would hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

from rag.core.errors import IndexProblem
from rag.core.filters import Condition
from rag.core.filters.operators import Equal
from rag.core.types import Document
from retrievers.index.documents import StoredDocuments, document_of, key_of
from retrievers.index.shared import SHARED, base_row
from retrievers.servers.ahead import ReadAhead
from retrievers.servers.parts import Parts
from retrievers.servers.store import CollectionStore, Record

LINE, DOC = "line", "doc"
"""Fields of a point: the document as `retrievers.index.documents` writes it, and a hash of its doc_id (`key_of`)."""

LONG = "long-lines.json"
"""A file beside the points: row -> line, of those that no field can hold."""

FIELD_BYTES = 60_000
"""Longest line of a field."""


class ServerDocuments(StoredDocuments):
    """All units of an index, by row. What a search needs is fetched in one or two questions."""

    def __init__(self, store: CollectionStore, collection: str, parts: Parts, *, n: int, name: str) -> None:
        super().__init__()
        self._store, self._collection, self._parts = store, collection, parts
        self._n, self._name = n, name
        self._ahead = ReadAhead(self._lines, n)

    def __len__(self) -> int:
        return self._n

    def at(self, row: int) -> Document:
        """The document of a row that is known to be there, counted from the beginning."""
        fields = json.loads(self.line(row))
        base = json.loads(self.line(base_row(fields[SHARED], row))) if SHARED in fields else {}
        return self._document(row, fields, base.get("metadata", {}))

    def __iter__(self) -> Iterator[Document]:
        base: tuple[int, dict[str, Any]] | None = None
        for row, line in self.lines():
            fields = json.loads(line)
            if SHARED in fields:
                if base is None or base[0] != base_row(fields[SHARED], row):
                    raise self._damaged(row)
            else:
                base = row, fields.get("metadata", {})
            yield self._document(row, fields, base[1])

    def many(self, rows: Iterable[int]) -> list[Document]:
        """Documents of these rows, in the order given."""
        rows = [int(row) for row in rows]
        lines = {row: json.loads(line) for row, line in self._lines(rows).items()}
        shared = {row: base_row(fields[SHARED], row) for row, fields in lines.items() if SHARED in fields}
        missing = {base for base in shared.values() if base not in lines}
        bases = lines | {row: json.loads(line) for row, line in self._lines(sorted(missing)).items()}
        metadata = {row: bases[base].get("metadata", {}) for row, base in shared.items()}
        documents = [self._document(row, lines[row], metadata.get(row, {})) for row in rows]
        self.recent.remember(documents, rows)
        return documents

    def look_up(self, doc_ids: Sequence[str]) -> list[int]:
        """Rows of documents, by the hashes of their ids: a question to the server for each."""
        return [self._found(doc_id) for doc_id in doc_ids]

    def _found(self, doc_id: str) -> int:
        try:
            key = doc_key(doc_id)
        except UnicodeEncodeError:
            raise KeyError(doc_id) from None
        rows = [int(hit.id) for hit in self._store.find(self._collection, Condition(DOC, Equal(key)))]
        for row, document in zip(rows, self.many(rows), strict=True):
            if document.doc_id == doc_id:
                return row
        raise KeyError(doc_id)

    def line(self, row: int) -> bytes:
        """The stored line of a row, with its line feed."""
        return self._ahead[self.within(row)]

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """All stored lines, by row ascending."""
        for expected, record in enumerate(self._store.find(self._collection, None, fields=[LINE])):
            if record.id != expected:
                raise self._damaged(expected)
            yield expected, self._line(record)

    def _lines(self, rows: Sequence[int]) -> dict[int, bytes]:
        records = self._store.get(self._collection, list(dict.fromkeys(rows)), fields=[LINE])
        lines = {int(record.id): self._line(record) for record in records}
        for row in rows:
            if row not in lines:
                raise self._damaged(row)
        return lines

    def _line(self, record: Record) -> bytes:
        line = str(record.fields[LINE]) or self._long[str(record.id)]
        return line.encode() + b"\n"

    @cached_property
    def _long(self) -> dict[str, str]:
        long: dict[str, str] = json.loads(self._parts.read(LONG)) if LONG in self._parts else {}
        return long

    def _document(self, row: int, fields: dict[str, Any], base: dict[str, Any]) -> Document:
        try:
            return document_of(fields, base)
        except (ValueError, TypeError, KeyError, RecursionError) as cause:
            raise self._damaged(row) from cause

    def _damaged(self, row: int) -> IndexProblem:
        return IndexProblem(
            f"index '{self._name}' is damaged: row {row} is no document, or is not there. Build it again from its sources: "
            f"rag index --index {self._name} --prune"
        )


def doc_key(doc_id: str) -> str:
    """A short text for a doc_id, whatever is in it."""
    return f"{key_of(doc_id):016x}"
