"""Order, cuts and groups of hits: the only place that decides ties."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rag.types import Document, Ranking, ScoredDocument


def ranked(hits: Iterable[ScoredDocument], *, k: int | None = None) -> tuple[ScoredDocument, ...]:
    """Hits in rank order, best first, ties by doc_id ascending, cut at `k`."""
    ordered = sorted(hits, key=lambda hit: (-hit.score, hit.document.doc_id))
    return tuple(ordered if k is None else ordered[:k])


def in_this_order(documents: Sequence[Document], *, k: int | None = None) -> tuple[ScoredDocument, ...]:
    """Hits for an order without scores: 1 / rank, so that evaluators that sort by score keep the order."""
    kept = documents if k is None else documents[:k]
    return tuple(ScoredDocument(document=d, score=1.0 / rank) for rank, d in enumerate(kept, start=1))


def by_qid(rankings: Iterable[Ranking]) -> dict[str, list[Ranking]]:
    """Rankings grouped by qid, in first-seen order."""
    groups: dict[str, list[Ranking]] = {}
    for ranking in rankings:
        groups.setdefault(ranking.query.qid, []).append(ranking)
    return groups


def require_k(k: int, *, by: str) -> None:
    """Raise ValueError unless k is at least 1."""
    if k < 1:
        raise ValueError(f"{by}: k must be at least 1, got {k}")
