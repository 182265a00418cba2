"""Searching the late interaction leg of any index: a query's token vectors in, rows and scores out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from rag.core.types import Population, ScorePart, Where
from retrievers.legs.protocol import HasLegs
from retrievers.stores.token_vectors import TokenVectors


class Found(NamedTuple):
    """Rows, ascending, and their scores: the k best, and all that tie with the last of them."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]


class LateInteractionSearch(Protocol):
    """The late interaction leg of an index, wherever that is."""

    def read(self, texts: Sequence[str]) -> TokenVectors:
        """The tokens of queries.

        Raises:
            IndexMismatch: the model here is not the one that the leg was built with.
        """
        ...

    def search(
        self,
        query: NDArray[np.float32],
        *,
        k: int,
        probes: int | None = None,
        rescored: int | None = None,
        where: Where | None = None,
    ) -> Found:
        """By the sum over the query's tokens of the similarity to the nearest token of the document.

        Args:
            query: float32 [tokens, dim].
            probes, rescored: see `retrievers.stores.token_store.TokenStore.search`; None leaves them to the leg.
        """
        ...

    def scores(self, query: NDArray[np.float32], rows: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """float64 [len(rows)]: what these rows score for a query, float32 [tokens, dim]; 0 for one without a token."""
        ...

    def population(self, query: NDArray[np.float32], *, where: Where | None = None) -> Population:
        """What scores come to over all documents that whoever asks by `where` may read, told by 1,000 of them.

        They are drawn without looking, always the same. What else a filter says does not count.
        """
        ...

    def parts(self, query: str, rows: Sequence[int], texts: Sequence[str]) -> list[list[ScorePart]]:
        """For each row, whose text stands beside it, the nearest token to every token of a query, and how near it is.

        In the query's order. They sum to the score, as exactly as tokens are kept and compared.
        """
        ...


def late_interaction(index: HasLegs, leg: str = "late_interaction") -> LateInteractionSearch:
    """The late interaction leg of an index, or another of its kind by its name.

    Raises:
        IndexMismatch: the index has none of this name.
    """
    return cast(LateInteractionSearch, index.leg(leg))
