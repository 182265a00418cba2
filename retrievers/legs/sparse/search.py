"""Searching the sparse leg of any index: a query's weighted terms in, rows and scores out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from rag.core.types import Population, ScorePart, Where
from retrievers.legs.protocol import HasLegs

QueryBy = Literal["auto", "model", "words", "table"]


class SparseSearch(Protocol):
    """The sparse leg of an index, wherever that is."""

    def weigh(self, texts: Sequence[str], *, by: QueryBy) -> list[dict[int, float]]:
        """Terms and weights of queries. `auto`: by the folder's table if it has one, else by the model.

        Raises:
            IndexMismatch: the model here is not the one that the leg was built with.
        """
        ...

    def search(
        self, query: Mapping[int, float], *, k: int, where: Where | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Rows, ascending, and their scores: the k best, and all that tie with the last of them.

        A score is the sum over shared terms of the product of weights; who shares none is no hit.
        """
        ...

    def scores(self, query: Mapping[int, float], rows: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """float64 [len(rows)]: what these rows score for a query; 0 for one that shares no term."""
        ...

    def population(self, query: Mapping[int, float], *, where: Where | None = None) -> Population | None:
        """What scores come to over all documents that whoever asks by `where` may read, 0 for those that share no term.

        What else a filter says does not count. None where the index cannot tell.
        """
        ...

    def parts(self, query: Mapping[int, float], row: int) -> list[ScorePart]:
        """What each shared term adds to a row's score, the most first: the query's weight times the document's."""
        ...


def sparse(index: HasLegs, leg: str = "sparse") -> SparseSearch:
    """The sparse leg of an index, or another of its kind by its name.

    Raises:
        IndexMismatch: the index has none of this name.
    """
    return cast(SparseSearch, index.leg(leg))
