"""The sparse leg over vectors that somebody else keeps: weighted terms of a language model, a place for each term."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rag.core.types import Population, Where
from retrievers.legs.protocol import Facts, Sparse, VectorsElsewhere
from retrievers.legs.sparse.weighed_terms import WeighedTerms
from retrievers.stores.computed import Row

if TYPE_CHECKING:
    from retrievers.legs.sparse.search import SparseSearch

    def _keeps_the_protocol(leg: SparseElsewhere) -> SparseSearch:
        return leg


class SparseElsewhere(WeighedTerms):
    """See `ModelLeg`."""

    def __init__(self, kept: VectorsElsewhere, facts: Facts) -> None:
        super().__init__(facts, lambda where: None)
        self._kept = kept

    def row(self, place: int) -> Row:
        return _row(self._kept.vector(place))

    def search(
        self, query: Mapping[int, float], *, k: int, where: Where | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """See `SparseSearch.search`. Scores are in float32 where they are worked out."""
        weights = {term: weight for term, weight in sorted(query.items()) if weight > 0}
        vector = Sparse(np.array([*weights], np.int64), np.array([*weights.values()], np.float32))
        found = self._kept.heaviest([vector] if weights else [], k=k, where=where)
        if not found:
            return np.zeros(0, np.int64), np.zeros(0)
        rows, scores = found[0]
        order = np.argsort(rows)
        return rows[order], scores[order]

    def scores(self, query: Mapping[int, float], rows: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """float64 [len(rows)]: what these rows score. They are one question."""
        kept = self._kept.vectors(rows.tolist()) if len(rows) else {}
        return np.array([_product(query, _row(kept[row])) for row in rows.tolist()], dtype=np.float64)

    def population(self, query: Mapping[int, float], *, where: Where | None = None) -> Population | None:
        """None: only the best are told, and not all."""
        return None


def _product(query: Mapping[int, float], row: Row) -> float:
    pairs = zip(row["tokens"].tolist(), row["weights"].tolist(), strict=True)
    return float(sum(query[term] * weight for term, weight in pairs if term in query))


def _row(vector: Sparse) -> Row:
    return {"tokens": vector.places.astype(np.int32), "weights": vector.weights.astype(np.float32)}
