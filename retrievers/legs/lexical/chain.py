"""BM25 over several parts as over one index: the same weights, to the last bit.

A weight depends on all documents, so the parts' own weights are of no use here. The columns that a question asks for are
weighed when they are first asked for, from counts and lengths, in the order of operations of a build, and kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrievers.legs.lexical.counts import Counts
from retrievers.legs.lexical.impacts import Statistics, Weights
from retrievers.legs.lexical.settings import LexicalSettings
from retrievers.stores.chain_rows import ChainRows
from retrievers.stores.hits import Found, Weighted, nothing_found
from retrievers.stores.postings import Columns, impact_of, sum_columns

BUDGET_BYTES = 64 << 20
"""Weighed columns that are kept, 8 bytes a posting; the one that was asked for the longest ago goes first."""


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
    floor: float

    @property
    def n_bytes(self) -> int:
        return self.rows.nbytes + self.impacts.nbytes


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
        self._parts, self._rows, self._settings, self._budget = parts, rows, settings, budget_bytes
        self._lengths = rows.joined([part.counts.lengths for part in parts])
        self._statistics = Statistics.of(self._lengths)
        self._kept: OrderedDict[str, _Column] = OrderedDict()
        self._kept_bytes = 0
        self._lock = Lock()

    def __contains__(self, term: object) -> bool:
        """Whether some document that is left has the term."""
        return isinstance(term, str) and self._column(term) is not None

    def document_frequency(self, term: str) -> int:
        """How many documents have the term."""
        column = self._column(term)
        return 0 if column is None else len(column.rows)

    def impact(self, term: str, row: int) -> tuple[float, bool]:
        """What a known term adds to a row's score, and whether the row has it. One without adds the floor."""
        column = self._column(term)
        return (0.0, False) if column is None else impact_of(row, *column)

    def search(self, queries: Sequence[Weighted], *, k: int, mask: NDArray[np.bool_] | None) -> Found:
        """At most k rows for each query, all of them with a term of it."""
        rows, scores = nothing_found(len(queries), k)
        for i, query in enumerate(queries):
            columns = [(*column, weight) for term, weight in query.items() if (column := self._column(term))]
            summed = [(its_rows, impacts, weight) for its_rows, impacts, _, weight in columns]
            hits, values = sum_columns(summed, n_docs=len(self._rows), k=k, mask=mask)
            floor = np.float32(sum(floor * weight for _, _, floor, weight in columns))
            rows[i, : len(hits)], scores[i, : len(hits)] = hits, values + floor if floor else values
        return rows, scores

    def _column(self, term: str) -> _Column | None:
        """None where no document that is left has the term."""
        with self._lock:
            if term in self._kept:
                self._kept.move_to_end(term)
                return self._kept[term]
        column = self._weighed(term)
        if column is None:
            return None
        with self._lock:
            if term not in self._kept:
                self._kept[term] = column
                self._kept_bytes += column.n_bytes
            while self._kept_bytes > self._budget:
                self._kept_bytes -= self._kept.popitem(last=False)[1].n_bytes
        return column

    def _weighed(self, term: str) -> _Column | None:
        postings = [self._postings(number, term) for number, part in enumerate(self._parts) if term in part.numbers]
        if not postings:
            return None
        rows, counts = (np.concatenate(each) for each in zip(*postings, strict=True))
        if not len(rows):
            return None
        weights = Weights(np.array([len(rows)]), self._statistics, self._settings)
        impacts = weights(np.zeros(len(rows), dtype=np.int32), counts, self._lengths[rows])
        return _Column(rows, impacts, 0.0 if weights.floor is None else float(weights.floor[0]))

    def _postings(self, part: int, term: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Rows of the whole, and counts, of a part's documents that are left and have the term."""
        columns, number = self._parts[part].columns, self._parts[part].numbers[term]
        column = slice(int(columns.starts[number]), int(columns.starts[number + 1]))
        rows, counts = self._rows.rows(part, columns.rows[column]), self._parts[part].counts.of(column)
        left = rows >= 0
        return rows[left], counts[left]
