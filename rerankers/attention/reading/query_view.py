"""A query as the heads of a reader see it, less what queries without content get anyway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rerankers.attention.reading.weigh import Scores

if TYPE_CHECKING:
    from torch import Tensor

    from rerankers.attention.reading.blocks import QueryVectors
    from rerankers.attention.reading.match import Over
    from rerankers.attention.reading.reader import BlockReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One query to one reader. `nulls`: queries without content, and how much of each one's match is subtracted."""

    reader: BlockReader
    query: QueryVectors
    nulls: Sequence[tuple[QueryVectors, float]] = ()
    over: Over = "all"

    def match(self, documents: Sequence[Tensor]) -> Scores:
        """float64 [n_heads, n_documents], from the documents' keys."""
        scores = self.reader.match(self.query, documents, over=self.over).double()
        for null, strength in self.nulls:
            scores -= strength * self.reader.match(null, documents, over=self.over).double()
        result: Scores = scores.numpy()
        return result

    def match_tokens(self, document: Tensor) -> Scores:
        """float64 [n_heads, n_tokens]: what each token adds to one document's match."""
        scores = self.reader.match_tokens(self.query, document, over=self.over).double()
        for null, strength in self.nulls:
            scores -= strength * self.reader.match_tokens(null, document, over=self.over).double()
        result: Scores = scores.numpy()
        return result

    def trouble(self, by_head: Scores, priors: Scores | None = None) -> str:
        """Which head has a number that is not finite, in words; nothing where all is well."""
        wrong = ~np.isfinite(by_head).all(axis=1)
        if not wrong.any():
            well = priors is None or np.isfinite(priors).all()
            return "" if well else "attention of a head of the prior is not finite"
        layer, head = self.reader.plan.names[int(wrong.argmax())]
        return f"attention of layer {layer}, head {head} is not finite"
