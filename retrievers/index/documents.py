"""Documents of an index, read by row from a memory-mapped file. Nothing but what is asked for is decoded.

documents.jsonl         one JSON object per unit, in row order; see `retrievers.index.shared` for metadata kept once
documents.offsets.npy   int64 [n + 1], where each line starts
documents.keys.npy      uint64 [n], hashes of the doc_ids, ascending
documents.rows.npy      int32 [n], the row of each hash
"""

from __future__ import annotations

import hashlib
import json
import mmap
import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from rag.core.contents import read_content, with_contents
from rag.core.errors import IndexProblem
from rag.core.types import Document
from rag.ingest.language import code_of
from retrievers.index.shared import SHARED, base_row, merged
from retrievers.index_protocol import DocumentTable
from retrievers.legs.protocol import Facts, maker_reads
from retrievers.stores.arrays import load_array

TABLES = LINES, OFFSETS, KEYS, ROWS = tuple(
    f"documents.{end}" for end in ("jsonl", "offsets.npy", "keys.npy", "rows.npy")
)

_begin = re.compile(rb'\{"doc_id":"([^"\\]*)"').match
"""How the line of a unit begins that shares no metadata of another, where its doc_id is easily read."""
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_FIELDS = frozenset(field.name for field in fields(Document))
_set, _new = object.__setattr__, object.__new__
_PASSED = 8 << 20
"""Bytes that a pass over all documents leaves mapped behind it."""
_MOST_RECENT = 10_000


def key_of(doc_id: str) -> int:
    """The 64-bit hash that a doc_id is found by."""
    return int.from_bytes(hashlib.blake2b(doc_id.encode(), digest_size=8).digest(), "little")


def known_rows(doc_ids: Sequence[str], rows: NDArray[np.int32]) -> list[int]:
    """The rows of documents, all of which have to be there.

    Raises:
        KeyError: one is not, its row is -1.
    """
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        raise KeyError(doc_ids[int(missing[0])])
    return rows.tolist()  # type: ignore[no-any-return]


def _key_if_written(doc_id: str) -> int:
    """The hash of a doc_id; of one with lone surrogates, which is never written, that of nothing that is looked for."""
    try:
        return key_of(doc_id)
    except UnicodeEncodeError:
        return 0


