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

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from rag.core.side_by_side import side_by_side
from rag.core.types import Population
from retrievers.stores.arrays import load_vector
from retrievers.stores.compiled import REPEATS, Column, CompiledSearch, Engine, EngineChoice, Summed
from retrievers.stores.hits import Found, Weighted, best, nothing_found
from retrievers.stores.lru_cache import Kept
from retrievers.stores.population import population_of

_LEAST = 1e-6
"""Weights from here on leave no impact at 0, so a score above 0 shows that a document has a term."""

_NO_FLOOR = np.float32(0)
_KEPT_BYTES = 4 << 20
"""Of scores of all rows, by question; of a million rows one question's."""

_PARTS_PER_THREAD = 4
"""While one thread is in Python, holding the interpreter, another is in compiled code."""

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

    def document_frequencies(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [n]: how many documents have each of these terms."""
        starts = np.asarray(self.starts)
        return starts[numbers + 1] - starts[numbers]

    def require_rows(self, n_docs: int) -> None:
        """Before code that does not check bounds.

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
    """Scores queries over postings, compiled or in numpy. Both give the same bits.

    Safe to share between threads.

    Args:
        numbers: term -> its column.
    """

    def __init__(self, columns: Columns, *, numbers: Mapping[str, int], n_docs: int) -> None:
        self._numbers, self._n_docs = numbers, n_docs
        # Plain views: a memory map's own slices take ten times as long.
        self._impacts, self._rows, self._starts = map(np.asarray, (columns.impacts, columns.rows, columns.starts))
        self._floor, self._columns = columns.floor, columns
        self._engine, self._all = EngineChoice(n_docs), AllScores()

    @property
    def columns(self) -> Columns:
        """What is searched."""
        return self._columns

    def document_frequency(self, term: str) -> int:
        """How many documents have the term."""
        number = self._numbers.get(term)
        return 0 if number is None else int(self._starts[number + 1] - self._starts[number])

    def rows_with(self, term: str) -> NDArray[np.int32]:
        """Rows that have the term."""
        number = self._numbers.get(term)
        return np.empty(0, np.int32) if number is None else self._column(number)[0]

    def impact(self, term: str, row: int) -> tuple[float, bool]:
        """What a known term adds to a row's score, and whether the row has it. One without adds the floor."""
        number = self._numbers[term]
        floor = 0.0 if self._floor is None else float(self._floor[number])
        return impact_of(row, *self._column(number), floor)

    def compile(self) -> None:
        """Get the compiled engine ready, which takes a second once per process. Later batches use it."""
        self._engine.compile()

    def search(
        self,
        queries: Sequence[Weighted],
        *,
        k: int,
        mask: NDArray[np.bool_] | None,
        engine: Engine,
        threads: int,
    ) -> Found:
        """At most k rows for each query, all of them with a term of it.

        Raises:
            IndexProblem: a posting is of a row that the index has not.
        """
        rows, scores = nothing_found(len(queries), k)
        for first in range(0, len(queries), _BLOCK):
            block = slice(first, first + _BLOCK)
            part, out = queries[block], (rows[block], scores[block])
            compiled = self._engine.compiled(engine)
            if compiled is not None:
                self._search_compiled(compiled, part, out, mask=mask, threads=threads)
            else:
                with self._engine.busy():
                    self._search_numpy(part, out, mask=mask)
        if self._floor is not None:
            floors = np.array([self._floor_of(query) for query in queries], dtype=np.float32)
            np.add(scores, floors[:, None], out=scores, where=rows >= 0)
        return rows, scores

    def scores(self, query: Weighted, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """float32 [len(rows)]: what these rows score."""
        floor = _NO_FLOOR if self._floor is None else np.float32(self._floor_of(query))
        return sums_of(self._weighed(query), rows) + floor

    def population(self, query: Weighted, *, among: NDArray[np.bool_] | None) -> Population:
        """What scores come to over all rows, or over those that count."""
        floor = 0.0 if self._floor is None else self._floor_of(query)
        return population_over(self._summed(query), self._n_docs, among=among, floor=floor)

    def _summed(self, query: Weighted) -> Summed:
        return self._all.of(tuple(query.items()), lambda: self._sum(query))

    def _sum(self, query: Weighted) -> Summed:
        compiled = self._engine.compiled("auto")
        if compiled is None or min(query.values(), default=1.0) < _LEAST:
            return summed(self._engine, self._weighed(query))
        known = self._known(query)
        table = self._rows, self._impacts, self._starts
        return compiled.summed_columns(table, [number for number, _ in known], [weight for _, weight in known])

    def _search_compiled(
        self,
        compiled: CompiledSearch,
        queries: Sequence[Weighted],
        out: Found,
        *,
        mask: NDArray[np.bool_] | None,
        threads: int,
    ) -> None:
        size = -(-len(queries) // (_PARTS_PER_THREAD * threads)) if threads > 1 else len(queries)
        table = self._rows, self._impacts, self._starts

        def work(first: int) -> None:
            part = slice(first, first + size)
            terms, weights, bounds, left = list[int](), list[float](), [0], list[int]()
            for place, query in enumerate(queries[part]):
                if query and min(query.values()) < _LEAST:
                    left.append(first + place)
                else:
                    for term, weight in query.items():
                        if (number := self._numbers.get(term)) is not None:
                            terms.append(number)
                            weights.append(weight)
                bounds.append(len(terms))
            compiled.search_columns(table, terms, weights, bounds, (out[0][part], out[1][part]), mask=mask)
            for place in left:
                only = slice(place, place + 1)
                self._search_numpy(queries[only], (out[0][only], out[1][only]), mask=mask)

        if threads == 1:
            work(0)
        else:
            side_by_side(work, range(0, len(queries), size), threads=threads)

    def _search_numpy(self, queries: Sequence[Weighted], out: Found, *, mask: NDArray[np.bool_] | None) -> None:
        for query, rows, scores in zip(queries, *out, strict=True):
            columns = self._weighed(query)
            hits, values = sum_columns(columns, n_docs=self._n_docs, k=len(rows), mask=mask)
            rows[: len(hits)], scores[: len(hits)] = hits, values

    def _weighed(self, query: Weighted) -> list[Column]:
        return [Column(*self._column(number), weight) for number, weight in self._known(query)]

    def _column(self, number: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        column = slice(self._starts[number], self._starts[number + 1])
        return self._rows[column], self._impacts[column]

    def _floor_of(self, query: Weighted) -> float:
        assert self._floor is not None
        return sum(float(self._floor[number]) * weight for number, weight in self._known(query))

    def _known(self, query: Weighted) -> list[tuple[int, float]]:
        numbers = self._numbers
        return [(numbers[term], weight) for term, weight in query.items() if term in numbers]


class AllScores:
    """What every row scores for the questions whose populations were asked for last.

    Safe to share between threads.
    """

    def __init__(self) -> None:
        self._kept = Kept[Summed](_KEPT_BYTES, lambda whole: whole.scores.nbytes)

    def of(self, key: Hashable, make: Callable[[], Summed]) -> Summed:
        """Sums of weight times impact, to the bit those of a search; 0 where a row has no term. `key`: names the question."""
        return self._kept.get(key, make)


def summed(choice: EngineChoice, columns: Sequence[Column], *, engine: Engine = "auto") -> Summed:
    """What every row scores: the sum of weight times impact."""
    compiled = choice.compiled(engine)
    if compiled is not None and all(column.weight >= _LEAST for column in columns):
        return compiled.summed(columns)
    with choice.busy():
        scores = all_sums(columns, choice.n_docs)
        exact = scores[np.flatnonzero(scores)].astype(np.float64)  # of most rows it is 0
        return Summed(scores, float(exact.sum()), float(exact @ exact))


def all_sums(columns: Sequence[Column], n_rows: int) -> NDArray[np.float32]:
    """float32 [n_rows]: the sum of weight times impact of every row."""
    sums = np.zeros(n_rows, dtype=np.float32)
    for rows, impacts, weight in columns:
        if weight in REPEATS:  # exact, where a product would be rounded
            for _ in range(int(weight)):
                sums[rows] += impacts
        else:
            sums[rows] += impacts * np.float32(weight)
    return sums


def sums_of(columns: Sequence[Column], wanted: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """float32 [len(wanted)]: the same of some rows alone, which are looked up in every column."""
    sums = np.zeros(len(wanted), dtype=np.float32)
    for rows, impacts, weight in columns:
        places = np.searchsorted(rows, wanted)
        there = np.flatnonzero(places < len(rows))
        there = there[rows[places[there]] == wanted[there]]
        added = impacts[places[there]]
        if weight in REPEATS:
            for _ in range(int(weight)):
                sums[there] += added
        else:
            sums[there] += added * np.float32(weight)
    return sums


def population_over(
    whole: Summed, n_rows: int, *, among: NDArray[np.bool_] | None = None, floor: float = 0.0
) -> Population:
    """What the scores of all rows come to.

    Args:
        n_rows: rows that there are, or `among`: bool [as many as rows have numbers], those that count.
        floor: added to each.
    """
    if among is None:
        return population_of(n_rows, whole.total, whole.squares, floor=floor)
    exact = whole.scores[among].astype(np.float64)
    return population_of(len(exact), float(exact.sum()), float(exact @ exact), floor=floor)


def impact_of(row: int, rows: NDArray[np.int32], impacts: NDArray[np.float32], floor: float) -> tuple[float, bool]:
    """What a column adds to a row's score, and whether the row is in it."""
    place = int(np.searchsorted(rows, row))
    there = place < len(rows) and int(rows[place]) == row
    return floor + (float(impacts[place]) if there else 0.0), there


def search_columns(
    choice: EngineChoice, columns: Sequence[Column], out: Found, *, mask: NDArray[np.bool_] | None, engine: Engine
) -> None:
    """Fill `out`, [1, k] each, with the best rows by the sum of weight times impact; for columns that lie anywhere."""
    compiled = choice.compiled(engine)
    if compiled is not None and all(column.weight >= _LEAST for column in columns):
        compiled.search(columns, out, mask=mask)
        return
    with choice.busy():
        hits, values = sum_columns(columns, n_docs=choice.n_docs, k=out[0].shape[1], mask=mask)
        out[0][0, : len(hits)], out[1][0, : len(hits)] = hits, values


def sum_columns(columns: Sequence[Column], *, n_docs: int, k: int, mask: NDArray[np.bool_] | None) -> Found:
    """The k best rows by the sum of weight times impact, in numpy."""
    scores = all_sums(columns, n_docs)
    hits = scores > 0
    if min((column.weight for column in columns), default=1.0) < _LEAST:
        hits = np.zeros(n_docs, dtype=np.bool_)
        for rows, _, _ in columns:
            hits[rows] = True
    if mask is not None:
        hits &= mask
    rows = np.flatnonzero(hits).astype(np.int32)
    return best(rows, scores[rows], k=k)
