"""Late interaction first stage: every token of a query finds its nearest token in every document."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from rag.core.arguments import require_positive
from rag.core.filters import WhereData, both, newest_of
from rag.core.ranking import require_k
from rag.core.types import OK, Outcome, Population, Query, Ranking, ScoredDocument, ScorePart, Usage
from rag.core.versions import VersionsData
from retrievers.index_protocol import Index
from retrievers.legs.best_documents import best_documents
from retrievers.legs.language_fit import LanguageFit
from retrievers.legs.late_interaction.search import late_interaction
from retrievers.stores.lru_cache import Kept

_KEPT_BYTES = 4 << 20
"""Of the tokens of questions that were asked last."""

_BLANK = Outcome(kind="empty", detail="the query has no tokens")


class LateInteractionRetriever:
    """Late interaction (ColBERT: Khattab and Zaharia, SIGIR 2020, arXiv 2004.12832, equation 3).

    A score is the sum over the query's tokens of the cosine to the nearest token of the document, so it grows with the
    query: scores of two queries are not to be compared. Documents were read when the index was built
    (`index.late_interaction` in a graph), and their tokens are kept in few bits. A search estimates first which
    documents are near, by the centroids of their tokens, and scores the best of these by all tokens.

    Args:
        index: the index that is searched.
        leg: name of the leg that is searched, where the index has several of this kind.
        probes: centroids that are looked at for each token of the query. Unset: 16.
        rescored: documents that are scored by all their tokens. Unset: 4 k, and 256 at least. A number as large as the
            index makes the search exact.
        where: a filter that holds beside the query's own: {"lang": "de"}, or text such as 'year >= 2020'.
        versions: `newest` leaves out what another document replaces, as its metadata `replaces` says; {key: name, date:
            released} what has the same `name` and was released before. Of what passes the filters.
    """

    leg: str = "late_interaction"

    def __init__(
        self,
        *,
        index: Index,
        leg: str = leg,
        probes: int | None = None,
        rescored: int | None = None,
        where: WhereData | None = None,
        versions: VersionsData = "all",
    ) -> None:
        self.leg = leg
        require_positive("retrieve.late_interaction", probes=probes, rescored=rescored)
        self.probes, self.rescored = probes, rescored
        self._index, self._where = index, newest_of(versions, where)
        self._fit = LanguageFit(index, self.leg, by="retrieve.late_interaction")
        self._kept = Kept[NDArray[np.float32]](_KEPT_BYTES, lambda tokens: tokens.nbytes)

    def warm_up(self) -> None:
        """Open the leg and load the model now instead of at the first call."""
        late_interaction(self._index, self.leg).read(["warm"])

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order. A query without a token has no hits, and the outcome `empty`."""
        require_k(k, by="retrieve.late_interaction")
        if not queries:
            return []
        started = perf_counter()
        leg, read = late_interaction(self._index, self.leg), self._read(queries)
        hits: list[tuple[ScoredDocument, ...]] = []
        for query, tokens in zip(queries, read, strict=True):
            where = both(self._where, query.where)
            found = leg.search(tokens, k=k, probes=self.probes, rescored=self.rescored, where=where)
            hits.append(best_documents(self._index, *found, k=k))
        usage = Usage(seconds=(perf_counter() - started) / len(queries))
        return [
            Ranking(
                query=query,
                hits=found,
                source="late_interaction",
                outcome=OK if len(tokens) else _BLANK,
                usage=usage,
            )
            for query, tokens, found in zip(queries, read, hits, strict=True)
        ]

    def scores(self, queries: Sequence[Query], doc_ids: Sequence[Sequence[str]]) -> list[list[float | None]]:
        """For each query the scores of its documents by all their tokens, in order; 0 for one without a token.

        Raises:
            KeyError: a document is of another index.
        """
        leg = late_interaction(self._index, self.leg)
        rows = [np.array(self._index.documents.rows_many(ids), dtype=np.int64) for ids in doc_ids]
        return [leg.scores(tokens, own).tolist() for tokens, own in zip(self._read(queries), rows, strict=True)]

    def populations(self, queries: Sequence[Query]) -> list[Population | None]:
        """For each query what its scores come to over all documents that whoever asks may read, told by 1,000 of them."""
        leg, found = late_interaction(self._index, self.leg), list[Population | None]()
        for query, tokens in zip(queries, self._read(queries), strict=True):
            where = both(self._where, query.where)
            found.append(self._fit.told(leg.population(tokens, where=where), where))
        return found

    def _read(self, queries: Sequence[Query]) -> list[NDArray[np.float32]]:
        """float32 [tokens, dim] of each query. Those of the last ones are kept: what was searched with is scored with next."""
        texts, leg = [query.text for query in queries], late_interaction(self._index, self.leg)

        def read(places: list[int]) -> list[NDArray[np.float32]]:
            made = leg.read([texts[place] for place in places])
            return [made.row(number) for number in range(len(places))]

        return self._kept.many(texts, read)

    def explain_hits(self, query: Query, hits: Sequence[ScoredDocument]) -> list[list[ScorePart]]:
        """For each hit the token of the document that is nearest to each token of the query, the nearest first.

        Raises:
            KeyError: a hit is of another index.
        """
        leg = late_interaction(self._index, self.leg)
        rows = [self._index.documents.row(hit.doc_id) for hit in hits]
        texts = [self._index.documents[row].index_text for row in rows]
        return [sorted(parts, key=lambda part: -part.score) for parts in leg.parts(query.text, rows, texts)]
