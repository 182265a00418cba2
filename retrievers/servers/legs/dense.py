"""Vectors on a server: one of every text, found by inner product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from rag.core.types import Population, Where
from retrievers.legs.dense.by_size import AUTO
from retrievers.legs.dense.kind import WithEncoder
from retrievers.legs.dense.settings import DenseSettings
from retrievers.legs.protocol import Sections
from retrievers.servers.ahead import ReadAhead
from retrievers.servers.hits import as_batch, best_of
from retrievers.servers.legs.protocol import ServerLegKind, ServerOpening, Upload
from retrievers.servers.store import Record
from retrievers.stores.moments import Moments, Spread
from retrievers.stores.vectors import Hits

if TYPE_CHECKING:
    from retrievers.legs.dense.kind import LocalDense
    from retrievers.legs.dense.search import DenseSearch

    def _keeps_the_protocol(leg: ServerDense) -> DenseSearch:
        return leg


MOMENTS = "dense/moments.npy"

_STRUCTURES = {"flat": True, "hnsw": False}
"""What a server can be told -> whether it looks at every vector."""


class ServerDenseKind(ServerLegKind):
    """See `ServerLegKind`."""

    name: ClassVar[str] = "dense"

    def refusal(self, settings: Sections) -> str:
        dense = cast(DenseSettings, settings.section("dense"))
        if dense.structure == AUTO:
            return (
                f"index.dense.structure: auto chooses what is made here; on a server choose {' or '.join(_STRUCTURES)}"
            )
        if dense.structure not in _STRUCTURES:
            return (
                f"index.dense.structure: {dense.structure} is made here; on a server choose {' or '.join(_STRUCTURES)}"
            )
        if dense.storage != "float32":
            return f"index.dense.storage: {dense.storage} is made here; on a server leave it out, and set it up there"
        return ""

    def upload(self, leg: LocalDense) -> Upload:
        return Upload(
            vectors=lambda first, last: list(leg.vectors(np.arange(first, last))),
            dim=leg.dim,
            exact=_STRUCTURES[leg.structure],
            files={MOMENTS: lambda: leg.moments().packed()},
        )

    def open(self, opening: ServerOpening) -> ServerDense:
        return ServerDense(opening)


class ServerDense(WithEncoder):
    """Searches the vectors of a collection."""

    def __init__(self, opening: ServerOpening) -> None:
        super().__init__(opening.facts, lambda where: None)
        self._opening = opening
        self._vectors = ReadAhead(self._fetch, opening.n)

    def __len__(self) -> int:
        return self._opening.n

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return int(self._opening.facts["dim"])

    def search(self, vectors: NDArray[np.float32], *, k: int, where: Where | None = None) -> Hits:
        """See `DenseSearch.search`. A batch is one question to the server."""
        if k < 1:
            raise ValueError(f"dense leg: k must be at least 1, got {k}")
        opening, fields = self._opening, self._opening.filter(where)

        def ask(numbers: Sequence[int], depth: int) -> list[list[Record]]:
            return opening.store.nearest(
                opening.collection,
                ServerDenseKind.name,
                np.ascontiguousarray(vectors[np.array(numbers)], dtype=np.float32),
                k=depth,
                where=fields,
                exact=_STRUCTURES[self.structure],
            )

        return as_batch(best_of(len(vectors), ask, k=k), k=k, nothing=-np.inf)

    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """float32 [len(rows), dim]: the vectors of these rows."""
        rows = np.asarray(rows)
        if len(rows) == 1:  # a build that takes vectors over asks for them one by one
            return self._vectors[int(rows[0])][None]
        found = self._fetch(rows.tolist())
        return np.array([found[row] for row in rows.tolist()], dtype=np.float32).reshape(len(rows), self.dim)

    def scores(
        self, query: NDArray[np.float32], rows: NDArray[np.integer[Any]], *, where: Where | None = None
    ) -> NDArray[np.float32]:
        """float32 [len(rows)]: inner products of these rows with a query vector."""
        return self.vectors(rows) @ query if len(rows) else np.zeros(0, np.float32)

    def population(self, query: NDArray[np.float32], *, where: Where | None = None) -> Population | None:
        """What inner products come to over all vectors; None where an older ragline uploaded them."""
        return None if self._spread is None else self._spread.population(query)

    @cached_property
    def _spread(self) -> Spread | None:
        opening = self._opening
        return Moments.unpacked(opening.file(MOMENTS), opening.n).spread() if opening.has(MOMENTS) else None

    def _fetch(self, rows: Sequence[int]) -> Mapping[int, NDArray[np.float32]]:
        opening, name = self._opening, ServerDenseKind.name
        records = opening.store.get(opening.collection, list(dict.fromkeys(rows)), fields=[name])
        return {int(record.id): np.asarray(record.fields[name], dtype=np.float32) for record in records}
