"""The dense leg over vectors that somebody else keeps: one of every text, found by inner product."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rag.core.types import Population, Where
from retrievers.legs.dense.by_size import AUTO
from retrievers.legs.dense.settings import DenseSettings
from retrievers.legs.dense.with_encoder import WithEncoder
from retrievers.legs.protocol import Facts, VectorsElsewhere
from retrievers.stores.hits import as_batch
from retrievers.stores.moments import Moments, Spread
from retrievers.stores.vectors import Hits

if TYPE_CHECKING:
    from retrievers.legs.dense.search import DenseSearch

    def _keeps_the_protocol(leg: DenseElsewhere) -> DenseSearch:
        return leg


MOMENTS = "dense/moments.npy"

STRUCTURES = {"flat": True, "hnsw": False}
"""What a server can be told -> whether it looks at every vector."""


def why_no_vectors(dense: DenseSettings) -> str:
    """See `AsVectors.why_no_vectors`."""
    choices = " or ".join(STRUCTURES)
    if dense.structure == AUTO:
        return f"index.dense.structure: auto chooses what is made here; on a server choose {choices}"
    if dense.structure not in STRUCTURES:
        return f"index.dense.structure: {dense.structure} is made here; on a server choose {choices}"
    if dense.storage != "float32":
        return f"index.dense.storage: {dense.storage} is made here; on a server leave it out, and set it up there"
    return ""


class DenseElsewhere(WithEncoder):
    """Searches vectors where they are kept."""

    def __init__(self, kept: VectorsElsewhere, facts: Facts) -> None:
        super().__init__(facts, lambda where: None)
        self._kept = kept

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return int(self._facts["dim"])

    def search(self, vectors: NDArray[np.float32], *, k: int, where: Where | None = None) -> Hits:
        """See `DenseSearch.search`."""
        if k < 1:
            raise ValueError(f"dense leg: k must be at least 1, got {k}")
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        found = self._kept.nearest(queries, k=k, where=where, exact=STRUCTURES[self.structure])
        return as_batch(found, k=k, nothing=-np.inf)

    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """float32 [len(rows), dim]: the vectors of these rows."""
        rows = np.asarray(rows)
        if len(rows) == 1:  # a build that takes vectors over asks for them one by one
            own: NDArray[np.float32] = self._kept.vector(int(rows[0]))
            return own[None]
        found = self._kept.vectors(rows.tolist())
        return np.array([found[row] for row in rows.tolist()], dtype=np.float32).reshape(len(rows), self.dim)

    def scores(
        self, query: NDArray[np.float32], rows: NDArray[np.integer[Any]], *, where: Where | None = None
    ) -> NDArray[np.float32]:
        """float32 [len(rows)]: inner products of these rows with a query vector."""
        return self.vectors(rows) @ query if len(rows) else np.zeros(0, np.float32)

    def population(self, query: NDArray[np.float32], *, where: Where | None = None) -> Population | None:
        """What inner products come to over all vectors; None where an older ragline sent them."""
        return None if self._spread is None else self._spread.population(query)

    @cached_property
    def _spread(self) -> Spread | None:
        kept = self._kept
        return Moments.unpacked(kept.file(MOMENTS), len(kept)).spread() if kept.has_file(MOMENTS) else None
