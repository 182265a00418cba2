"""Passages of an index in a random order that is the same every time, spread over its documents.

One pass reads all passages and remembers a few times as many as are wanted, however large the index is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from rag.indexes import Index

LEAST_CHARACTERS = 120
"""Passages with less text are not asked about: they rarely say enough."""
_SPARE = 4096
"""Passages that may be remembered beyond those that are wanted before the last are forgotten."""

_Place = tuple[int, bytes, bytes, int]
"""The how-many-th of its document a passage is, digests of document and passage, and its row. Sorted, that is the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Rows in the order of the draw. `passages`: of the index. `short`: passed over for want of text."""

    rows: tuple[int, ...]
    passages: int
    short: int


def draw(index: Index, *, n: int, seed: int) -> Drawn:
    """At most `n` passages. Every document gives one before any gives a second.

    Order is by hashes of seed and ids. So the first of a larger draw are those of a smaller one, and a document more
    moves none of the others.
    """
    kept: list[_Place] = []
    seen = short = 0
    for row, passage in enumerate(index.documents):
        seen += 1
        if len(passage.text.strip()) < LEAST_CHARACTERS:
            short += 1
        else:
            kept.append((0, _digest(seed, passage.parent), _digest(seed, passage.doc_id), row))
            if len(kept) >= n + _SPARE:
                kept = sorted(_numbered(kept))[:n]
    rows = tuple(row for *_, row in sorted(_numbered(kept))[:n])
    return Drawn(rows=rows, passages=seen, short=short)


def _numbered(places: list[_Place]) -> Iterator[_Place]:
    """The same, each with how many of its document come before it.

    Those that were forgotten came behind all that were kept, so they change no number of these.
    """
    last, number = b"", 0
    for _, document, passage, row in sorted(places, key=lambda place: place[1:]):
        number = number + 1 if document == last else 0
        last = document
        yield number, document, passage, row


def _digest(seed: int, name: str) -> bytes:
    return blake2b(f"{seed}\0{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
