"""What each fused list adds to a document's score: what a fuser adds up, and how it explains a hit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rag.core.types import Document, Ranking, ScoredDocument, ScorePart


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
    names = _names(rankings)
    for share in shares:
        if share.document.doc_id in parts and (share.rank is not None or share.score):
            found = f"rank {share.rank}" if share.rank is not None else ""
            part = ScorePart(of_query=names[share.place], of_document=found, score=share.score, how=share.how)
            parts[share.document.doc_id].append(part)
    return [sorted(parts[hit.doc_id], key=lambda part: -part.score) for hit in hits]


def _names(rankings: Sequence[Ranking]) -> list[str]:
    """What lists are called: their source; of several lists of one source, also the query that each was found for."""
    sources = [ranking.source for ranking in rankings]
    return [
        source if sources.count(source) == 1 else f"{source}: {ranking.query.text}"
        for source, ranking in zip(sources, rankings, strict=True)
    ]