def fields_of(stored: dict[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """What makes the document of a stored line, in the same object. `base`: metadata of the unit that it shares some with.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    if SHARED in stored:
        stored["metadata"] = merged(stored.pop(SHARED), base, stored["metadata"])
    if "contents" in stored:
        stored["contents"] = tuple(map(read_content, stored["contents"]))
    if not stored.keys() <= _FIELDS or not isinstance(stored.get("metadata", {}), dict):
        raise TypeError("other fields, or of other types")
    if not isinstance(stored["doc_id"], str) or not isinstance(stored["text"], str):
        raise TypeError("no texts")
    return stored


def read_documents(
    rows: Sequence[int], lines: Callable[[Sequence[int]], Mapping[int, bytes]], *, name: str
) -> list[Document]:
    """Documents of these rows, in the order given, wherever their lines are.

    Args:
        lines: rows -> at least their lines. Asked once, and once more where units share metadata of others.
        name: what messages call the index.
    Raises:
        IndexProblem: a line is no document, or is not there.
    """
    row = -1
    try:
        found, read, shared = lines(rows), dict[int, Any](), dict[int, int]()
        for row in rows:
            read[row] = json.loads(found[row])
            if SHARED in read[row]:
                shared[row] = base_row(read[row][SHARED], row)
        missing = sorted({base for base in shared.values() if base not in read})
        bases = lines(missing) if missing else {}
        read |= {row: json.loads(bases[row]) for row in missing}
        metadata = {row: read[base].get("metadata", {}) for row, base in shared.items()}
        documents = []
        for row in rows:
            documents.append(Document(**fields_of({**read[row]}, metadata.get(row, {}))))
    except (ValueError, TypeError, KeyError, RecursionError) as cause:
        raise IndexProblem(
            f"index '{name}' is damaged: row {row} is no document, or is not there. Build it again from its sources: "
            f"rag index --index {name} --prune"
        ) from cause
    return documents


class RecentRows:
    """doc_id -> row, of documents that were given out last: whoever scores a hit by another leg asks for its row again.

    Of an index that stays as it was opened. Safe to share between threads.
    """

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}

    def remember(self, documents: Iterable[Document], rows: Iterable[int]) -> None:
        """Keep the rows of documents; where they have become too many, of these alone."""
        kept = self._rows if len(self._rows) < _MOST_RECENT else {}
        kept.update(zip([document.doc_id for document in documents], rows, strict=True))
        self._rows = kept

    def of(self, doc_ids: Sequence[str]) -> list[int | None]:
        """The row of each document; None where it is not kept."""
        return list(map(self._rows.get, doc_ids))


class StoredDocuments(DocumentTable):
    """Documents as a build wrote them, wherever their lines are."""

    def __init__(self) -> None:
        self.recent = RecentRows()

    @abstractmethod
    def look_up(self, doc_ids: Sequence[str]) -> list[int]:
        """Rows of documents that were not given out lately, in the order given.

        Raises:
            KeyError: no such doc_id.
        """

    def many(self, rows: Iterable[int]) -> list[Document]:
        """Documents of these rows, in the order given."""
        wanted = [int(row) for row in rows]
        documents = [self[row] for row in wanted]
        self.recent.remember(documents, wanted)
        return documents

    def rows_many(self, doc_ids: Sequence[str]) -> list[int]:
        """Rows of documents, in the order given.

        Raises:
            KeyError: no such doc_id.
        """
        known = self.recent.of(doc_ids)
        missing = [doc_id for doc_id, row in zip(doc_ids, known, strict=True) if row is None]
        looked_up = iter(self.look_up(missing)) if missing else iter(())
        return [next(looked_up) if row is None else row for row in known]

    @abstractmethod
    def line(self, row: int) -> bytes:
        """The stored line of a row, with its line feed."""

    @property
    def index_texts(self) -> Sequence[str]:
        """What legs index, by row; read each time it is asked for."""
        return _IndexTexts(self)

    def texts_for(self, made_by: Facts) -> Sequence[str]:
        """What a leg indexes whose maker describes itself so: with a model, texts for models, with contents that it reads."""
        return _ModelTexts(self, maker_reads(made_by)) if made_by else self.index_texts

    @property
    def languages(self) -> Sequence[str]:
        """ISO 639 codes by row, empty where the metadata says none; read each time they are asked for."""
        return _Languages(self)


class _Unread(Document):
    """A document of which the doc_id alone is read until more is asked for: most hits are never looked at.

    Once read it is a plain `Document`, to whoever holds it. Safe to share between threads: whoever reads it reads the same.
    """

    __slots__ = ()

    def __init__(self, **whole: Any) -> None:  # asked for by `dataclasses.replace`
        super().__init__(**whole)
        _set(self, "__class__", Document)

    def __getattr__(self, name: str) -> Any:
        """What is not there yet: Python asks here only where it finds a slot empty."""
        if name not in _FIELDS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        _whole(self)
        return getattr(self, name)

    def __eq__(self, other: object) -> bool:
        return bool(_whole(self) == (_whole(other) if isinstance(other, _Unread) else other))

    def __hash__(self) -> int:
        return hash(_whole(self))

    def __repr__(self) -> str:
        return repr(_whole(self))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _whole(self).__reduce_ex__(protocol)


def _whole(document: Document) -> Document:
    """The same object, all of it read."""
    if (waits := document.unread) is not None:
        documents, line, row = waits
        Document.__init__(document, **documents.fields(line, row))
        _set(document, "__class__", Document)
        _set(document, "unread", None)  # last: another thread may be on its way here
    return document


class Documents(StoredDocuments):
    """All units of an index, or of a part of one, in row order, safe to read from any thread.

    Raises:
        IndexProblem: the files do not fit together.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._path = folder / LINES
        self._offsets, self._keys, self._rows = (load_array(folder / name) for name in (OFFSETS, KEYS, ROWS))
        try:
            with self._path.open("rb") as stream:
                self._lines = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as cause:
            raise IndexProblem(f"'{self._path}' cannot be read: {cause}. Build the index again") from cause
        self._last_base: tuple[int, dict[str, Any]] | None = None
        n = len(self._offsets) - 1
        fitting = (
            n >= 1
            and [self._offsets.dtype.str, self._keys.dtype.str, self._rows.dtype.str] == ["<i8", "<u8", "<i4"]
            and self._keys.shape == self._rows.shape == (n,)
            and self._offsets[0] == 0
            and self._offsets[-1] == len(self._lines)
            and bool(np.all(np.diff(self._offsets) > 0))
        )
        if not fitting:
            raise IndexProblem(f"'{self._path}' and its tables do not fit together. Build the index again")

    def __len__(self) -> int:
        return len(self._keys)

    def at(self, row: int) -> Document:
        """The document of a row that is known to be there, counted from the beginning. Its text is read when it is asked for."""
        return self._waiting(self._lines[self._offsets[row] : self._offsets[row + 1]], row)

    def many(self, rows: Iterable[int]) -> list[Document]:
        """Documents of these rows, in the order given."""
        wanted = [int(row) for row in rows]
        if wanted and not 0 <= min(wanted) <= max(wanted) < len(self):
            wanted = [self.within(row) for row in wanted]
        begins, ends = self._offsets[wanted].tolist(), self._offsets[[row + 1 for row in wanted]].tolist()
        lines, waiting = self._lines, self._waiting
        documents = [waiting(lines[begin:end], row) for begin, end, row in zip(begins, ends, wanted, strict=True)]
        self.recent.remember(documents, wanted)
        return documents

    def _waiting(self, line: bytes, row: int) -> Document:
        """The document of a line, its doc_id read alone where that is easy."""
        if (begin := _begin(line)) is None:
            return Document(**self.fields(line, row))
        document = _new(_Unread)
        try:
            _set(document, "doc_id", begin[1].decode())
        except UnicodeDecodeError:
            return Document(**self.fields(line, row))
        _set(document, "unread", (self, line, row))
        return document

    def fields(self, line: bytes, row: int) -> dict[str, Any]:
        """What makes the document of a line.

        Raises:
            IndexProblem: it is none.
        """
        try:
            text = line.decode()
            read, end = _scan(text, 0)
            if text[end:] != "\n":
                raise ValueError("something stands behind it")
            return fields_of(read, self._base(base_row(read[SHARED], row)) if SHARED in read else {})
        except (ValueError, TypeError, KeyError, RecursionError, StopIteration) as cause:
            raise IndexProblem(f"'{self._path}': row {row} is no document ({cause}). Build the index again") from cause

    def __iter__(self) -> Iterator[Document]:
        """All of them. What was passed is let go of as it goes: a build would else have the whole file in its memory."""
        begin = 0
        for row, end in enumerate(self._offsets[1:]):
            yield Document(**self.fields(self.line(row), row))
            if end - begin > _PASSED:
                n = int(end - begin) // mmap.PAGESIZE * mmap.PAGESIZE
                self._lines.madvise(mmap.MADV_DONTNEED, begin, n)
                begin += n

    def look_up(self, doc_ids: Sequence[str]) -> list[int]:
        """Rows of documents, by the hashes of their ids."""
        return known_rows(doc_ids, self.find(doc_ids))

    def find(self, doc_ids: Sequence[str]) -> NDArray[np.int32]:
        """int32 [n]: rows of documents, in the order given; -1 where there is none of this doc_id."""
        keys = np.array([_key_if_written(doc_id) for doc_id in doc_ids], dtype=np.uint64)
        places = np.searchsorted(self._keys, keys)
        known = np.minimum(places, len(self) - 1)
        rows = np.where(self._keys[known] == keys, self._rows[known], -1)
        begins = np.asarray(self._offsets[rows]).tolist()
        for number, (row, begin) in enumerate(zip(rows.tolist(), begins, strict=True)):
            if row >= 0 and not self._begins_with(begin, doc_ids[number]):  # most often the line shows it unread
                rows[number] = self._among_equals(int(places[number]), int(keys[number]), doc_ids[number])
        return rows.astype(np.int32)

    def _begins_with(self, begin: int, doc_id: str) -> bool:
        """Whether the line that begins there is that of a document."""
        wanted = f'{{"doc_id":{json.dumps(doc_id, ensure_ascii=False)}'.encode(errors="replace")
        return self._lines[begin : begin + len(wanted)] == wanted

    def _among_equals(self, place: int, key: int, doc_id: str) -> int:
        """The row of a document among those of its hash, the first of which stands at `place`; -1 where there is none."""
        while place < len(self) and int(self._keys[place]) == key:
            row = int(self._rows[place])
            if self.at(row).doc_id == doc_id:
                return row
            place += 1
        return -1

    def line(self, row: int) -> bytes:
        """The stored line of a row, with its line feed."""
        row = self.within(row)
        return self._lines[self._offsets[row] : self._offsets[row + 1]]

    def _base(self, row: int) -> dict[str, Any]:
        """The metadata that units share with this row; kept, as the units of a document are mostly read together."""
        last = self._last_base
        if last is None or last[0] != row:
            fields = json.loads(self.line(row))
            if SHARED in fields:
                raise ValueError(f"row {row} has no metadata of its own to share")
            last = self._last_base = row, fields["metadata"]
        return last[1]


class _OfDocuments(Sequence[str]):
    """Something of each document, made when it is asked for."""

    def __init__(self, documents: StoredDocuments) -> None:
        self._documents = documents

    def __len__(self) -> int:
        return len(self._documents)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self._of(document) for document in self._documents[row]]
        return self._of(self._documents[row])

    def __iter__(self) -> Iterator[str]:
        return map(self._of, self._documents)

    @abstractmethod
    def _of(self, document: Document) -> str: ...


class _IndexTexts(_OfDocuments):
    def _of(self, document: Document) -> str:
        return document.index_text


class _ModelTexts(_OfDocuments):
    def __init__(self, documents: StoredDocuments, kinds: frozenset[str]) -> None:
        super().__init__(documents)
        self._kinds = kinds

    def _of(self, document: Document) -> str:
        return with_contents(document.model_text, document.contents, self._kinds)


class _Languages(_OfDocuments):
    def _of(self, document: Document) -> str:
        return code_of(document.metadata)
