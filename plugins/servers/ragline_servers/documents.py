"""Documents of an index on a server, fetched by row. A point holds the line that a directory would hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice

from rag.filters import OPERATORS
from rag.indexes import StoredDocuments, read_documents
from rag.types import Document
from ragline_servers.parts import Parts
from ragline_servers.read_ahead import BLOCK, ReadAhead
from ragline_servers.store import CollectionStore, Record
from ragline_servers.troubles import damaged

LINE, DOC = "line", "doc"
"""Fields of a point: the document's line as a directory has it, and a hash of its doc_id (`doc_key`)."""

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
        return self._read([row], lambda rows: {each: self._ahead[each] for each in rows})[0]

    def __iter__(self) -> Iterator[Document]:
        lines = self.lines()
        while block := dict(islice(lines, BLOCK)):
            yield from self._read([*block], self._in(block))

    def many(self, rows: Iterable[int]) -> list[Document]:
        """Documents of these rows, in the order given."""
        rows = [int(row) for row in rows]
        documents = self._read(rows, self._lines)
        self.recent.remember(documents, rows)
        return documents

    def look_up(self, doc_ids: Sequence[str]) -> list[int]:
        """Rows of documents, by the hashes of their ids: a question to the server for each."""
        return [self._found(doc_id) for doc_id in doc_ids]

    def _found(self, doc_id: str) -> int:
        try:
            same = OPERATORS["eq"].condition(DOC, doc_key(doc_id))
        except UnicodeEncodeError:
            raise KeyError(doc_id) from None
        rows = [int(hit.id) for hit in self._store.find(self._collection, same)]
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
                raise self._lacking(expected)
            yield expected, self._line(record)

    def _read(self, rows: Sequence[int], lines: Callable[[Sequence[int]], Mapping[int, bytes]]) -> list[Document]:
        return read_documents(rows, lines, name=self._name)

    def _in(self, block: Mapping[int, bytes]) -> Callable[[Sequence[int]], Mapping[int, bytes]]:
        """Lines of rows, of which only those outside a block are asked for."""

        def lines(rows: Sequence[int]) -> Mapping[int, bytes]:
            others = [row for row in rows if row not in block]
            return {**block, **self._lines(others)} if others else block

        return lines

    def _lines(self, rows: Sequence[int]) -> dict[int, bytes]:
        records = self._store.get(self._collection, list(dict.fromkeys(rows)), fields=[LINE])
        lines = {int(record.id): self._line(record) for record in records}
        for row in rows:
            if row not in lines:
                raise self._lacking(row)
        return lines

    def _line(self, record: Record) -> bytes:
        line = str(record.fields[LINE]) or self._long[str(record.id)]
        return line.encode() + b"\n"

    @cached_property
    def _long(self) -> dict[str, str]:
        long: dict[str, str] = json.loads(self._parts.read(LONG)) if LONG in self._parts else {}
        return long

    def _lacking(self, row: int) -> Exception:
        return damaged(self._name, f"row {row} is no document, or is not there")


def doc_key(doc_id: str) -> str:
    """A short text for a doc_id, whatever is in it."""
    return hashlib.blake2b(doc_id.encode(), digest_size=8).digest()[::-1].hex()
