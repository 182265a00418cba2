"""What the documents that go are recognised by: stretches of their bytes that nothing that stays has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from rag.core.types import Document
from rag.erasure.finder import Finder
from retrievers.index.directory import LocalIndex
from retrievers.index_protocol import ContentStore
from retrievers.legs.protocol import TellsRows

WINDOW = 24
"""Bytes of a mark. A quotation of 47 bytes holds one whole."""
SHORTEST = 8
"""Bytes of the shortest mark: fewer are found anywhere by chance."""
_TOGETHER = 1_000
"""Documents that are searched as one text."""
_ROWS = 16_384
_OF_A_CONTENT = 64  # marks, from its beginning to its end


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """`windows`: the marks, each of `SHORTEST` to `WINDOW` bytes. `doc_ids`: of the documents that go.

    `unmarked`: ids of passages without a mark, as all they say is said by what stays, or is too short.
    """

    windows: frozenset[bytes]
    doc_ids: frozenset[str]
    unmarked: tuple[str, ...]


def marks_of(gone: Iterable[Document], stays: Iterable[Document]) -> Marks:
    """Marks of the passages that go. Reads each passage once, and holds those that go.

    A text is cut into windows from its start to its end, as UTF-8 and as JSON writes it. A window that some passage that
    stays has is left out: it says nothing of what went.
    """
    own: dict[str, set[bytes]] = {}
    doc_ids = set[str]()
    for document in gone:
        said = chain.from_iterable(map(_windows, _strings(document)))
        own.setdefault(document.doc_id, set()).update(said)  # an id may have said several things, one after the other
        doc_ids |= {document.doc_id, document.parent}
    finder = Finder(chain.from_iterable(own.values()))
    shared = set[bytes]()
    left = iter(stays)
    while several := list(islice(left, _TOGETHER)):
        texts = chain.from_iterable(map(_strings, several))
        shared |= finder.present(b"\0".join(form for text in texts for form in _forms(text)))
    kept = {doc_id: windows - shared for doc_id, windows in own.items()}
    return Marks(
        windows=frozenset(chain.from_iterable(kept.values())),
        doc_ids=frozenset(doc_ids),
        unmarked=tuple(doc_id for doc_id, windows in kept.items() if not windows),
    )


def vector_marks(index: LocalIndex, gone: NDArray[np.int64], stays: NDArray[np.int64]) -> frozenset[bytes]:
    """The first numbers of rows that go in each leg that tells them, but for those that a row that stays has too.

    A text can be guessed from its vector. They can only be found where vectors are kept as float32.
    """
    own = frozenset(mark for mark in _beginnings(index, gone) if len(mark) >= SHORTEST)
    return own.difference(_beginnings(index, stays)) if own else own


def content_marks(held: ContentStore, gone: NDArray[np.int64]) -> frozenset[bytes]:
    """Stretches of contents that only rows that go hold, and of their thumbnails, which no content that stays has."""
    own = {sha256 for sha256 in held if np.isin(held.rows(sha256), gone).all()}
    forms = (form for sha256 in own for form in (held.read(sha256), held.thumbnail(sha256), sha256.encode()))
    cut = (
        form[at : at + WINDOW] for form in forms for at in range(0, len(form), max(WINDOW, len(form) // _OF_A_CONTENT))
    )
    marks = frozenset(each for each in cut if len(set(each)) >= SHORTEST)  # no run of one colour, and no silence
    stays = (held.read(sha256) + held.thumbnail(sha256) for sha256 in held if marks and sha256 not in own)
    return marks.difference(*map(Finder(marks).present, stays))


def _strings(document: Document) -> Iterator[str]:
    """All that a document says: its text, its title, and texts in its metadata."""
    yield document.text
    yield document.title or ""
    yield from _texts_in(document.metadata)


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts_in(inner)


def _forms(text: str) -> set[bytes]:
    """The bytes of a text as it is, and inside a JSON string of either kind. Texts of an index have no half surrogates."""
    written = (json.dumps(text, ensure_ascii=ascii)[1:-1] for ascii in (True, False))
    return {form.encode() for form in (text, *written)}


def _windows(text: str) -> Iterator[bytes]:
    for form in _forms(text):
        for start in range(0, len(form), WINDOW):
            window = form[start : start + WINDOW]
            if len(window) < SHORTEST:
                window = form[-WINDOW:]  # the end, with what is before it
            if len(window) >= SHORTEST and len(set(window[:SHORTEST])) > 2:  # not a ruler of dashes
                yield window


def _beginnings(index: LocalIndex, rows: NDArray[np.int64]) -> Iterator[bytes]:
    for leg in index.legs:
        kind = index.kind(leg)
        if isinstance(kind, TellsRows):
            for start in range(0, len(rows), _ROWS):
                yield from (
                    row.tobytes()[:WINDOW] for row in kind.begins_with(index.leg(leg), rows[start : start + _ROWS])
                )
