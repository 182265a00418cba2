"""Near-duplicates folded: of units that say nearly the same, the best is kept and says how many others there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from rag.core.contents import ANY
from rag.core.filters import WhereData, both, parse_where
from rag.core.ranking import require_k
from rag.core.types import NO_USAGE, OK, Outcome, Ranking, ScoredDocument
from retrievers.index.near_duplicates import KnowsDuplicates, NearDuplicates
from retrievers.index_protocol import Index, let_through


class DistinctReranker:
    """Each group of near-duplicates once: its best hit, in its place. What is a group was found by `rag index` (ours).

    The hit's metadata `duplicates` says how many other units of the index say nearly the same, of those that pass the
    query's filter. Nothing is dropped from the index. Ask the node before for more hits than this one keeps. An
    index without near-duplicates, or of a kind that does not know them, gives back what it was given.

    Args:
        index: the index that the hits are of.
        where: a filter that counted units have to pass beside the query's own, as the `where` of a retriever.
    """

    leaves_out: ClassVar[tuple[str, ...]] = ("folded",)
    reads: ClassVar[frozenset[str]] = ANY

    def __init__(self, *, index: Index, where: WhereData | None = None) -> None:
        self._index, self._where = index, parse_where(where)

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """The same order without the worse of each group, at most `k` hits. Outcome counts: hits `folded`."""
        require_k(k, by="rerank.distinct")
        return [self._distinct(ranking, k) for ranking in rankings]

    def _distinct(self, ranking: Ranking, k: int) -> Ranking:
        index, where = self._index, ranking.query.where
        known = index.near_duplicates(where) if isinstance(index, KnowsDuplicates) else NearDuplicates.none()
        hits: list[ScoredDocument] = []
        kept: set[int] = set()
        folded = 0
        for hit in ranking.hits:
            group = known.group(self._row(hit))
            if group and group[0] in kept:
                folded += 1
            elif len(hits) < k:
                kept.update(group[:1])
                hits.append(self._counted(hit, group, ranking))
        outcome = Outcome(counts={"folded": folded}) if folded else OK
        return replace(ranking, hits=tuple(hits), outcome=outcome, usage=NO_USAGE)

    def _row(self, hit: ScoredDocument) -> int:
        try:
            return self._index.documents.row(hit.doc_id)
        except KeyError:  # of another index, or of none: nobody knows of what it is a duplicate
            return -1

    def _counted(self, hit: ScoredDocument, group: Sequence[int], ranking: Ranking) -> ScoredDocument:
        if not group:
            return hit
        seen = let_through(self._index, group, both(self._where, ranking.query.where))
        metadata = {**hit.document.metadata, "duplicates": max(0, len(seen) - 1)}
        return replace(hit, document=replace(hit.document, metadata=metadata))
