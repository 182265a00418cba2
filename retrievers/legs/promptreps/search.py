"""Searching the promptreps leg of any index: a query's representation in, rows and scores out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from rag.core.types import Where
from retrievers.legs.promptreps.encoder import Representations
from retrievers.legs.protocol import HasLegs

Best = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Rows, ascending, and their scores: the k best, and all that tie with the last of them."""


class QueryEncoder(Protocol):
    """What represents queries."""

    def encode(self, texts: Sequence[str], *, role: Literal["query", "document"]) -> Representations: ...


class PromptRepsSearch(Protocol):
    """The promptreps leg of an index, wherever that is."""

    @property
    def encoder(self) -> QueryEncoder:
        """What made the leg.

        Raises:
            IndexMismatch: model or prompt here are not those that it was built with.
        """
        ...

    def nearest(self, vector: NDArray[np.float32], *, k: int, where: Where | None = None) -> Best:
        """By inner product with the documents' vectors."""
        ...

    def sharing(
        self, tokens: NDArray[np.int32], weights: NDArray[np.int32], *, k: int, where: Where | None = None
    ) -> Best:
        """By the sum over shared tokens of the product of weights; who shares none is no hit."""
        ...


def promptreps(index: HasLegs) -> PromptRepsSearch:
    """The promptreps leg of an index.

    Raises:
        IndexMismatch: the index has none.
    """
    return cast(PromptRepsSearch, index.leg("promptreps"))
