"""Rankings of several sources, or of several variants of a query, become one ranking per qid.

Both fusers give a document the score it earns over all lists of its qid, once, and break ties by doc_id.
Neither looks at texts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, get_args

from rag.core.arguments import require_one_of
from rag.core.errors import ContractError
from rag.core.norms import NORMS
from rag.core.ranking import by_qid, ranked, require_k
from rag.core.types import OK, Document, Outcome, Ranking, ScoredDocument, ScorePart
from rag.stages.shares import Share, parts_of

Norm = Literal["min_max", "z_score", "max", "sum", "rank"]


class RRFFuser:
    """Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): no scores, only ranks.

    score(d) = sum over lists of weight / (rank_constant + rank of d), rank from 1; absent adds 0.

    Args:
        rank_constant: how slowly the weight of a rank falls, at least 0; the paper's is 60.
        weights: source (node name) to weight; a source left out counts 1.
    """

    def __init__(self, *, rank_constant: int = 60, weights: dict[str, float] | None = None) -> None:
        if rank_constant < 0:
            raise ValueError(f"fuse.rrf: rank_constant must be at least 0, got {rank_constant}")
        self.rank_constant = rank_constant
        self.weights = checked_weights(weights, by="fuse.rrf")

    def fuse(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """One ranking per distinct qid, in first-seen order, at most `k` hits, of the root query.

        Raises:
            ValueError: k is below 1, or a weight names a source that no ranking has.
            ContractError: a score is NaN.
        """
        require_k(k, by="fuse.rrf")
        if rankings:
            self.require_sources({ranking.source for ranking in rankings})
        return [self._fuse(group, k) for group in by_qid(rankings).values()]

    def require_sources(self, sources: Collection[str]) -> None:
        """Raise ValueError if a weight names none of the nodes that rankings come from."""
        require_named(self.weights, sources, by="fuse.rrf")

    def explain_fusion(self, rankings: Sequence[Ranking], hits: Sequence[ScoredDocument]) -> list[list[ScorePart]]:
        """For each hit what every list that has it added, and at which rank it stood there."""
        return parts_of(self._shares(rankings), rankings, hits)

    def _fuse(self, group: Sequence[Ranking], k: int) -> Ranking:
        return earned(self._shares(group)).ranking(group, k)

    def _shares(self, group: Sequence[Ranking]) -> Iterator[Share]:
        for place, ranking in enumerate(group):
            require_scores(ranking, finite=False)
            weight = self.weights.get(ranking.source, 1.0)
            for rank, hit in enumerate(distinct(ranking), start=1):
                yield Share(place, hit.document, weight / (self.rank_constant + rank), rank)


class WeightedFuser:
    """Weighted sum of normalised scores (Fox and Shaw's CombSUM, TREC-2 1994, with a weight per source).

    score(d) = sum over sources of weight * norm(score of d), weights scaled to sum to 1. Scores are
    normalised within each list of each query, so the depth of the lists changes them: keep it fixed. Several
    lists of one source, such as those of query variants, share its weight evenly.

    Args:
        weights: source (node name) to weight, naming every source; without it all count the same.
        norm: min_max (a list without d adds 0), z_score (adds the list's lowest), max, sum (Montague and
            Aslam, CIKM 2001) or rank (1 - (rank - 1) / n).
    """

    def __init__(self, *, weights: dict[str, float] | None = None, norm: Norm = "min_max") -> None:
        require_one_of("fuse.weighted", get_args(Norm), norm=norm)
        self.weights = checked_weights(weights, by="fuse.weighted")
        self.norm = norm

    def fuse(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """One ranking per distinct qid, in first-seen order, at most `k` hits, of the root query.

        Raises:
            ValueError: k is below 1, or the sources and those of the weights are not the same.
            ContractError: a score is NaN or infinite.
        """
        require_k(k, by="fuse.weighted")
        if rankings:
            self.require_sources({ranking.source for ranking in rankings})
        return [self._fuse(group, k) for group in by_qid(rankings).values()]

    def require_sources(self, sources: Collection[str]) -> None:
        """Raise ValueError unless the weights, if there are any, name just the nodes that rankings come from."""
        require_named(self.weights, sources, by="fuse.weighted")
        if self.weights and (left_out := set(sources) - self.weights.keys()):
            raise ValueError(
                f"fuse.weighted: no weight for {_names(left_out)}; name every source, or leave weights out"
            )

    def explain_fusion(self, rankings: Sequence[Ranking], hits: Sequence[ScoredDocument]) -> list[list[ScorePart]]:
        """For each hit what every list added, and at which rank it stood there.

        With z-scores a list without the hit counts too, by the lowest value that it gives.
        """
        return parts_of(self._shares(rankings), rankings, hits)

    def _fuse(self, group: Sequence[Ranking], k: int) -> Ranking:
        return earned(self._shares(group)).ranking(group, k)

    def _shares(self, group: Sequence[Ranking]) -> Iterator[Share]:
        total = math.fsum(self.weights.values()) if self.weights else len({r.source for r in group})
        lists = [ranking.source for ranking in group]
        everyone = {hit.doc_id: hit.document for ranking in group for hit in ranking.hits}
        for place, ranking in enumerate(group):
            require_scores(ranking, finite=True)
            weight = self.weights.get(ranking.source, 1.0) / total / lists.count(ranking.source)
            hits = distinct(ranking)
            values, missing = NORMS[self.norm]([hit.score for hit in hits])
            found = {hit.doc_id: (value, rank) for rank, (hit, value) in enumerate(zip(hits, values, strict=True), 1)}
            for doc_id, document in everyone.items():
                value, rank = found.get(doc_id, (missing, None))
                yield Share(place, document, weight * value, rank)


class Earned:
    """What each document of one qid has earned so far. Exact sums: the order of lists cannot split a tie."""

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}
        self._scores: dict[str, list[float]] = {}

    def add(self, document: Document, score: float) -> None:
        self._documents.setdefault(document.doc_id, document)
        self._scores.setdefault(document.doc_id, []).append(score)

    def ranking(self, group: Sequence[Ranking], k: int) -> Ranking:
        hits = (
            ScoredDocument(document=self._documents[doc_id], score=math.fsum(scores))
            for doc_id, scores in self._scores.items()
        )
        outcome = OK if self._scores else Outcome(kind="empty", detail="none of the fused lists has a hit")
        return Ranking(query=group[0].query.root, hits=ranked(hits, k=k), outcome=outcome)


def earned(shares: Iterable[Share]) -> Earned:
    """Shares, added up document by document."""
    sums = Earned()
    for share in shares:
        sums.add(share.document, share.score)
    return sums


def distinct(ranking: Ranking) -> list[ScoredDocument]:
    """The ranking's hits, each document once, at its best rank."""
    first: dict[str, ScoredDocument] = {}
    for hit in ranking.hits:
        first.setdefault(hit.doc_id, hit)
    return list(first.values())


def checked_weights(weights: Mapping[str, float] | None, *, by: str) -> Mapping[str, float]:
    """Raise ValueError unless every weight is a number of at least 0, and one of them above."""
    weights = dict(weights or {})
    for source, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"{by}: the weight of '{source}' must be a number of at least 0, got {weight}")
    if weights and not any(weights.values()):
        raise ValueError(f"{by}: at least one weight must be above 0")
    return MappingProxyType(weights)


def require_named(weights: Mapping[str, float], sources: Collection[str], *, by: str) -> None:
    """Raise ValueError if a weight names a source that there is not."""
    if unknown := weights.keys() - set(sources):
        raise ValueError(f"{by}: weights name {_names(unknown)}, but the fused rankings come from {_names(sources)}")


def require_scores(ranking: Ranking, *, finite: bool) -> None:
    """Raise ContractError at the first score that is NaN or, if `finite`, infinite."""
    for hit in ranking.hits:
        if math.isnan(hit.score) or (finite and math.isinf(hit.score)):
            raise ContractError(
                f"'{ranking.source}' gave document '{hit.doc_id}' the score {hit.score} for qid"
                f" '{ranking.qid}'; a score must be a {'finite ' if finite else ''}number"
            )


def _names(sources: Iterable[str]) -> str:
    return ", ".join(repr(source) for source in sorted(sources))
