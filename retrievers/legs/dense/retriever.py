"""Dense first stage: the nearest vectors of an index to the query's."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rag.core.contents import beside, with_contents
from rag.core.filters import WhereData, both, newest_of
from rag.core.ranking import ranked, require_k
from rag.core.types import OK, Outcome, Population, Query, QueryPart, Ranking, ScoredDocument, ScorePart, Usage
from rag.core.versions import VersionsData
from retrievers.by_filter import by_filter
from retrievers.index_protocol import Index
from retrievers.legs.dense.search import dense
from retrievers.legs.language_fit import LanguageFit
from retrievers.legs.protocol import leg_reads
from retrievers.stores.lru_cache import Kept

logger = logging.getLogger(__name__)

_KEPT_BYTES = 1 << 20
"""Of the vectors of questions that were asked last."""

_EMPTY = Outcome(kind="empty", detail="the query has no text to encode")


class DenseRetriever:
    """Bi-encoder retrieval by inner product (Karpukhin et al., EMNLP 2020).

    A query with `parts` is the mean of their vectors by weight, each encoded in its own role, and is not normalised
    again: the mean of two answers that disagree is short and lowers all scores alike.

    Args:
        index: the index that the pipeline is bound to; its manifest names the encoder.
        leg: name of the leg that is searched, where the index has several of this kind.
        where: a filter that holds beside the query's own: {"lang": "de"}, or text such as 'year >= 2020'.
        versions: `newest` leaves out what another document replaces, as its metadata `replaces` says; {key: name, date:
            released} what has the same `name` and was released before. Of what passes the filters.
    """

    leg: str = "dense"

    def __init__(
        self, *, index: Index, leg: str = leg, where: WhereData | None = None, versions: VersionsData = "all"
    ) -> None:
        self.leg = leg
        self._index, self._where = index, newest_of(versions, where)
        self._fit = LanguageFit(index, self.leg, by="retrieve.dense")
        self._kept = Kept[NDArray[np.float32]](_KEPT_BYTES, lambda vector: vector.nbytes)

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order, at most `k` hits; scores are inner products and may be negative.

        A query of blank text, or whose weights are all zero, gets no hits and outcome `empty`.
        """
        require_k(k, by="retrieve.dense")
        parts = [self._parts(query) for query in queries]
        vectors = self._vectors(parts)
        hits: list[tuple[ScoredDocument, ...]] = [()] * len(queries)
        for where, members in by_filter(queries, self._where):
            places = [place for place in members if parts[place]]
            if not places:
                continue
            rows, scores = dense(self._index, self.leg).search(vectors[places], k=k, where=where)
            for place, its_rows, its_scores in zip(places, rows, scores, strict=True):
                hits[place] = self._hits(its_rows, its_scores)
        if n_empty := sum(not query_parts for query_parts in parts):
            logger.warning("retrieve.dense: %d of %d queries have no text to encode", n_empty, len(queries))
        return [
            Ranking(
                query=query,
                hits=query_hits,
                source="dense",
                outcome=OK if query_parts else _EMPTY,
                usage=Usage(calls=len(query_parts)),
            )
            for query, query_parts, query_hits in zip(queries, parts, hits, strict=True)
        ]

    def scores(self, queries: Sequence[Query], doc_ids: Sequence[Sequence[str]]) -> list[list[float | None]]:
        """For each query the inner products with its documents, in order; None where a query has no text to encode.

        Raises:
            KeyError: a document is of another index.
        """
        parts, leg = [self._parts(query) for query in queries], dense(self._index, self.leg)
        found = list[list[float | None]]()
        for query, own, vector, ids in zip(queries, parts, self._vectors(parts), doc_ids, strict=True):
            if not (own and ids):
                found.append([None] * len(ids))
                continue
            rows, where = np.array(self._index.documents.rows_many(ids)), both(self._where, query.where)
            found.append(leg.scores(vector, rows, where=where).tolist())
        return found

    def populations(self, queries: Sequence[Query]) -> list[Population | None]:
        """For each query what inner products come to over all documents that whoever asks may read.

        None where the query has no text to encode, or the index cannot tell.
        """
        parts, leg = [self._parts(query) for query in queries], dense(self._index, self.leg)
        found = list[Population | None]()
        for query, own, vector in zip(queries, parts, self._vectors(parts), strict=True):
            where = both(self._where, query.where)
            found.append(self._fit.told(leg.population(vector, where=where), where) if own else None)
        return found

    def explain_hits(self, query: Query, hits: Sequence[ScoredDocument]) -> list[list[ScorePart]]:
        """For each hit its score with each text that the query averages. A query of one text is one part.

        Vectors are those that the leg keeps, so the sum is the score as exactly as it keeps them.

        Raises:
            KeyError: a hit is of another index.
        """
        if not hits or not (averaged := self._parts(query)):
            return [[] for _ in hits]
        total = sum(abs(part.weight) for part in averaged)
        alone = self._vectors([(replace(part, weight=1.0),) for part in averaged])
        leg, where = dense(self._index, self.leg), both(self._where, query.where)
        rows = np.array([self._index.documents.row(hit.doc_id) for hit in hits])
        near_each = np.array([leg.scores(vector, rows, where=where) for vector in alone])
        shares = [part.weight / total for part in averaged]
        parts = [
            [
                ScorePart(
                    of_query=part.text,
                    of_document="whole text",
                    score=share * near,
                    how="inner product" if len(averaged) == 1 else f"{share:.3g} x inner product {near:.4f}",
                )
                for part, share, near in zip(averaged, shares, row, strict=True)
            ]
            for row in near_each.T.tolist()
        ]
        return [sorted(of_hit, key=lambda part: -part.score) for of_hit in parts]

    def _vectors(self, parts: Sequence[tuple[QueryPart, ...]]) -> NDArray[np.float32]:
        """float32 [n_queries, dim]. The last ones are kept: what was searched with is scored with next."""
        if not any(parts):
            return np.zeros((len(parts), 0), dtype=np.float32)
        return np.array(self._kept.many(parts, lambda places: list(self._means([parts[place] for place in places]))))

    def _means(self, parts: Sequence[Sequence[QueryPart]]) -> NDArray[np.float32]:
        """float32 [n_queries, dim]; each text is encoded once per role, all of a role in one batch."""
        encoder = dense(self._index, self.leg).encoder
        encoded: dict[tuple[str, str], NDArray[np.float32]] = {}
        for role in ("query", "document"):
            texts = list(dict.fromkeys(p.text for query_parts in parts for p in query_parts if p.role == role))
            if texts:
                keys = [(role, text) for text in texts]
                encoded.update(zip(keys, encoder.encode(texts, role=role), strict=True))
        means = np.zeros((len(parts), encoder.dim), dtype=np.float32)
        for mean, query_parts in zip(means, parts, strict=True):
            # By the sum of magnitudes, so that a query with negative weights keeps its direction.
            total = sum(abs(part.weight) for part in query_parts)
            for part in query_parts:
                mean += np.float32(part.weight / total) * encoded[part.role, part.text]
        return means

    def _parts(self, query: Query) -> tuple[QueryPart, ...]:
        """What is averaged for a query: without parts its text, nothing if that is blank.

        Contents that the encoder reads go with the texts of the query's side; with a blank one, they are asked with alone.
        """
        parts = query.parts or (QueryPart(text=query.text),)
        if query.contents:
            kinds = leg_reads(self._index.facts(self.leg))
            parts = tuple(
                replace(part, text=with_contents(part.text, query.contents, kinds)) if part.role == "query" else part
                for part in parts
            )
        return tuple(part for part in parts if part.weight and (part.text.strip() or beside(part.text)))

    def _hits(self, rows: NDArray[np.int32], scores: NDArray[np.float32]) -> tuple[ScoredDocument, ...]:
        mask = rows >= 0
        documents = self._index.documents.many(int(row) for row in rows[mask])
        return ranked(
            ScoredDocument(document=document, score=float(score))
            for document, score in zip(documents, scores[mask], strict=True)
        )
