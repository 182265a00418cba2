"""Vectors of passages that go, as marks: a text can be guessed from its vector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rag.erasure.finder import Finder
from rag.erasure.marks import WINDOW
from retrievers.index.directory import LocalIndex

_ROWS = 16_384


@runtime_checkable
class HasVectors(Protocol):
    """A leg that gives back the vector of a row."""

    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """float32 [n, dim]."""
        ...


def vector_marks(index: LocalIndex, gone: NDArray[np.int64], stays: NDArray[np.int64]) -> frozenset[bytes]:
    """The first bytes of the vectors of rows that go, but for those that a row that stays has too."""
    marks = set[bytes]()
    for name in index.legs:
        leg = index.leg(name)
        if isinstance(leg, HasVectors):
            own = {row[:WINDOW] for row in _bytes_of(leg, gone)}
            finder = Finder(own)
            marks |= own - {mark for row in _bytes_of(leg, stays) for mark in finder.present(row[:WINDOW])}
    return frozenset(marks)


def _bytes_of(leg: HasVectors, rows: NDArray[np.int64]) -> Iterator[bytes]:
    for start in range(0, len(rows), _ROWS):
        for vector in leg.vectors(rows[start : start + _ROWS]):
            yield vector.tobytes()
