"""A sparse leg without its search: the model that weighs terms, and what shared terms add to a score."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rag.core.types import ScorePart
from retrievers.legs.model_leg import ModelLeg
from retrievers.legs.protocol import Facts, Mask

if TYPE_CHECKING:
    from retrievers.legs.sparse.encoder import Means, SparseEncoder
    from retrievers.legs.sparse.search import QueryBy
    from retrievers.stores.computed import Row


def remade(made_by: Facts) -> SparseEncoder:
    """The model that a leg's facts describe."""
    from retrievers.legs.sparse.encoder import SparseEncoder

    return SparseEncoder.from_description(made_by)


class WeighedTerms(ModelLeg["SparseEncoder"]):
    """A sparse leg without its search: see `ModelLeg`."""

    def __init__(self, facts: Facts, mask: Mask) -> None:
        super().__init__(facts, mask, made_by=remade)

    @abstractmethod
    def row(self, place: int) -> Row:
        """A row's terms, ascending, as `tokens`, and their `weights`."""

    def weigh(self, texts: Sequence[str], *, by: QueryBy) -> list[dict[int, float]]:
        """Terms and weights of queries."""
        means = ("table" if self.encoder.has_table else "model") if by == "auto" else by
        return self._terms(texts, "asked" if means == "model" else means)

    def weigh_documents(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """Terms and weights that the model gives documents, also where the leg holds their words alone."""
        return self._terms(texts, "model")

    def _terms(self, texts: Sequence[str], by: Means) -> list[dict[int, float]]:
        made = self.encoder.encode(texts, by=by)
        rows = (made.row(place) for place in range(len(made)))
        return [dict(zip(row["tokens"].tolist(), row["weights"].tolist(), strict=True)) for row in rows]

    def parts(self, query: Mapping[int, float], row: int) -> list[ScorePart]:
        """What each shared term adds to a row's score, the most first."""
        terms = self.row(row)
        pairs = zip(terms["tokens"].tolist(), terms["weights"].tolist(), strict=True)
        shared = [(term, weight) for term, weight in pairs if term in query]
        named = zip(self.encoder.names([term for term, _ in shared]), shared, strict=True)
        found = [
            ScorePart(
                of_query=name, of_document=name, score=query[term] * weight, how=f"{query[term]:.3g} x {weight:.3g}"
            )
            for name, (term, weight) in named
        ]
        return sorted(found, key=lambda part: (-part.score, part.of_query))

    def warm_up(self) -> None:
        """Load what the first query needs: the model, or the table that weighs queries in its place."""
        self.weigh(["warm"], by="auto")
