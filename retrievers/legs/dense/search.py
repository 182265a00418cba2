"""Searching the dense leg of any index: vectors in, rows and scores out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from rag.core.progress import Progress, silent
from rag.core.types import Population, Where
from retrievers.encoders.sentence_folder import Role
from retrievers.legs.protocol import HasLegs
from retrievers.stores.vectors import Hits


class LegEncoder(Protocol):
    """What made the vectors of a leg."""

    @property
    def dim(self) -> int: ...
    def describe(self) -> dict[str, Any]: ...
    def encode(self, texts: Sequence[str], *, role: Role, progress: Progress = silent) -> NDArray[np.float32]:
        """float32 [n, dim], in order."""
        ...

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Start and end of each token of each text."""
        ...


class DenseSearch(Protocol):
    """The dense leg of an index, wherever that is."""

    @property
    def encoder(self) -> LegEncoder:
        """What made the vectors, and makes those of queries.

        Raises:
            IndexMismatch: its files here are not those that the leg was built with.
        """
        ...

    def search(self, vectors: NDArray[np.float32], *, k: int, where: Where | None = None) -> Hits:
        """The k documents with the greatest inner product among those that pass the filter, for each query vector.

        Returns:
            rows int32 [n_queries, k], filled up with -1; scores float32 [n_queries, k], filled up with -inf. Best first,
            ties by row ascending.
        """
        ...

    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """float32 [len(rows), dim]: the vectors of these rows, as exact as the leg keeps them."""
        ...

    def scores(
        self, query: NDArray[np.float32], rows: NDArray[np.integer[Any]], *, where: Where | None = None
    ) -> NDArray[np.float32]:
        """float32 [len(rows)]: inner products of these rows with a query vector, float32 [dim]."""
        ...

    def population(self, query: NDArray[np.float32], *, where: Where | None = None) -> Population | None:
        """What inner products with a query vector come to over all documents that whoever asks by `where` may read.

        What else a filter says does not count. None where the index cannot tell.
        """
        ...


def dense(index: HasLegs, leg: str = "dense") -> DenseSearch:
    """The dense leg of an index, or another of its kind by its name.

    Raises:
        IndexMismatch: the index has none of this name.
    """
    return cast(DenseSearch, index.leg(leg))
