"""Weighted terms of a language model on a server, as sparse vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rag.core.types import Population, Where
from retrievers.legs.sparse.kind import WeighedTerms
from retrievers.servers.ahead import ReadAhead
from retrievers.servers.hits import best_of
from retrievers.servers.legs.lexical import NOWHERE, sparse_row
from retrievers.servers.legs.protocol import ServerLegKind, ServerOpening, Upload
from retrievers.servers.store import Record, Sparse
from retrievers.stores.computed import Row

if TYPE_CHECKING:
    from retrievers.legs.sparse.kind import LocalSparse
    from retrievers.legs.sparse.search import SparseSearch

    def _keeps_the_protocol(leg: ServerSparse) -> SparseSearch:
        return leg


class ServerSparseKind(ServerLegKind):
    """See `ServerLegKind`."""

    name: ClassVar[str] = "sparse"

    def upload(self, leg: LocalSparse) -> Upload:
        def vectors(first: int, last: int) -> list[Sparse]:
            rows = (leg.row(row) for row in range(first, last))
            return [sparse_row(row["tokens"], row["weights"]) for row in rows]

        return Upload(vectors=vectors)

    def open(self, opening: ServerOpening) -> ServerSparse:
        return ServerSparse(opening)


class ServerSparse(WeighedTerms):
    """See `ModelLeg`."""

    def __init__(self, opening: ServerOpening) -> None:
        super().__init__(opening.facts, lambda where: None)
        self._opening = opening
        self._rows = ReadAhead(self._fetch, opening.n)

    def row(self, place: int) -> Row:
        return self._rows[place]

    def search(
        self, query: Mapping[int, float], *, k: int, where: Where | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """See `SparseSearch.search`. Scores are the server's, in float32."""
        opening, fields = self._opening, self._opening.filter(where)
        weights = {term: weight for term, weight in sorted(query.items()) if weight > 0}
        if not weights:
            return np.zeros(0, np.int64), np.zeros(0)
        vector = Sparse(np.array([*weights], np.int64), np.array([*weights.values()], np.float32))

        def ask(numbers: Sequence[int], depth: int) -> list[list[Record]]:
            chosen = [vector for _ in numbers]
            return opening.store.heaviest(opening.collection, ServerSparseKind.name, chosen, k=depth, where=fields)

        rows, scores = best_of(1, ask, k=k)[0]
        order = np.argsort(rows)
        return rows[order], scores[order]

    def scores(self, query: Mapping[int, float], rows: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """float64 [len(rows)]: what these rows score. They are one question to the server."""
        kept = self._fetch(rows.tolist()) if len(rows) else {}
        return np.array([_product(query, kept[row]) for row in rows.tolist()], dtype=np.float64)

    def population(self, query: Mapping[int, float], *, where: Where | None = None) -> Population | None:
        """None: a server tells of the best, and not of all."""
        return None

    def _fetch(self, rows: Sequence[int]) -> Mapping[int, Row]:
        opening, name = self._opening, ServerSparseKind.name
        records = opening.store.get(opening.collection, list(rows), fields=[name])
        return {int(record.id): _row(record.fields[name]) for record in records}


def _product(query: Mapping[int, float], row: Row) -> float:
    pairs = zip(row["tokens"].tolist(), row["weights"].tolist(), strict=True)
    return float(sum(query[term] * weight for term, weight in pairs if term in query))


def _row(vector: Sparse) -> Row:
    there = np.asarray(vector.places) != NOWHERE
    return {
        "tokens": np.asarray(vector.places)[there].astype(np.int32),
        "weights": np.asarray(vector.weights)[there].astype(np.float32),
    }
