"""Postings: term -> weight of every document that has the term, on disk column by column, and searched.

The weights may come from anyone: BM25's impacts (bm25s: Lù 2024, arXiv:2407.03618) and the words of a language model
are kept alike. A score is the sum of the query's weight times the document's over shared terms. Knows no text and no
analyzer.

    impacts.npy   float32 [n_postings], column by column (a column is a term)
    rows.npy      int32 [n_postings], the document of each impact, ascending within a column
    starts.npy    int64 [n_terms + 1], where each column starts
    floor.npy     float32 [n_terms], what a term adds to documents without it, where that is not nothing
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from retrievers.stores.arrays import load_vector
from retrievers.stores.hits import Found, Weighted, best, best_first, nothing_found

Engine = Literal["auto", "numba", "numpy"]

REPEATS = frozenset(range(1, 17))
"""Weights that are scored as so many repetitions of the term, which is all that bm25s knows of weights."""

_COMPILE_S = 4.0
"""Seconds that the first use of bm25s' numba backend costs: 0.4 to import it, 3.3 to compile (2 cores, bm25s
0.3, numba 0.68). Numpy takes 70 us for a SciFact query and compiled code 27; 430 and 180 us over 167,000
documents. One question, and even 1,000, are answered sooner without the compiler. It is called once numpy has
been busy for as long as compiling takes: nobody waits more than twice as long as with the choice that was better
in hindsight."""

_PARTS_PER_THREAD = 4

_BLOCK = 1024
"""Queries per call, so that a long batch can change engines on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Postings in memory, ready to be written: see the files above. Weights are above 0."""

    impacts: NDArray[np.float32]
    rows: NDArray[np.int32]
    starts: NDArray[np.int64]
    floor: NDArray[np.float32] | None = None

    @classmethod
    def of_rows(cls, terms: NDArray[np.int32], weights: NDArray[Any], starts: NDArray[np.int64]) -> Columns:
        """Turn documents round: row i has the terms and weights from `starts[i]` to `starts[i + 1]`."""
        order = np.argsort(terms, kind="stable")
        rows = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))
        sizes = np.bincount(terms) if len(terms) else np.zeros(0, dtype=np.int64)
        return cls(
            impacts=np.asarray(weights, dtype=np.float32)[order],
            rows=rows[order],
            starts=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        )

    def by_row(self, n_docs: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """Columns turned round: where each row starts, int64 [n_docs + 1], its terms ascending, and their weights.

        Holds all postings in memory, 24 bytes each.
        """
        order = np.argsort(self.rows, kind="stable")
        sizes = np.bincount(self.rows, minlength=n_docs)
        terms = np.repeat(np.arange(len(self.starts) - 1, dtype=np.int32), np.diff(self.starts))
        return np.concatenate(([0], np.cumsum(sizes))).astype(np.int64), terms[order], np.asarray(self.impacts)[order]

    def require_rows(self, n_docs: int) -> None:
        """Before compiled code, which does not check bounds.

        Raises:
            IndexProblem: a posting is of a row that the index has not.
        """
        if len(self.rows) and not 0 <= int(self.rows.min()) <= int(self.rows.max()) < n_docs:
            raise IndexProblem("a weight belongs to a row that is not in the index. Build the index again")

    def write(self, folder: Path) -> None:
        """Write the files into `folder`, which exists."""
        if self.floor is not None:
            np.save(folder / "floor.npy", self.floor)
        np.save(folder / "impacts.npy", self.impacts)
        np.save(folder / "rows.npy", self.rows)
        np.save(folder / "starts.npy", self.starts)

    @classmethod
    def read(cls, folder: Path, *, floor: bool = False) -> Columns:
        """What `write` wrote, memory-mapped.

        Raises:
            IndexProblem: a file is absent, cannot be read, or they do not fit together.
        """
        columns = cls(
            impacts=load_vector(folder / "impacts.npy", np.float32),
            rows=load_vector(folder / "rows.npy", np.int32),
            starts=load_vector(folder / "starts.npy", np.int64),
            floor=load_vector(folder / "floor.npy", np.float32) if floor else None,
        )
        fitting = (
            len(columns.starts) > 0
            and len(columns.impacts) == len(columns.rows) == columns.starts[-1]
            and (columns.floor is None or len(columns.floor) == len(columns.starts) - 1)
        )
        if not fitting:
            raise IndexProblem(f"'{folder}': its arrays do not fit together. Build the index again")
        return columns


class Postings:
    """Scores queries over postings, with bm25s' numba backend or in numpy. Both give the same bits.

    Safe to share between threads.

    Args:
        numbers: term -> its column.
    """

    def __init__(self, columns: Columns, *, numbers: Mapping[str, int], n_docs: int) -> None:
        self._numbers, self._n_docs = numbers, n_docs
        self._impacts, self._rows, self._starts = columns.impacts, columns.rows, columns.starts
        self._floor, self._columns = columns.floor, columns
        self._compiled: Any = None
        self._numpy_s = 0.0
        self._lock = threading.Lock()

    @property
    def columns(self) -> Columns:
        """What is searched."""
        return self._columns

    def document_frequency(self, term: str) -> int:
        """How many documents have the term."""
        number = self._numbers.get(term)
        return 0 if number is None else int(self._starts[number + 1] - self._starts[number])

    def impact(self, term: str, row: int) -> tuple[float, bool]:
        """What a known term adds to a row's score, and whether the row has it. One without adds the floor."""
        number = self._numbers[term]
        floor = 0.0 if self._floor is None else float(self._floor[number])
        return impact_of(row, *self._column(number), floor)

    def compile(self) -> None:
        """Get bm25s' numba backend ready, which takes seconds once per process. Later batches use it."""
        with self._lock:
            if self._compiled is None:
                self._compiled = self._engine()

    def _engine(self) -> Any:
        import bm25s

        self._columns.require_rows(self._n_docs)
        engine = bm25s.BM25(backend="numba")  # its formula is for building alone: here it sums what is given
        arrays = {"data": self._impacts, "indices": self._rows, "indptr": self._starts}
        engine.scores = {**arrays, "num_docs": self._n_docs}
        engine.vocab_dict = self._numbers
        engine.nonoccurrence_array = None  # a floor would make hits of documents without any query term
        if self._numbers:
            engine.retrieve([[next(iter(self._numbers))]], k=1, sorted=False, show_progress=False, n_threads=1)
        return engine

    def search(
        self,
        queries: Sequence[Weighted],
        *,
        k: int,
        mask: NDArray[np.bool_] | None,
        engine: Engine,
        threads: int,
    ) -> Found:
        """At most k rows for each query, all of them with a term of it."""
        rows, scores = nothing_found(len(queries), k)
        for first in range(0, len(queries), _BLOCK):
            block = slice(first, first + _BLOCK)
            part, out = queries[block], (rows[block], scores[block])
            left: Iterable[int] = range(len(part))
            if mask is None and self._use_numba(engine):
                left = self._search_numba(part, out, k=k, threads=threads)
            begun = perf_counter()
            for i in left:
                hits, values = self._search_numpy(part[i], k=k, mask=mask)
                out[0][i, : len(hits)], out[1][i, : len(hits)] = hits, values
            self._numpy_s += perf_counter() - begun
        if self._floor is not None:
            floors = np.array([self._floor_of(query) for query in queries], dtype=np.float32)
            np.add(scores, floors[:, None], out=scores, where=rows >= 0)
        return rows, scores

    def _use_numba(self, engine: Engine) -> bool:
        if engine == "numba" or (engine == "auto" and self._numpy_s > _COMPILE_S):
            self.compile()
        return engine != "numpy" and self._compiled is not None and len(self._numbers) > 0

    def _search_numba(self, queries: Sequence[Weighted], out: Found, *, k: int, threads: int) -> Iterable[int]:
        """Fill `out` where bm25s can say what is asked. Gives the queries that are left."""
        able = [i for i, query in enumerate(queries) if query and REPEATS.issuperset(query.values())]
        terms = [_repeated(queries[i]) for i in able]
        # Several parts per thread: while one is in Python, holding the GIL, another is in compiled code.
        n_parts = min(len(able), _PARTS_PER_THREAD * threads if threads > 1 else 1)
        depth = min(k + 1, self._n_docs)  # one more than asked for, so that a tie at the cut can be seen

        def retrieve(part: int) -> Found:
            # numba's own threads may not be entered from two of ours; its serial code lets go of the GIL.
            ours = terms[part::n_parts]
            return best_first(*self._compiled.retrieve(ours, k=depth, sorted=False, show_progress=False, n_threads=1))

        parts = range(n_parts)
        if threads > 1 and n_parts > 1:
            with ThreadPoolExecutor(max_workers=threads) as pool:
                results = list(pool.map(retrieve, parts))
        else:
            results = [retrieve(part) for part in parts]
        left = set(range(len(queries))).difference(able)
        for part, (rows, scores) in zip(parts, results, strict=True):
            places = np.array(able[part::n_parts])
            out[0][places, : min(k, depth)], out[1][places, : min(k, depth)] = rows[:, :k], scores[:, :k]
            if depth > k:  # which of equal rows bm25s keeps depends on its heap
                left.update(places[(rows[:, k] >= 0) & (scores[:, k] == scores[:, k - 1])].tolist())
        return left

    def _search_numpy(self, query: Weighted, *, k: int, mask: NDArray[np.bool_] | None) -> Found:
        columns = [(*self._column(number), weight) for number, weight in self._known(query)]
        return sum_columns(columns, n_docs=self._n_docs, k=k, mask=mask)

    def _column(self, number: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        column = slice(self._starts[number], self._starts[number + 1])
        return self._rows[column], self._impacts[column]

    def _floor_of(self, query: Weighted) -> float:
        assert self._floor is not None
        return sum(float(self._floor[number]) * weight for number, weight in self._known(query))

    def _known(self, query: Weighted) -> list[tuple[int, float]]:
        numbers = self._numbers
        return [(numbers[term], weight) for term, weight in query.items() if term in numbers]


def impact_of(row: int, rows: NDArray[np.int32], impacts: NDArray[np.float32], floor: float) -> tuple[float, bool]:
    """What a column adds to a row's score, and whether the row is in it."""
    place = int(np.searchsorted(rows, row))
    there = place < len(rows) and int(rows[place]) == row
    return floor + (float(impacts[place]) if there else 0.0), there


def sum_columns(
    columns: Sequence[tuple[NDArray[np.int32], NDArray[np.float32], float]],
    *,
    n_docs: int,
    k: int,
    mask: NDArray[np.bool_] | None,
) -> Found:
    """The k best rows by the sum of weight times impact, in numpy. `columns`: rows, impacts and weight of each term."""
    scores = np.zeros(n_docs, dtype=np.float32)
    # A score above zero shows that a document has a term, unless weights are negative or so small that
    # impacts vanish.
    least = min((weight for _, _, weight in columns), default=1.0)
    touched = None if least > 1e-6 else np.zeros(n_docs, dtype=np.bool_)
    for rows, impacts, weight in columns:
        if weight in REPEATS:
            for _ in range(int(weight)):
                scores[rows] += impacts
        else:
            scores[rows] += impacts * np.float32(weight)
        if touched is not None:
            touched[rows] = True
    hits = scores > 0 if touched is None else touched
    if mask is not None:
        hits &= mask
    rows = np.flatnonzero(hits).astype(np.int32)
    return best(rows, scores[rows], k=k)


def _repeated(query: Weighted) -> list[str]:
    if len(query) == sum(query.values()):
        return list(query)
    return [term for term, weight in query.items() for _ in range(int(weight))]
