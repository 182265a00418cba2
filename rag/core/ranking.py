"""Order, cuts and groups of hits, and lists completed for a fusion: the only place that decides ties."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rag.core.protocols import ScoresDocuments
from rag.core.types import Document, Ranking, ScoredDocument


def ranked(hits: Iterable[ScoredDocument], *, k: int | None = None) -> tuple[ScoredDocument, ...]:
    """Hits in rank order, best first, ties by doc_id ascending, cut at `k`."""
    ordered = sorted(hits, key=lambda hit: (-hit.score, hit.document.doc_id))
    return tuple(ordered if k is None else ordered[:k])


def in_this_order(documents: Sequence[Document], *, k: int | None = None) -> tuple[ScoredDocument, ...]:
    """Hits for an order without scores: 1 / rank, so that evaluators that sort by score keep the order."""
    kept = documents if k is None else documents[:k]
    return tuple(ScoredDocument(document=d, score=1.0 / rank) for rank, d in enumerate(kept, start=1))


def split_at(ranking: Ranking, depth: int | None) -> tuple[tuple[ScoredDocument, ...], tuple[ScoredDocument, ...]]:
    """The first `depth` hits (all when None) and the others; a document given twice counts where it came first."""
    unique: dict[str, ScoredDocument] = {}
    for hit in ranking.hits:
        unique.setdefault(hit.doc_id, hit)
    hits = tuple(unique.values())
    return (hits, ()) if depth is None else (hits[:depth], hits[depth:])


def ranked_before(
    documents: Sequence[Document], scores: Sequence[float], rest: Iterable[Document]
) -> tuple[ScoredDocument, ...]:
    """Documents by score, then the rest in their order, with scores that fall below."""
    hits = ranked(ScoredDocument(document=d, score=s) for d, s in zip(documents, scores, strict=True))
    below = min(scores, default=0.0)
    return hits + tuple(ScoredDocument(document=d, score=below - n) for n, d in enumerate(rest, start=1))


def by_qid(rankings: Iterable[Ranking]) -> dict[str, list[Ranking]]:
    """Rankings grouped by qid, in first-seen order."""
    groups: dict[str, list[Ranking]] = {}
    for ranking in rankings:
        groups.setdefault(ranking.query.qid, []).append(ranking)
    return groups


def completed(rankings: Sequence[Ranking], scorers: Mapping[str, ScoresDocuments]) -> list[Ranking]:
    """The same lists, each with the true scores of what the other lists of its qid found, and its population.

    So a fusion has to invent no score for a document that a list did not return.

    Args:
        scorers: source -> the retriever that made its lists. Lists of other sources stay as they are.
    """
    ids = [dict.fromkeys(ranking.doc_ids) for ranking in rankings]
    found: dict[str, dict[str, None]] = {}
    for ranking, own in zip(rankings, ids, strict=True):
        found.setdefault(ranking.qid, {}).update(own)
    whole = list(rankings)
    for source, scorer in scorers.items():
        places = [place for place, ranking in enumerate(rankings) if ranking.source == source]
        queries = [rankings[place].query for place in places]
        missing = [[i for i in found[rankings[place].qid] if i not in ids[place]] for place in places]
        populations, scores = scorer.populations(queries), scorer.scores(queries, missing)
        for place, doc_ids, population, given in zip(places, missing, populations, scores, strict=True):
            known = {i: score for i, score in zip(doc_ids, given, strict=True) if score is not None}
            whole[place] = replace(rankings[place], population=population, other_scores=known)
    return whole


def require_k(k: int, *, by: str) -> None:
    """Raise ValueError unless k is at least 1."""
    if k < 1:
        raise ValueError(f"{by}: k must be at least 1, got {k}")
