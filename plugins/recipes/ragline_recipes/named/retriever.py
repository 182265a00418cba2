"""Passages by the name in them that is nearest to a type."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rag.filters import WhereData, both
from rag.indexes import Index
from rag.ranking import ranked, require_k
from rag.types import Outcome, Population, Query, Ranking, ScoredDocument, Usage
from rag.writing import in_one_line, with_picked
from ragline_recipes.named.leg import NamedLeg
from ragline_recipes.verbatim import occurrences


class NamedRetriever:
    """Passages by the nearest of their names: an index of mentions (NERetrieve: Katz et al., 2023, arXiv 2310.14282).

    A query is a type, and behind a colon what belongs to it: "vessel: ships and boats with a name". Its score for a passage is
    the cosine with the nearest name of that. The name is in the hit's metadata as `spans`: `start`, `end` and `text`, in
    characters of the passage's text. A passage without a name is no hit. A name is read alone, so what only its sentence tells
    is not seen: fuse this with a search of whole passages.

    Differs from the paper's baseline: names are runs of capitals, and not what a tagger finds.

    Args:
        index: the index that the pipeline is bound to.
        leg: name of the leg that is searched, where the index has several of this kind.
        where: a filter that holds beside the query's own.
    """

    leg: str = "named"

    def __init__(self, *, index: Index, leg: str = leg, where: WhereData | None = None) -> None:
        self.leg, self._index, self._where = leg, index, where

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order, at most `k` hits; scores are cosines.

        Raises:
            ValueError: k is below 1.
        """
        require_k(k, by="retrieve.named")
        return [self._ranking(query, vector, k) for query, vector in zip(queries, self._vectors(queries), strict=True)]

    def scores(self, queries: Sequence[Query], doc_ids: Sequence[Sequence[str]]) -> list[list[float | None]]:
        """For each query the scores of its documents, in order. One without a name scores the mean of the population.

        Raises:
            KeyError: a document is of another index.
        """
        found: list[list[float | None]] = []
        for query, vector, ids in zip(queries, self._vectors(queries), doc_ids, strict=True):
            rows, scores, _ = self._leg.scores(vector)
            known = dict(zip(rows.tolist(), scores.tolist(), strict=True))
            mean = self._leg.population(vector, where=both(self._where, query.where)).mean
            found.append([known.get(self._index.documents.row(doc_id), mean) for doc_id in ids])
        return found

    def populations(self, queries: Sequence[Query]) -> list[Population | None]:
        """For each query what its scores come to over all passages with a name that whoever asks may read."""
        return [
            self._leg.population(vector, where=both(self._where, query.where))
            for query, vector in zip(queries, self._vectors(queries), strict=True)
        ]

    def _ranking(self, query: Query, vector: NDArray[np.float32], k: int) -> Ranking:
        if not in_one_line(query.text):
            outcome = Outcome(kind="empty", detail="the query names no type")
            return Ranking(query=query, source=self.leg, outcome=outcome)
        rows, scores, places = self._leg.scores(vector, where=both(self._where, query.where))
        best = np.argsort(-scores, kind="stable")[:k]
        documents = self._index.documents.many(rows[best].tolist())
        hits = []
        for document, score, place in zip(documents, scores[best], places[best], strict=True):
            spans = occurrences(self._leg.names[place], document.text)[:1]  # a name may stand in the title alone
            marked = with_picked(document, spans) if spans else document
            hits.append(ScoredDocument(document=marked, score=float(score)))
        return Ranking(query=query, hits=ranked(hits), source=self.leg, usage=Usage(calls=1))

    def _vectors(self, queries: Sequence[Query]) -> NDArray[np.float32]:
        """float32 [n queries, dim]."""
        return self._leg.encoder.encode([in_one_line(query.text) for query in queries], role="query")

    @property
    def _leg(self) -> NamedLeg:
        leg: NamedLeg = self._index.leg(self.leg)
        return leg
