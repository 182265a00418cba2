"""Rankings of several lists that take turns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest

from rag.ranking import by_qid, in_this_order, require_k
from rag.types import OK, Document, Outcome, Ranking


class InterleaveFuser:
    """The first hits of all lists, then the second ones, and so on, each document once (arXiv 2412.03573).

    For lists that look for different things, such as the tools of one request: each gets its share of the top, where
    a fusion by score or rank would prefer what several lists hold. A useless list takes its share too. Scores are
    1 / rank.
    """

    def fuse(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """One ranking per distinct qid, in first-seen order, at most `k` hits, of the root query."""
        require_k(k, by="fuse.interleave")
        return [_in_turns(group, k) for group in by_qid(rankings).values()]


def _in_turns(group: Sequence[Ranking], k: int) -> Ranking:
    rows = zip_longest(*([hit.document for hit in ranking.hits] for ranking in group))
    first: dict[str, Document] = {}
    for document in chain.from_iterable(rows):
        if document is not None:
            first.setdefault(document.doc_id, document)
    outcome = OK if first else Outcome(kind="empty", detail="none of the fused lists has a hit")
    return Ranking(query=group[0].query.root, hits=in_this_order(list(first.values()), k=k), outcome=outcome)
