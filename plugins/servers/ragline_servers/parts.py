"""Files beside the points of an index: its manifest, vocabulary, sources. Kept in a collection of their own, in pieces."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping

from ragline_servers.store import CollectionStore, Form, Point
from ragline_servers.troubles import damaged

FORM = Form(fields={"part": "text"})

_PIECE = 48_000
"""Characters of a piece."""

_AT_ONCE = 64
_LARGEST = 1 << 30
"""Bytes of a file that are unpacked at most: what a server says is not believed."""


def write_parts(store: CollectionStore, collection: str, files: Mapping[str, bytes]) -> None:
    """Write files into a new collection. The table of contents comes last: without it, nothing is there."""
    store.drop(collection)
    store.create(collection, FORM)
    contents: dict[str, list[int | str]] = {}
    pieces: list[str] = []
    for name, data in files.items():
        packed = base64.b64encode(zlib.compress(data)).decode()
        own = [packed[first : first + _PIECE] for first in range(0, len(packed), _PIECE)]
        contents[name] = [len(pieces) + 1, len(own), hashlib.sha256(data).hexdigest()]
        pieces += own
    points = [Point(id=n, fields={"part": piece}) for n, piece in enumerate(pieces, start=1)]
    for first in range(0, len(points), _AT_ONCE):
        store.put(collection, points[first : first + _AT_ONCE])
    store.put(collection, [Point(id=0, fields={"part": json.dumps(contents)})])
    store.finish(collection)


class Parts:
    """The files of one collection, read when they are asked for.

    Raises:
        IndexProblem: there is no table of contents.
    """

    def __init__(self, store: CollectionStore, collection: str, *, name: str) -> None:
        self._store, self._collection, self._name = store, collection, name
        try:
            table = json.loads(self._pieces([0]))
            self._table = {str(file): (int(first), int(n), str(sha)) for file, (first, n, sha) in table.items()}
        except (ValueError, TypeError, AttributeError) as cause:
            raise damaged(self._name, "its table of contents is not there") from cause

    def __contains__(self, file: object) -> bool:
        return file in self._table

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def read(self, file: str) -> bytes:
        """A file, as it was written.

        Raises:
            IndexProblem: it is absent, or damaged.
        """
        if file not in self._table:
            raise damaged(self._name, f"{file} is not there")
        first, n, sha256 = self._table[file]
        try:
            packed = base64.b64decode(self._pieces(range(first, first + n)), validate=True)
            data = zlib.decompressobj().decompress(packed, _LARGEST)
        except (ValueError, zlib.error) as cause:
            raise damaged(self._name, f"{file} cannot be read") from cause
        if hashlib.sha256(data).hexdigest() != sha256:
            raise damaged(self._name, f"{file} is not as it was written")
        return data

    def verify(self) -> None:
        """Read all of them."""
        for file in self._table:
            self.read(file)

    def _pieces(self, ids: range | list[int]) -> str:
        records = {record.id: record for record in self._store.get(self._collection, list(ids), fields=["part"])}
        if len(records) != len(ids):
            raise ValueError("pieces are missing")
        return "".join(records[id_].fields["part"] for id_ in ids)
