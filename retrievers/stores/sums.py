"""Sums over postings in float64: of whole numbers exactly, where float32 would round. In numpy, or compiled, with the same bits."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from retrievers.stores.chain_rows import ChainRows
from retrievers.stores.compiled import Engine
from retrievers.stores.hits import tied
from retrievers.stores.postings import Columns

_COMPILE_S = 1.5
"""Seconds: more than compiling takes on a quiet core (0.6, `benchmarks.sparse_speed`). It is done once numpy has been busy
for as long: nobody waits more than twice as long as with the choice that was better in hindsight, and a single question
never waits."""


class Sums:
    """Scores of queries over postings: for each document the sum over shared columns of the query's weight times its own.

    Safe to share between threads.

    Args:
        columns: the postings; weights above 0.
        n_docs: documents that there are.
        engine: `numpy` never compiles, `numba` at once; `auto` once it has paid.
    """

    def __init__(self, columns: Columns, *, n_docs: int, engine: Engine = "auto") -> None:
        self._columns, self._n_docs, self._engine = columns, n_docs, engine
        self._compiled: Any = None
        self._numpy_s = 0.0
        self._lock = threading.Lock()

    def best(
        self, query: Mapping[int, float], *, k: int, mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Rows, ascending, and their sums above 0: the k best that the mask lets through, and all that tie with the last."""
        return _best(self.of(query), k=k, mask=mask)

    def of(self, query: Mapping[int, float]) -> NDArray[np.float64]:
        """float64 [n_docs]: the sums; 0 where nothing is shared. Only the postings of the query's columns are read."""
        sums = np.zeros(self._n_docs)
        known = [(column, weight) for column, weight in query.items() if 0 <= column < len(self._columns.starts) - 1]
        if not known:
            return sums
        if self._compiled is None and self._is_worth_compiling():
            self.compile()
        if self._compiled is not None:
            columns, weights = zip(*known, strict=True)
            arrays = np.array(columns, dtype=np.int64), np.array(weights, dtype=np.float64)
            self._compiled(self._columns.rows, self._columns.impacts, self._columns.starts, *arrays, sums)
            return sums
        begun = perf_counter()
        for column, weight in known:
            span = slice(self._columns.starts[column], self._columns.starts[column + 1])
            sums[self._columns.rows[span]] += self._columns.impacts[span].astype(np.float64) * weight
        self._numpy_s += perf_counter() - begun
        return sums

    def _is_worth_compiling(self) -> bool:
        return self._engine == "numba" or (self._engine == "auto" and self._numpy_s > _COMPILE_S)

    def compile(self) -> None:
        """Get the compiled sums ready. Later queries use them.

        Raises:
            IndexProblem: a posting is of a row that the index has not; compiled code does not check bounds.
        """
        with self._lock:
            rows, starts = self._columns.rows, self._columns.starts
            self._columns.require_rows(self._n_docs)
            if len(starts) and (int(starts[0]) < 0 or int(starts[-1]) > len(rows) or bool((np.diff(starts) < 0).any())):
                raise IndexProblem("the columns of an index overlap. Build the index again")
            from retrievers.stores.kernel import add_products

            self._compiled = add_products


class ChainedSums:
    """The same over the postings of several parts, and what is left of their rows."""

    def __init__(self, parts: Sequence[Sums], rows: ChainRows) -> None:
        self._parts, self._rows = parts, rows

    def best(
        self, query: Mapping[int, float], *, k: int, mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """See `Sums.best`."""
        return _best(self.of(query), k=k, mask=mask)

    def of(self, query: Mapping[int, float]) -> NDArray[np.float64]:
        """See `Sums.of`."""
        return self._rows.joined([part.of(query) for part in self._parts])


def _best(
    sums: NDArray[np.float64], *, k: int, mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    hits = sums > 0 if mask is None else (sums > 0) & mask
    rows = tied(np.where(hits, sums, -np.inf), k)
    return rows, sums[rows]
