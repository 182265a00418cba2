"""The vectors of a leg in a collection: one of each point, under the name of the leg."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.filters import Filter
from rag.indexes import Sparse, VectorsElsewhere
from rag.types import Where
from ragline_servers.hits import Best, best_of
from ragline_servers.parts import Parts
from ragline_servers.read_ahead import ReadAhead
from ragline_servers.store import CollectionStore, Record

NOWHERE = 2**31 - 1
"""A place that no term has: of rows without any, as Milvus takes no empty vector."""

_NOWHERE_ALONE = Sparse(np.array([NOWHERE]), np.ones(1, np.float32))


class LegInCollection(VectorsElsewhere):
    """See `VectorsElsewhere`. `filter`: one over metadata as one over fields of points."""

    def __init__(
        self,
        store: CollectionStore,
        collection: str,
        leg: str,
        parts: Parts,
        *,
        n: int,
        filter: Callable[[Where | None], Filter | None],
    ) -> None:
        self._store, self._collection, self._leg = store, collection, leg
        self._parts, self._n, self._filter = parts, n, filter
        self._ahead = ReadAhead(self.vectors, n)

    def __len__(self) -> int:
        return self._n

    def nearest(self, queries: NDArray[np.float32], *, k: int, where: Where | None, exact: bool) -> list[Best]:
        fields = self._filter(where)

        def ask(numbers: Sequence[int], depth: int) -> list[list[Record]]:
            chosen = np.ascontiguousarray(queries[np.array(numbers)])
            return self._store.nearest(self._collection, self._leg, chosen, k=depth, where=fields, exact=exact)

        return best_of(len(queries), ask, k=k)

    def heaviest(self, queries: Sequence[Sparse], *, k: int, where: Where | None) -> list[Best]:
        fields = self._filter(where)

        def ask(numbers: Sequence[int], depth: int) -> list[list[Record]]:
            chosen = [queries[number] for number in numbers]
            return self._store.heaviest(self._collection, self._leg, chosen, k=depth, where=fields)

        return best_of(len(queries), ask, k=k)

    def vectors(self, rows: Sequence[int]) -> dict[int, Any]:
        records = self._store.get(self._collection, list(dict.fromkeys(rows)), fields=[self._leg])
        return {int(record.id): _read(record.fields[self._leg]) for record in records}

    def vector(self, row: int) -> Any:
        return self._ahead[row]

    def file(self, name: str) -> bytes:
        return self._parts.read(name)

    def has_file(self, name: str) -> bool:
        return name in self._parts


def somewhere(vector: Sparse) -> Sparse:
    """The vector as a server takes it, which is never empty."""
    return vector if len(vector.places) else _NOWHERE_ALONE


def _read(vector: Any) -> Any:
    if not isinstance(vector, Sparse):
        return np.asarray(vector, dtype=np.float32)
    there = vector.places != NOWHERE
    return Sparse(vector.places[there], vector.weights[there])
