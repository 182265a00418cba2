"""Rankings of several sources, or of several variants of a query, become one ranking per qid.

By ranks or by scores a document gets what it earns over all lists of its qid, once, and ties break by doc_id. No fuser
looks at texts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, KeysView, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple, get_args

from rag.core.arguments import require_one_of
from rag.core.errors import ContractError
from rag.core.ranking import by_qid, ranked, require_k
from rag.core.types import OK, Document, Outcome, Ranking, ScoredDocument, ScorePart
from rag.stages.scaling import CORPUS, Norm, Scaled, scaled_scores


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
    """Weighted sum of scaled scores (Fox and Shaw's CombSUM, TREC-2 1994, with a weight per source).

    score(d) = sum over sources of weight * scaled score of d, weights scaled to sum to 1. Several lists of one source, such
    as those of query variants, share its weight evenly.

    By `corpus` a score is scaled by what the source's scores come to over the whole index, (s - mean) / deviation, and a
    document has its true score from every list, found there or not (`rag.ranking.completed`; a graph does that). So a word
    that one document alone has weighs what it is worth. A list that nobody completed is scaled as by z_score. A source's
    weight counts for the part of the documents whose language its model was made for (`Population.fit`). Where a list can
    say nothing of a document, as words cannot of one in another language than the question, the others have its weight.

    By the other norms a score is scaled within its list, so the depth of the lists changes it: keep it fixed.

    Args:
        weights: source (node name) to weight, naming every source; without it all count the same.
        norm: corpus; or min_max (a list without d adds 0), z_score (adds the list's lowest, and says so), max, sum (Montague
            and Aslam, CIKM 2001) or rank (1 - (rank - 1) / n).
    """

    def __init__(self, *, weights: dict[str, float] | None = None, norm: Norm = "min_max") -> None:
        require_one_of("fuse.weighted", get_args(Norm), norm=norm)
        self.weights = checked_weights(weights, by="fuse.weighted")
        self.norm = norm

    @property
    def wants_scores(self) -> bool:
        """Whether lists are to be completed first: by `corpus`."""
        return self.norm == CORPUS

    def fuse(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """One ranking per distinct qid, in first-seen order, at most `k` hits, of the root query.

        The outcome counts as `scored_as_lowest` documents that got the lowest score of a list that has none for them, and as
        `scaled_by_itself` lists that should be compared over an index that cannot tell their mean, such as BM25's on a server.

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
        """For each hit what every list added, and at which rank it stood there; where it is no hit there, what stood for it."""
        found = {hit.doc_id: hit.document for hit in hits}
        weights, lists = self._weights(rankings), self._scaled(rankings)
        more = _without_silent(found.keys(), weights, lists)
        shares = [
            Share(place, document, weight * more.get(doc_id, 1.0) * score, rank_in(ranking, doc_id), scaled.how(doc_id))
            for place, (ranking, weight, scaled) in enumerate(zip(rankings, weights, lists, strict=True))
            for doc_id, document in found.items()
            if (score := scaled.of(doc_id)) is not None
        ]
        return parts_of(shares, rankings, hits)

    def _fuse(self, group: Sequence[Ranking], k: int) -> Ranking:
        everyone = {hit.doc_id: hit.document for ranking in group for hit in ranking.hits}
        lists, weights, sums = self._scaled(group), self._weights(group), Earned()
        more = _without_silent(everyone.keys(), weights, lists)
        for weight, scaled in zip(weights, lists, strict=True):
            values, absent = scaled.values, scaled.absent or 0.0
            given = [weight * values.get(doc_id, absent) for doc_id in everyone]
            sums.add_all(
                everyone, [more.get(i, 1.0) * one for i, one in zip(everyone, given, strict=True)] if more else given
            )
        fused = sums.ranking(group, k)
        lowest = sum(len(everyone) - len(scaled.values.keys() & everyone.keys()) for scaled in lists if scaled.absent)
        alone = sum(self.wants_scores and ranking.population is None and bool(ranking.hits) for ranking in group)
        said = {"scored_as_lowest": lowest, "scaled_by_itself": alone}
        counts = {name: n for name, n in said.items() if n}
        return replace(fused, outcome=replace(fused.outcome, counts=counts)) if counts else fused

    def _scaled(self, group: Sequence[Ranking]) -> list[Scaled]:
        """The scores of each list, scaled."""
        for ranking in group:
            require_scores(ranking, finite=True)
        return [scaled_scores(ranking, distinct(ranking), self.norm) for ranking in group]

    def _weights(self, group: Sequence[Ranking]) -> list[float]:
        """Of each list. All sources that have a list here sum to 1, unless none of them fits the documents."""
        fits = {r.source: 1.0 if r.population is None or not self.wants_scores else r.population.fit for r in group}
        if not any(fits.values()):
            fits = dict.fromkeys(fits, 1.0)
        given = self.weights or dict.fromkeys(fits, 1.0)
        total = math.fsum(weight * fits.get(source, 1.0) for source, weight in given.items())
        lists = [ranking.source for ranking in group]
        return [given[source] * fits[source] / total / lists.count(source) if total else 0.0 for source in lists]


def _without_silent(doc_ids: KeysView[str], weights: Sequence[float], lists: Sequence[Scaled]) -> dict[str, float]:
    """What the weights of the others grow by, of documents that some lists can say nothing of."""
    if all(scaled.absent is not None or scaled.values.keys() >= doc_ids for scaled in lists):
        return {}
    said = {i: math.fsum(w for w, each in zip(weights, lists, strict=True) if each.of(i) is not None) for i in doc_ids}
    return {i: math.fsum(weights) / weight for i, weight in said.items() if weight}


class Earned:
    """What each document of one qid has earned so far. Exact sums: the order of lists cannot split a tie."""

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}
        self._scores: dict[str, list[float]] = {}

    def add(self, document: Document, score: float) -> None:
        self._documents.setdefault(document.doc_id, document)
        self._scores.setdefault(document.doc_id, []).append(score)

    def add_all(self, documents: Mapping[str, Document], scores: Iterable[float]) -> None:
        """The same for a score of each document, in order."""
        self._documents = {**documents, **self._documents}
        for doc_id, score in zip(documents, scores, strict=True):
            self._scores.setdefault(doc_id, []).append(score)

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


