"""Vectors of passages that go, as marks: a text can be guessed from its vector."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rag.erasure.marks import SHORTEST, WINDOW
from retrievers.index.directory import LocalIndex
from retrievers.legs.dense.search import dense

_ROWS = 16_384
_NUMBERS = WINDOW // np.dtype(np.float32).itemsize


def vector_marks(index: LocalIndex, gone: NDArray[np.int64], stays: NDArray[np.int64]) -> frozenset[bytes]:
    """The first numbers of the dense leg's vectors of rows that go, as float32, but for those that a row that stays has too.

    They can only be found where vectors are kept as float32.
    """
    if "dense" not in index.legs:
        return frozenset()
    own = frozenset(mark for mark in _beginnings(index, gone) if len(mark) >= SHORTEST)
    return own.difference(_beginnings(index, stays))


def _beginnings(index: LocalIndex, rows: NDArray[np.int64]) -> Iterator[bytes]:
    for start in range(0, len(rows), _ROWS):
        for vector in dense(index).vectors(rows[start : start + _ROWS])[:, :_NUMBERS]:
            yield vector.tobytes()
