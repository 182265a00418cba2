"""The variants of rank-bm25, scored by that library itself: a reference, hundreds of times slower than bm25s.

tokens.npy   int32 [n_tokens], term numbers of all documents, end to end
starts.npy   int64 [n_docs + 1], where each document starts
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from rag.core.types import Population
from retrievers.legs.lexical.settings import LexicalSettings
from retrievers.stores.arrays import VectorFile, load_vector
from retrievers.stores.hits import Found, Weighted, best, nothing_found
from retrievers.stores.population import population_of

VARIANTS = ("okapi", "l", "plus")


class Tokens:
    """Term numbers of all documents, end to end, which rank-bm25 is made of. Iterates over documents as lists of them."""

    def __init__(self, terms: NDArray[np.int32], starts: NDArray[np.int64]) -> None:
        self.terms, self.starts = terms, starts

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[list[int]]:
        for first, last in zip(self.starts[:-1], self.starts[1:], strict=True):
            yield self.terms[first:last].tolist()


class TokensWriter:
    """Documents, one after the other -> both files. A context manager. Holds 8 bytes of each document."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._starts = folder, array("q", [0])
        self._tokens = VectorFile(folder / "tokens.npy", np.int32)

    def add(self, terms: list[int]) -> None:
        """The next document's term numbers, in text order.

        Raises:
            OSError: the disk is full.
        """
        self._tokens.append(np.array(terms, dtype=np.int32))
        self._starts.append(self._starts[-1] + len(terms))

    def finish(self) -> None:
        """Write what is known in the end.

        Raises:
            OSError: the disk is full.
        """
        np.save(self._folder / "starts.npy", np.array(self._starts, dtype=np.int64))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._tokens.__exit__(*error)


class RankBM25:
    """BM25Okapi, BM25L or BM25Plus over term numbers. The first search counts all tokens."""

    def __init__(self, folder: Path, *, settings: LexicalSettings, numbers: Mapping[str, int], n_docs: int) -> None:
        self._settings, self._numbers = settings, numbers
        terms = load_vector(folder / "tokens.npy", np.int32)
        starts = load_vector(folder / "starts.npy", np.int64)
        if len(starts) != n_docs + 1 or len(terms) != starts[-1]:
            raise IndexProblem(f"'{folder}': its arrays do not fit together. Build the index again")
        self._tokens = Tokens(terms, starts)
        self._scorer: Any = None
        self._lock = threading.Lock()

    def document_frequency(self, term: str) -> int:
        """How many documents have the term."""
        return len(self.rows_with(term))

    def document_frequencies(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [n]: how many documents have each of these terms at most: as often as all have it together."""
        return np.bincount(self._tokens.terms, minlength=len(self._numbers))[numbers]

    def rows_with(self, term: str) -> NDArray[np.int32]:
        """Rows that have the term."""
        number = self._numbers.get(term)
        rows = [] if number is None else [row for row, has in enumerate(self._engine().doc_freqs) if number in has]
        return np.array(rows, dtype=np.int32)

    def impact(self, term: str, row: int) -> tuple[float, bool]:
        """What a term that the corpus has adds to a row's score, and whether the row has it."""
        engine, number = self._engine(), self._numbers[term]
        return float(engine.get_batch_scores([number], [row])[0]), number in engine.doc_freqs[row]

    def search(self, queries: Sequence[Weighted], *, k: int, mask: NDArray[np.bool_] | None) -> Found:
        """At most k rows for each query, all of them with a term of it."""
        rows, scores = nothing_found(len(queries), k)
        for i, query in enumerate(queries):
            known = {self._numbers[term]: weight for term, weight in query.items() if term in self._numbers}
            if known:  # also keeps rank-bm25 from a corpus without terms, by whose mean length it divides
                hits, values = self._search(known, k=k, mask=mask)
                rows[i, : len(hits)], scores[i, : len(hits)] = hits, values
        return rows, scores

    def scores(self, query: Weighted, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """float32 [len(rows)]: what these rows score."""
        return self._sums(query, rows.tolist()).astype(np.float32)

    def population(self, query: Weighted, *, among: NDArray[np.bool_] | None) -> Population:
        """What scores come to over all rows, or over those that count. A reference: it scores each of them."""
        rows = range(len(self._tokens)) if among is None else np.flatnonzero(among).tolist()
        sums = self._sums(query, rows)
        return population_of(len(sums), float(sums.sum()), float(sums @ sums))

    def _sums(self, query: Weighted, rows: Sequence[int]) -> NDArray[np.float64]:
        scores = np.zeros(len(rows))
        for term, weight in query.items() if rows else ():
            if term in self._numbers:
                scores += weight * np.asarray(self._engine().get_batch_scores([self._numbers[term]], rows))
        return scores

    def _search(self, query: Mapping[int, float], *, k: int, mask: NDArray[np.bool_] | None) -> Found:
        engine = self._engine()
        rows = [row for row, counts in enumerate(engine.doc_freqs) if not query.keys().isdisjoint(counts)]
        if mask is not None:
            rows = [row for row in rows if mask[row]]
        scores = np.zeros(len(rows))
        for term, weight in query.items() if rows else ():
            scores += weight * np.asarray(engine.get_batch_scores([term], rows))
        return best(np.array(rows, dtype=np.int32), scores.astype(np.float32), k=k)

    def _engine(self) -> Any:
        with self._lock:
            if self._scorer is None:
                import rank_bm25

                k1, b, delta = self._settings.k1, self._settings.b, self._settings.delta
                if self._settings.variant == "okapi":
                    self._scorer = rank_bm25.BM25Okapi(self._tokens, k1=k1, b=b)
                else:
                    kind = rank_bm25.BM25L if self._settings.variant == "l" else rank_bm25.BM25Plus
                    self._scorer = kind(self._tokens, k1=k1, b=b, delta=delta)
            return self._scorer
