"""Writes the documents of an index, one after the other, holding 16 bytes of each in memory."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from types import TracebackType

import numpy as np

from rag.core.contents import content_json
from rag.core.types import Document
from retrievers.index.contents import NONE, ContentsWriter
from retrievers.index.documents import KEYS, LINES, OFFSETS, ROWS, Documents, key_of
from retrievers.index.shared import BEGIN, SHARED, Base
from retrievers.index_protocol import ContentStore
from retrievers.stores.arrays import load_array

_as_json = json.JSONEncoder(ensure_ascii=False, default=str, separators=(",", ":")).encode


class DocumentsWriter:
    """Documents in row order. A context manager; leaving it without an exception writes the tables."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stream = (folder / LINES).open("xb", buffering=1 << 20)
        self._offsets = array("q", [0])
        self._keys = array("Q")
        self._base: Base | None = None
        self._first_shared: int | None = None
        self._contents = ContentsWriter(folder)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def shares_metadata(self) -> bool:
        """Whether some unit leaves metadata to another one, which only formats from 4 on can say."""
        return self._first_shared is not None

    def add(self, document: Document) -> None:
        """Append a document. Lone surrogates become U+FFFD; metadata that JSON does not know becomes text.

        Metadata that a unit shares with the first of its document is written there alone, where it is long.
        """
        metadata = dict(document.metadata)
        fields: dict[str, object] = {}
        if self._base is not None and (shared := self._base.pointer(metadata, row=len(self))):
            fields[SHARED], metadata = shared
        else:
            self._base = Base.of(metadata, row=len(self))
        fields |= {"doc_id": document.doc_id, "text": document.text}
        if document.title:
            fields["title"] = document.title
        if metadata or SHARED in fields:
            fields["metadata"] = metadata
        if document.contents:
            fields["contents"] = [content_json(content) for content in document.contents]
            for content in document.contents:
                self._contents.held_by(len(self), content.sha256)
        line = _as_json(fields) + "\n"
        self._append(_whole(document.doc_id), _whole(line).encode())

    def keep(self, sha256: str, data: bytes, thumbnail: bytes) -> None:
        """Keep bytes of a content that one of the next documents holds."""
        self._contents.keep(sha256, data, thumbnail, row=len(self))

    def read(self, sha256: str) -> bytes:
        """Bytes that are kept so far; KeyError where there are none under this."""
        return self._contents.read(sha256)

    def copy(self, doc_id: str, line: bytes, contents: ContentStore = NONE) -> None:
        """Append a document as another index stored it, with what of its contents `contents` has.

        Units of one document are copied together, in their order.
        """
        self._base = None
        self._contents.copied(len(self), line, contents)
        self._append(doc_id, line)

    def _append(self, doc_id: str, line: bytes) -> None:
        if self._first_shared is None and line.startswith(BEGIN):
            self._first_shared = len(self)
        self._stream.write(line)
        self._offsets.append(self._offsets[-1] + len(line))
        self._keys.append(key_of(doc_id))

    def cut(self, n: int) -> None:
        """Take back all but the first `n` documents."""
        self._base = None
        self._contents.cut(n)
        if self._first_shared is not None and self._first_shared >= n:
            self._first_shared = None
        del self._keys[n:], self._offsets[n + 1 :]
        self._stream.seek(self._offsets[-1])
        self._stream.truncate()

    def __enter__(self) -> DocumentsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stream.close()
            self._contents.close(whole=error is None)
        except OSError:
            if error is None:
                raise
        if error is None:
            keys = np.frombuffer(self._keys, dtype=np.uint64) if self._keys else np.empty(0, np.uint64)
            rows = np.argsort(keys, kind="stable").astype(np.int32)
            np.save(self._folder / OFFSETS, np.frombuffer(self._offsets, dtype=np.int64))
            np.save(self._folder / KEYS, keys[rows])
            np.save(self._folder / ROWS, rows)


def _whole(text: str) -> str:
    """The text without halves of surrogate pairs, which have no UTF-8 form."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def first_duplicate(folder: Path, documents: Documents) -> tuple[int, int] | None:
    """Two rows that share a doc_id, in row order, or None."""
    keys, rows = load_array(folder / KEYS), load_array(folder / ROWS)
    starts = np.flatnonzero(keys[1:] == keys[:-1])
    for start in starts:
        first = int(rows[start])
        for place in range(int(start) + 1, len(keys)):
            if keys[place] != keys[start]:
                break
            if documents[first].doc_id == documents[int(rows[place])].doc_id:
                return first, int(rows[place])
    return None