def rank_in(ranking: Ranking, doc_id: str) -> int | None:
    """The rank of a document in a list, each document counted once; None where it is not in it."""
    return next((rank for rank, hit in enumerate(distinct(ranking), start=1) if hit.doc_id == doc_id), None)


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
    if all(map(math.isfinite, [hit.score for hit in ranking.hits])):
        return
    for hit in ranking.hits:
        if math.isnan(hit.score) or (finite and math.isinf(hit.score)):
            raise ContractError(
                f"'{ranking.source}' gave document '{hit.doc_id}' the score {hit.score} for qid"
                f" '{ranking.qid}'; a score must be a {'finite ' if finite else ''}number"
            )


class Share(NamedTuple):
    """What one list adds to one document. `place`: of the list. `rank`: of the document in it; None where it is not in it.

    `how`: how the amount came about, in words.
    """

    place: int
    document: Document
    score: float
    rank: int | None
    how: str = ""


def parts_of(
    shares: Iterable[Share], rankings: Sequence[Ranking], hits: Sequence[ScoredDocument]
) -> list[list[ScorePart]]:
    """The shares of each hit as parts of its score, the greatest first. Lists that add nothing are left out."""
    parts: dict[str, list[ScorePart]] = {hit.doc_id: [] for hit in hits}
    names = _list_names(rankings)
    for share in shares:
        if share.document.doc_id in parts and (share.rank is not None or share.score):
            found = f"rank {share.rank}" if share.rank is not None else ""
            part = ScorePart(of_query=names[share.place], of_document=found, score=share.score, how=share.how)
            parts[share.document.doc_id].append(part)
    return [sorted(parts[hit.doc_id], key=lambda part: -part.score) for hit in hits]


def _names(sources: Iterable[str]) -> str:
    return ", ".join(repr(source) for source in sorted(sources))


def _list_names(rankings: Sequence[Ranking]) -> list[str]:
    """What lists are called: their source; of several lists of one source, also the query that each was found for."""
    sources = [ranking.source for ranking in rankings]
    return [
        source if sources.count(source) == 1 else f"{source}: {ranking.query.text}"
        for source, ranking in zip(sources, rankings, strict=True)
    ]
