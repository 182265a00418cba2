"""Compiled search over postings: the best rows by float32 sums, with the bits that numpy's sums have.

Documents are scored stretch by stretch, so that the scores of one stay in the processor's own memory: a query's columns are
added up, one after the other, into a score for every document of it. Documents stand in blocks, and the top score of each
block is kept while adding. The k-th best of the stretches before, or of the tops of the first one, is no more than the k-th
best score, so only blocks that exceed it are looked at for hits: of a million documents some hundreds. Where the k-th best
lies is found by counting how many lie on each of a thousand steps between 0 and the best; only on its own step are hits
compared with each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from threading import Lock
from time import perf_counter
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from retrievers.stores.hits import Found, nothing_found, put_in_order

Engine = Literal["auto", "numba", "numpy"]

REPEATS = frozenset(range(1, 17))
"""Weights that are scored as so many repetitions of the term: exact, where a product would be rounded."""

_NO_ROWS, _NO_IMPACTS = np.zeros(0, np.int32), np.zeros(0, np.float32)

COMPILE_S = 1.5
"""Seconds that compiling takes on a quiet core, and more than it takes to find what an earlier process compiled. Numpy answers
until it was busy for as long. So nobody waits more than twice as long as with the choice that was better in hindsight."""

_EVERYTHING = np.ones(0, dtype=np.bool_)
_EVERYTHING.flags.writeable = False


class Column(NamedTuple):
    """What a term of a query adds: rows ascending, int32, their impacts, float32, and the weight of the term."""

    rows: NDArray[np.int32]
    impacts: NDArray[np.float32]
    weight: float


class _Scratch(NamedTuple):
    """Of a search: a score for every document of a stretch, the top of each block, how many are on each step, and room for those
    that are put aside (of all documents and a stretch, but touched only as it fills)."""

    scores: NDArray[np.float32]
    tops: NDArray[np.float32]
    counts: NDArray[np.int32]
    some_rows: NDArray[np.int32]
    some_scores: NDArray[np.float32]


class Summed(NamedTuple):
    """What every row scores, float32 [n_rows], not to be changed; the sum of that, and of its squares."""

    scores: NDArray[np.float32]
    total: float
    squares: float


class CompiledSearch:
    """Searches queries over documents with compiled code. Safe to share between threads, each of which takes a quarter of a
    megabyte, and up to 8 bytes a document where most score alike.

    Weights of queries are above 1e-6, impacts above 0.
    """

    def __init__(self, n_docs: int) -> None:
        self._n_docs = n_docs
        self._kernel, self._scratch = kernel(), deque[_Scratch]()
        self.search([], nothing_found(1, 1), mask=None)  # compiles, if nobody did

    def search(self, columns: Sequence[Column], out: Found, *, mask: NDArray[np.bool_] | None) -> None:
        """Fill `out`, [1, k] each, with the hits of a query whose columns lie anywhere.

        Raises:
            IndexProblem: a posting is of a row that there is not, or its impact is negative, too large or no number.
        """
        rows = np.concatenate([_NO_ROWS, *(column.rows for column in columns)])
        impacts = np.concatenate([_NO_IMPACTS, *(column.impacts for column in columns)])
        starts = np.cumsum([0, *(len(column.rows) for column in columns)])
        weights, n = [float(column.weight) for column in columns], len(columns)
        self.search_columns((rows, impacts, starts), range(n), weights, [0, n], out, mask=mask)

    def search_columns(
        self,
        columns: tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]],
        terms: Sequence[int],
        weights: Sequence[float],
        bounds: Sequence[int],
        out: Found,
        *,
        mask: NDArray[np.bool_] | None,
    ) -> None:
        """The same for queries over the columns of one table, in one call.

        Args:
            columns: rows and impacts of all columns, and where each column starts.
            terms: columns that are asked for, query after query.
            weights: of each.
            bounds: where the terms of each query start, and where the last one ends.
        """
        scratch = self._taken()
        sound = self._kernel.search(
            *(_frozen(each) for each in columns),
            np.array(terms, dtype=np.int64),
            np.array(weights, dtype=np.float64),
            np.array(bounds, dtype=np.int64),
            _mask(mask),
            self._n_docs,
            scratch,
            *out,
        )
        _require(sound)
        self._scratch.append(scratch)
        put_in_order(*out)

    def summed(self, columns: Sequence[Column]) -> Summed:
        """What every row scores, to the bit as in a search; for columns that lie anywhere.

        Raises:
            IndexProblem: see `search`.
        """
        scores, sums = np.zeros(self._n_docs, dtype=np.float32), np.zeros(2)
        for column in columns:
            _require(
                self._kernel.sum_up(_frozen(column.rows), _frozen(column.impacts), float(column.weight), scores, sums)
            )
        return Summed(scores, *sums.tolist())

    def summed_columns(
        self,
        columns: tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]],
        terms: Sequence[int],
        weights: Sequence[float],
    ) -> Summed:
        """The same for columns of one table, in one call; see `search_columns`."""
        scores, sums = np.zeros(self._n_docs, dtype=np.float32), np.zeros(2)
        asked = np.array(terms, dtype=np.int64), np.array(weights, dtype=np.float64)
        _require(self._kernel.sum_columns(*(_frozen(each) for each in columns), *asked, scores, sums))
        return Summed(scores, *sums.tolist())

    def _taken(self) -> _Scratch:
        """Zeros, as every call leaves them. One that a fault left half filled is not used again."""
        try:
            return self._scratch.pop()
        except IndexError:
            most = min(self._n_docs, self._kernel.STRETCH)
            scores, counts = np.zeros(most, dtype=np.float32), np.zeros(self._kernel.STEPS, dtype=np.int32)
            tops = np.zeros((most >> self._kernel.BITS) + 1, dtype=np.float32)
            n = self._n_docs + most + 1
            return _Scratch(scores, tops, counts, np.empty(n, dtype=np.int32), np.empty(n, dtype=np.float32))


def is_compiled() -> bool:
    """Whether this process has the compiled code already."""
    return kernel.cache_info().currsize > 0


class EngineChoice:
    """Compiled code or numpy: numpy until that was busy for as long as compiling takes. Safe to share between threads."""

    def __init__(self, n_docs: int) -> None:
        self.n_docs = n_docs
        self._compiled: CompiledSearch | None = None
        self._numpy_s = 0.0
        self._lock = Lock()

    def compile(self) -> CompiledSearch:
        """Compiled code, which takes seconds once per installation, and one per process."""
        with self._lock:
            if self._compiled is None:
                self._compiled = CompiledSearch(self.n_docs)
            return self._compiled

    def compiled(self, engine: Engine) -> CompiledSearch | None:
        """The compiled code, if it is to be used now."""
        if engine == "numpy":
            return None
        paid = engine == "numba" or self._numpy_s > COMPILE_S or is_compiled()
        return self._compiled or (self.compile() if paid else None)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Around what numpy does."""
        begun = perf_counter()
        yield
        self._numpy_s += perf_counter() - begun


def _mask(mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    return _EVERYTHING if mask is None else _frozen(mask)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The same, not to be written: arrays that may and may not be written would each be compiled for."""
    if not array.flags.writeable:
        return array
    view = array.view()
    view.flags.writeable = False
    return view


def _require(sound: bool) -> None:
    if not sound:
        raise IndexProblem(
            "a weight is broken, or belongs to a row or a column that is not in the index. Build the index again"
        )


@cache
def kernel() -> ModuleType:
    """The compiled functions. The first call of a process imports numba; the first of each compiles it, or finds it compiled."""
    from retrievers.stores import kernel

    return kernel
