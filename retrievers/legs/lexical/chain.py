"""BM25 over several parts as over one index: the same weights, to the last bit.

A weight depends on all documents, so the parts' own weights are of no use here. The columns that a question asks for are
weighed when they are first asked for, from counts and lengths, in the order of operations of a build, and kept.

The same holds for some of the rows alone: for somebody who may not read the others, they are weighed as if those were not
there (`ChainedPostings.among`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag.core.types import Population
from retrievers.legs.lexical.counts import Counts
from retrievers.legs.lexical.impacts import Statistics, Weights
from retrievers.legs.lexical.settings import LexicalSettings
from retrievers.legs.protocol import ReadableRows
from retrievers.stores.chain_rows import ChainRows
from retrievers.stores.compiled import Column, Engine, EngineChoice, Summed
from retrievers.stores.hits import Found, Weighted, nothing_found
from retrievers.stores.lru_cache import Kept
from retrievers.stores.postings import AllScores, Columns, impact_of, population_over, search_columns, summed, sums_of

BUDGET_BYTES = 64 << 20
"""Weighed columns that are kept, 8 bytes a posting and `_ENTRY_BYTES` each; the one asked for the longest ago goes first."""

_ENTRY_BYTES = 500
_READERS = 1_000
"""Sets of labels whose statistics are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedPart:
    """A part's postings. `numbers`: term -> its column."""

    numbers: Mapping[str, int]
    columns: Columns
    counts: Counts


class _Column(NamedTuple):
    """Of one term, by rows of the whole, ascending. `floor`: what it adds to documents without it."""

    rows: NDArray[np.int32]
    impacts: NDArray[np.float32]
    floor: float = 0.0


_NO_COLUMN = _Column(np.empty(0, np.int32), np.empty(0, np.float32))


class ChainedPostings:
    """Scores queries over the rows that are left of several parts. Safe to share between threads.

    In memory are 4 bytes a document, and columns up to `budget_bytes`.
    """

    def __init__(
        self,
        parts: Sequence[CountedPart],
        rows: ChainRows,
        settings: LexicalSettings,
        *,
        budget_bytes: int = BUDGET_BYTES,
    ) -> None:
        self._parts, self._rows, self._settings = parts, rows, settings
        self._lengths = rows.joined([part.counts.lengths for part in parts])
        self._columns = Kept[_Column](
            budget_bytes, lambda column: column.rows.nbytes + column.impacts.nbytes + _ENTRY_BYTES
        )
        self._means = Kept[Statistics](_READERS, lambda statistics: 1)
        self._statistics = Statistics.of(self._lengths)
        self._readable: ReadableRows | None = None
        self._engine, self._all = EngineChoice(len(rows)), AllScores()

    def among(self, readable: ReadableRows) -> ChainedPostings:
        """The same as if there were nothing but these rows, under the numbers that they have in the whole.

        Its columns are kept within the budget of all. Hits have to be masked as ever.
        """
        view = copy(self)
        view._readable = readable
        view._statistics = self._means.get(readable.labels, lambda: Statistics.of(self._lengths[readable.rows]))
        return view

    def __len__(self) -> int:
        """How many documents there are."""
        return self._statistics.n_docs

    def __contains__(self, term: object) -> bool:
        """Whether some document has the term."""
        return isinstance(term, str) and self.document_frequency(term) > 0

    def document_frequency(self, term: str) -> int:
        """How many documents have the term."""
        return len(self.rows_with(term))

    def rows_with(self, term: str) -> NDArray[np.int32]:
        """Rows that have the term."""
        return self._column(term).rows

    def impact(self, term: str, row: int) -> tuple[float, bool]:
        """What a term adds to a row's score, and whether the row has it. One without adds the floor."""
        return impact_of(row, *self._column(term))

    def compile(self) -> None:
        """Get the compiled engine ready, which takes seconds once per process. Later batches use it."""
        self._engine.compile()

    def search(
        self, queries: Sequence[Weighted], *, k: int, mask: NDArray[np.bool_] | None, engine: Engine = "auto"
    ) -> Found:
        """At most k rows for each query, all of them with a term of it."""
        rows, scores = nothing_found(len(queries), k)
        for place, query in enumerate(queries):
            columns, floor = self._weighed_query(query)
            only = slice(place, place + 1)
            search_columns(self._engine, columns, (rows[only], scores[only]), mask=mask, engine=engine)
            if floor:
                scores[place, rows[place] >= 0] += np.float32(floor)
        return rows, scores

    def scores(self, query: Weighted, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """float32 [len(rows)]: what these rows score."""
        columns, floor = self._weighed_query(query)
        return sums_of(columns, rows) + np.float32(floor)

    def population(self, query: Weighted, *, among: NDArray[np.bool_] | None) -> Population:
        """What scores come to over all rows that there are here, or over those that count."""
        whole, floor = self._summed(query)
        return population_over(whole, len(self), among=among, floor=floor)

    def _summed(self, query: Weighted) -> tuple[Summed, float]:
        """What all rows score, and what is added to each."""
        columns, floor = self._weighed_query(query)
        labels = None if self._readable is None else self._readable.labels
        return self._all.of((labels, *query.items()), lambda: summed(self._engine, columns)), floor

    def _weighed_query(self, query: Weighted) -> tuple[list[Column], float]:
        """The columns of a query, and what it adds to documents without its terms."""
        weighed = [(self._column(term), weight) for term, weight in query.items()]
        columns = [Column(each.rows, each.impacts, weight) for each, weight in weighed if len(each.rows)]
        return columns, sum(each.floor * weight for each, weight in weighed)

    def _column(self, term: str) -> _Column:
        """An empty one where no document has the term."""
        if not any(term in part.numbers for part in self._parts):
            return _NO_COLUMN
        labels = None if self._readable is None else self._readable.labels
        return self._columns.get((labels, term), lambda: self._weighed(term))

    def _weighed(self, term: str) -> _Column:
        postings = [self._postings(number, term) for number, part in enumerate(self._parts) if term in part.numbers]
        rows, counts = (np.concatenate(each) for each in zip(*postings, strict=True))
        if not len(rows):
            return _NO_COLUMN
        weights = Weights(np.array([len(rows)]), self._statistics, self._settings)
        impacts = weights(np.zeros(len(rows), dtype=np.int32), counts, self._lengths[rows])
        return _Column(rows, impacts, 0.0 if weights.floor is None else float(weights.floor[0]))

    def _postings(self, part: int, term: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Rows of the whole, and counts, of a part's documents that count and have the term."""
        columns, number = self._parts[part].columns, self._parts[part].numbers[term]
        column = slice(int(columns.starts[number]), int(columns.starts[number + 1]))
        rows, counts = self._rows.rows(part, columns.rows[column]), self._parts[part].counts.of(column)
        left = rows >= 0
        if self._readable is not None:
            left &= self._readable.rows[rows]  # row -1 is gone in any case
        return rows[left], counts[left]
