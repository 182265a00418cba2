"""Publishing an index on a server: a complete draft goes into a collection of its own, then the index's name points to it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from rag.errors import IndexProblem
from rag.files import Progress
from rag.indexes import LEGS, AsVectors, IndexSettings, IndexWriter, LegVectors, LocalIndex, is_index
from ragline_servers.address import ServerAddress
from ragline_servers.documents import DOC, FIELD_BYTES, LINE, LONG, doc_key
from ragline_servers.fields import SPANS, WORDS, Keys
from ragline_servers.index import FILES, KEYS, ServerIndex, require_ours
from ragline_servers.parts import write_parts
from ragline_servers.store import CollectionStore, Form, Point, connect
from ragline_servers.vectors import somewhere

log = logging.getLogger(__name__)

AT_ONCE = 256
"""Points that are sent together: what a killed upload sends again at most."""

_MOST_LONG_BYTES = 256_000_000


class ServerWriter(IndexWriter):
    """See `IndexWriter`. Made by `open`.

    The draft is in a folder of its own, and takes the room of an index in a directory until it is published.
    """

    def __init__(self, address: ServerAddress, store: CollectionStore, draft: Path) -> None:
        self._address, self._store, self._draft = address, store, draft
        self._base = store.target(address.collection)
        if self._base is None and address.collection in store.collections():
            require_ours(address, None, [address.collection])
        self._forget_a_draft_of_something_else()

    @classmethod
    @contextmanager
    def open(cls, address: str, *, drafts: Path) -> Iterator[Self]:
        """See `IndexServer.writing`."""
        parsed = ServerAddress.parse(address)
        draft = drafts / hashlib.sha256(str(parsed).encode()).hexdigest()[:24]
        draft.mkdir(parents=True, exist_ok=True)
        lock = os.open(draft / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise IndexProblem(
                    f"index '{parsed}': another process on this machine builds it. Wait for it"
                ) from None
            store = connect(parsed, create=True)
            try:
                yield cls(parsed, store, draft)
            finally:
                store.close()
        finally:
            os.close(lock)

    @property
    def home(self) -> Path:
        return self._draft / "index"

    @property
    def address(self) -> str:
        return str(self._address)

    @property
    def exists(self) -> bool:
        return self._base is not None or is_index(self.home)

    def before(self) -> ServerIndex | None:
        if self._base is None:
            return None
        collection = require_ours(self._address, self._base, self._store.collections())
        return ServerIndex(self._address, self._store, collection, closes=False)

    def require(self, settings: IndexSettings, legs: Sequence[str]) -> None:
        problems = []
        if settings.reading.access is not None:
            problems.append("who may read a document (reading.access)")
        for leg in legs:
            kind = settings.kind(leg)
            if not isinstance(kind, AsVectors):
                able = [name for name in LEGS if isinstance(LEGS.get(name)(), AsVectors)]
                problems.append(f"a {leg} leg; a server can keep {', '.join(able)}")
            elif refusal := kind.why_no_vectors(settings):
                problems.append(refusal)
        if problems:
            raise IndexProblem(
                f"index '{self._address}': a server cannot keep {'; '.join(problems)}. Or keep the index in a directory"
            )

    def publish(self, *, progress: Progress) -> None:
        if not is_index(self.home):
            return
        name = self._address.collection
        with LocalIndex.open(self.home) as index:
            collection = f"{name}__{self._token()}"
            self._send(index, collection, progress)
            if self._store.target(name) not in (self._base, collection):
                raise IndexProblem(
                    f"index '{self._address}': somebody else has built it meanwhile, and readers have theirs. Run again, "
                    "to bring that one up to date"
                )
            self._store.switch(name, collection)
            self._remove_older(keep=(collection, self._base))
        (self._draft / "token").unlink()
        shutil.rmtree(self.home, ignore_errors=True)

    def _token(self) -> str:
        """What the collection of this draft is called: a killed upload finds its own again."""
        path = self._draft / "token"
        if not path.exists():
            path.write_text(secrets.token_hex(8))
        return path.read_text()

    def _send(self, index: LocalIndex, collection: str, progress: Progress) -> None:
        """Points first, then the files: a collection without files is not complete."""
        store, n = self._store, len(index)
        uploads = {leg: _as_vectors(index, leg) for leg in index.legs}
        form = Form(
            fields={LINE: "text", DOC: "key", WORDS: "words", SPANS: "numbers"},
            dense={leg: upload.dim for leg, upload in uploads.items() if upload.dim is not None},
            sparse=[leg for leg, upload in uploads.items() if upload.dim is None],
            exact=all(upload.exact for upload in uploads.values()),
        )
        keys = Keys.of(document.metadata for document in index.documents)
        files = {**_files(index), KEYS: keys.written()}
        files |= {file: made() for upload in uploads.values() for file, made in upload.files.items()}
        start = 0
        if collection in store.collections():
            start = max(0, store.count(collection) - AT_ONCE) // AT_ONCE * AT_ONCE
        else:
            store.create(collection, form)
        for first in range(start, n, AT_ONCE):
            last = min(first + AT_ONCE, n)
            store.put(collection, _points(index, keys, uploads, first, last))
            progress("send", last, n)
        store.finish(collection)
        if (there := store.count(collection)) != n:
            raise IndexProblem(f"index '{self._address}': {n:,} points were sent, and {there:,} are there. Run again")
        write_parts(store, f"{collection}{FILES}", files)

    def _remove_older(self, *, keep: Sequence[str | None]) -> None:
        """All generations but the new one, and the one before, which readers have open."""
        kept = {name for collection in keep if collection for name in (collection, f"{collection}{FILES}")}
        generation = re.compile(rf"{self._address.collection}__[0-9a-f]{{16}}({FILES})?")  # not those of NAME__other
        for name in self._store.collections():
            if generation.fullmatch(name) and name not in kept:
                self._store.drop(name)

    def _forget_a_draft_of_something_else(self) -> None:
        """A draft takes over from the generation that was there when it was begun. Vectors that no draft has stay kept."""
        base = self._draft / "base"
        said = base.read_text() if base.exists() else ""
        if is_index(self.home) and said != (self._base or ""):
            log.warning("index '%s': a draft of an earlier state is thrown away", self._address)
            shutil.rmtree(self.home, ignore_errors=True)
            (self._draft / "token").unlink(missing_ok=True)
        base.write_text(self._base or "")


def _as_vectors(index: LocalIndex, leg: str) -> LegVectors:
    kind = index.kind(leg)
    assert isinstance(kind, AsVectors)  # `require` was asked before it was built
    return kind.as_vectors(index.leg(leg))


def _files(index: LocalIndex) -> dict[str, bytes]:
    """What a build takes over, and what a reader needs beside the points."""
    files = index.beside()
    long = {str(row): line for row in range(len(index)) if (line := _line(index, row)) and not _fits(line)}
    if sum(map(len, long.values())) > _MOST_LONG_BYTES:
        raise IndexProblem(
            f"{len(long):,} documents are longer than {FIELD_BYTES:,} bytes, and over {_MOST_LONG_BYTES:,} bytes in all: more "
            "than a server takes. Cut them into passages (index: {chunking: ...})"
        )
    if long:
        files[LONG] = json.dumps(long).encode()
    return files


def _points(index: LocalIndex, keys: Keys, uploads: Mapping[str, LegVectors], first: int, last: int) -> list[Point]:
    vectors = {leg: upload.between(first, last) for leg, upload in uploads.items()}
    points = []
    for row in range(first, last):
        document, line = index.documents[row], _line(index, row)
        own: dict[str, Any] = {leg: each[row - first] for leg, each in vectors.items()}
        points.append(
            Point(
                id=row,
                fields={
                    LINE: line if _fits(line) else "",
                    DOC: doc_key(document.doc_id),
                    **keys.fields(document.metadata, doc_id=document.doc_id),
                },
                dense={leg: vector for leg, vector in own.items() if uploads[leg].dim is not None},
                sparse={leg: somewhere(vector) for leg, vector in own.items() if uploads[leg].dim is None},
            )
        )
    return points


def _line(index: LocalIndex, row: int) -> str:
    return index.documents.line(row).decode().rstrip("\n")


def _fits(line: str) -> bool:
    return len(line.encode()) <= FIELD_BYTES
