"""What each term adds to each document's score: bm25s' sparse matrix, kept on disk and searched.

BM25 is a sum over query terms, so all of it but the sum is done when the index is built (bm25s: Lù 2024,
arXiv:2407.03618). Knows no text and no analyzer.

    impacts.npy   float32 [n_postings], column by column (a column is a term)
    rows.npy      int32 [n_postings], the document of each impact, ascending within a column
    starts.npy    int64 [n_terms + 1], where each column starts
    floor.npy     float32 [n_terms], what a term adds to documents without it (bm25l and bm25+ alone)
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from retrievers.index.hits import Found, Weighted, best, best_first, nothing_found
from retrievers.index.settings import LexicalSettings
from retrievers.index.tokens import Tokens, load_vector

Engine = Literal["auto", "numba", "numpy"]

REPEATS = frozenset(range(1, 17))
"""Weights that are scored as so many repetitions of the term, which is all that bm25s knows of weights."""

_WITH_FLOOR = ("bm25l", "bm25+")

_LEAST = np.float32(1e-30)
"""Stands for an impact of zero (robertson: terms in half of the documents; atire: in all). It vanishes in any
other impact, but a document with a query term keeps a score above zero, and one without stays at zero."""

_COMPILE_S = 4.0
"""Seconds that the first use of bm25s' numba backend costs: 0.4 to import it, 3.3 to compile (2 cores, bm25s
0.3, numba 0.68). Numpy takes 70 us for a SciFact query and compiled code 27; 430 and 180 us over 167,000
documents. One question, and even 1,000, are answered sooner without the compiler. It is called once numpy has
been busy for as long as compiling takes: nobody waits more than twice as long as with the choice that was better
in hindsight."""

_PARTS_PER_THREAD = 4

_BLOCK = 1024
"""Queries per call, so that a long batch can change engines on its way."""


class Impacts:
    """Scores queries over the matrix, with bm25s' numba backend or in numpy. Both give the same bits.

    Safe to share between threads.
    """

    def __init__(self, folder: Path, *, settings: LexicalSettings, numbers: Mapping[str, int], n_docs: int) -> None:
        self._settings, self._numbers, self._n_docs = settings, numbers, n_docs
        self._impacts = load_vector(folder / "impacts.npy", np.float32)
        self._rows = load_vector(folder / "rows.npy", np.int32)
        self._starts = load_vector(folder / "starts.npy", np.int64)
        self._floor = load_vector(folder / "floor.npy", np.float32) if settings.variant in _WITH_FLOOR else None
        n_terms = len(numbers)
        fitting = (
            len(self._starts) == n_terms + 1
            and len(self._impacts) == len(self._rows) == self._starts[-1]
            and (self._floor is None or len(self._floor) == n_terms)
        )
        if not fitting:
            raise IndexProblem(f"'{folder}': its arrays do not fit together. Build the index again")
        self._compiled: Any = None
        self._numpy_s = 0.0
        self._lock = threading.Lock()

    @staticmethod
    def build(tokens: Tokens, folder: Path, *, n_terms: int, settings: LexicalSettings) -> None:
        """Write the files. Peak memory is about 40 bytes per posting beside the tokens."""
        import bm25s

        floor, starts = np.zeros(n_terms, np.float32), np.zeros(n_terms + 1, dtype=np.int64)
        impacts, rows = np.empty(0, np.float32), np.empty(0, np.int32)
        if n_terms:  # bm25s divides by the mean length
            engine = bm25s.BM25(k1=settings.k1, b=settings.b, delta=settings.delta, method=settings.variant)
            scores = engine.build_index_from_ids(range(n_terms), tokens, show_progress=False)
            impacts, rows, starts = scores["data"], scores["indices"], scores["indptr"]
            floor = engine.nonoccurrence_array
        if settings.variant in _WITH_FLOOR:
            np.save(folder / "floor.npy", floor)
        np.save(folder / "impacts.npy", np.maximum(impacts, _LEAST, dtype=np.float32))
        np.save(folder / "rows.npy", rows.astype(np.int32, copy=False))
        np.save(folder / "starts.npy", starts.astype(np.int64, copy=False))

    def compile(self) -> None:
        """Get bm25s' numba backend ready, which takes seconds once per process. Later batches use it."""
        with self._lock:
            if self._compiled is None:
                self._compiled = self._engine()

    def _engine(self) -> Any:
        import bm25s

        # Compiled code does not check bounds.
        if len(self._rows) and not 0 <= int(self._rows.min()) <= int(self._rows.max()) < self._n_docs:
            raise IndexProblem("an impact belongs to a row that the index has not. Build the index again")
        settings = self._settings
        engine = bm25s.BM25(k1=settings.k1, b=settings.b, method=settings.variant, backend="numba")
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
            asked, out = queries[block], (rows[block], scores[block])
            left: Iterable[int] = range(len(asked))
            if mask is None and self._use_numba(engine):
                left = self._search_numba(asked, out, k=k, threads=threads)
            begun = perf_counter()
            for i in left:
                hits, values = self._search_numpy(asked[i], k=k, mask=mask)
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
                found = list(pool.map(retrieve, parts))
        else:
            found = [retrieve(part) for part in parts]
        left = set(range(len(queries))).difference(able)
        for part, (rows, scores) in zip(parts, found, strict=True):
            places = np.array(able[part::n_parts])
            out[0][places, : min(k, depth)], out[1][places, : min(k, depth)] = rows[:, :k], scores[:, :k]
            if depth > k:  # which of equal rows bm25s keeps depends on its heap
                left.update(places[(rows[:, k] >= 0) & (scores[:, k] == scores[:, k - 1])].tolist())
        return left

    def _search_numpy(self, query: Weighted, *, k: int, mask: NDArray[np.bool_] | None) -> Found:
        scores = np.zeros(self._n_docs, dtype=np.float32)
        # A score above zero shows that a document has a term, unless weights are negative or so small that
        # impacts vanish.
        touched = None if min(query.values(), default=1) > 1e-6 else np.zeros(self._n_docs, dtype=np.bool_)
        for number, weight in self._known(query):
            column = slice(self._starts[number], self._starts[number + 1])
            rows, impacts = self._rows[column], self._impacts[column]
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

    def _floor_of(self, query: Weighted) -> float:
        assert self._floor is not None
        return sum(float(self._floor[number]) * weight for number, weight in self._known(query))

    def _known(self, query: Weighted) -> list[tuple[int, float]]:
        numbers = self._numbers
        return [(numbers[term], weight) for term, weight in query.items() if term in numbers]


def _repeated(query: Weighted) -> list[str]:
    if len(query) == sum(query.values()):
        return list(query)
    return [term for term, weight in query.items() for _ in range(int(weight))]
