"""Learned sparse first stage: weighted terms of a masked language model, over the sparse leg of an index."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import get_args

import numpy as np

from rag.core.arguments import require_one_of
from rag.core.filters import WhereData, both, newest_of
from rag.core.ranking import require_k
from rag.core.types import OK, Outcome, Population, Query, Ranking, ScoredDocument, ScorePart, Usage
from rag.core.versions import VersionsData
from retrievers.index_protocol import Index
from retrievers.legs.best_documents import best_documents
from retrievers.legs.language_fit import LanguageFit
from retrievers.legs.sparse.search import QueryBy, sparse
from retrievers.stores.lru_cache import Kept

_KEPT = 100_000
"""Terms of the questions that were asked last."""

_BLANK = Outcome(kind="empty", detail="the query has no terms")


class SparseRetriever:
    """Learned sparse retrieval (SPLADE: Formal et al., arXiv 2109.10086; VDR: Zhou et al., arXiv 2212.07699).

    Texts weigh terms of a vocabulary, words among them that they do not say. A score is the sum over shared terms of the
    query's weight times the document's. Documents were weighed when the index was built (`index.sparse` in a graph).

    Args:
        index: the index that is searched.
        leg: name of the leg that is searched, where the index has several of this kind.
        query: who weighs the terms of a query. model: the documents' model; table: a table of the model's folder, which reads
            no text (SPLADE without inference); words: each token weighs 1 (VDR's bag of words); auto: the table where there
            is one, else the model.
        where: a filter that holds beside the query's own: {"lang": "de"}, or text such as 'year >= 2020'.
        versions: `newest` leaves out what another document replaces, as its metadata `replaces` says; {key: name, date:
            released} what has the same `name` and was released before. Of what passes the filters.
    """

    leg: str = "sparse"

    def __init__(
        self,
        *,
        index: Index,
        leg: str = leg,
        query: QueryBy = "auto",
        where: WhereData | None = None,
        versions: VersionsData = "all",
    ) -> None:
        self.leg = leg
        require_one_of("retrieve.sparse", get_args(QueryBy), query=query)
        self.query, self._index, self._where = query, index, newest_of(versions, where)
        self._fit = LanguageFit(index, self.leg, by="retrieve.sparse")
        self._kept = Kept[dict[int, float]](_KEPT, len)

    def warm_up(self) -> None:
        """Open the leg and load the model now instead of at the first call."""
        sparse(self._index, self.leg).weigh(["warm"], by=self.query)

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order. A query without a term has no hits, and the outcome `empty`."""
        require_k(k, by="retrieve.sparse")
        if not queries:
            return []
        started = perf_counter()
        leg, weighed = sparse(self._index, self.leg), self._weighed(queries)
        hits = []
        for query, terms in zip(queries, weighed, strict=True):
            found = leg.search(terms, k=k, where=both(self._where, query.where))
            hits.append(best_documents(self._index, *found, k=k))
        usage = Usage(seconds=(perf_counter() - started) / len(queries))
        return [
            Ranking(query=query, hits=found, source="sparse", outcome=OK if terms else _BLANK, usage=usage)
            for query, terms, found in zip(queries, weighed, hits, strict=True)
        ]

    def scores(self, queries: Sequence[Query], doc_ids: Sequence[Sequence[str]]) -> list[list[float | None]]:
        """For each query the scores of its documents, in order; 0 for one that shares no term.

        Raises:
            KeyError: a document is of another index.
        """
        leg = sparse(self._index, self.leg)
        return [
            leg.scores(terms, np.array(self._index.documents.rows_many(ids), dtype=np.int64)).tolist()
            for terms, ids in zip(self._weighed(queries), doc_ids, strict=True)
        ]

    def populations(self, queries: Sequence[Query]) -> list[Population | None]:
        """For each query what its scores come to over all documents that whoever asks may read; None on a server."""
        leg, found = sparse(self._index, self.leg), list[Population | None]()
        for query, terms in zip(queries, self._weighed(queries), strict=True):
            where = both(self._where, query.where)
            found.append(self._fit.told(leg.population(terms, where=where), where))
        return found

    def _weighed(self, queries: Sequence[Query]) -> list[dict[int, float]]:
        """The terms of queries. Those of the last ones are kept: what was searched with is scored with next."""
        texts, leg = [query.text for query in queries], sparse(self._index, self.leg)
        return self._kept.many(texts, lambda places: leg.weigh([texts[place] for place in places], by=self.query))

    def explain_hits(self, query: Query, hits: Sequence[ScoredDocument]) -> list[list[ScorePart]]:
        """For each hit what each shared term adds to its score: the query's weight times the document's.

        Raises:
            KeyError: a hit is of another index.
        """
        leg = sparse(self._index, self.leg)
        [terms] = leg.weigh([query.text], by=self.query)
        return [leg.parts(terms, self._index.documents.row(hit.doc_id)) for hit in hits]
