"""Relevance less likeness: of hits that say the same, the first stays up and the others make room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rag.indexes import Index, unit
from rag.ranking import in_this_order, min_max, require_k, split_at
from rag.types import NO_USAGE, OK, Ranking, ScoredDocument
from rag.writing import require_positive, require_share


class MMRReranker:
    """Maximal marginal relevance (MMR: Carbonell and Goldstein, SIGIR 1998).

    The next hit is the one with the greatest balance * relevance - (1 - balance) * likeness. Relevance is the hit's score,
    min-max normalised over those that are reordered; likeness is the largest cosine with a hit that was taken before, of the
    vectors in the index, so no text is encoded. Cosines are counted from the least of any two of these hits, for those of some
    encoders all lie above .7. Scores are 1 / rank. A hit that the index has no vector of is like no other.

    Args:
        index: whose dense leg has the vectors.
        leg: its name, where the index has several of this kind.
        balance: 1 keeps the order, 0 looks at likeness alone.
        depth: how many of a ranking's first hits are reordered; the others follow. None: all.
    """

    leg: str = "dense"

    def __init__(self, *, index: Index, leg: str = leg, balance: float = 0.7, depth: int | None = 100) -> None:
        require_share("rerank.mmr", balance=balance)
        require_positive("rerank.mmr", depth=depth)
        self.balance, self.depth, self._index, self.leg = balance, depth, index, leg

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """The same documents, at most `k`, in order of what each adds."""
        require_k(k, by="rerank.mmr")
        return [self._spread(ranking, k) for ranking in rankings]

    def _spread(self, ranking: Ranking, k: int) -> Ranking:
        first, rest = split_at(ranking, self.depth)
        relevance, _ = min_max([hit.score for hit in first])
        order = marginal_order(np.array(relevance), likeness(self._vectors(first)), balance=self.balance, k=k)
        documents = [*(first[place].document for place in order), *(hit.document for hit in rest)]
        return replace(ranking, hits=in_this_order(documents, k=k), outcome=OK, usage=NO_USAGE)

    def _vectors(self, hits: Sequence[ScoredDocument]) -> NDArray[np.float32]:
        """float32 [n, dim], unit norm, zeros where the index has none."""
        known = [(place, row) for place, hit in enumerate(hits) if (row := self._row(hit)) is not None]
        if not known:
            return np.zeros((len(hits), 1), dtype=np.float32)
        found = self._index.leg(self.leg).vectors(np.array([row for _, row in known]))
        vectors = np.zeros((len(hits), found.shape[1]), dtype=np.float32)
        vectors[[place for place, _ in known]] = unit(found)
        return vectors

    def _row(self, hit: ScoredDocument) -> int | None:
        try:
            return self._index.documents.row(hit.doc_id)
        except KeyError:
            return None


def likeness(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64 [n, n], 0 to 1: how alike any two of these vectors [n, dim] are. The two that are least alike have 0.

    A vector of zeros is like no other, and does not count for what is least.
    """
    cosines = (vectors @ vectors.T).astype(np.float64)
    known = vectors.any(axis=1)
    both = np.outer(known, known)
    least = min(cosines[both].min(initial=1.0), 1 - 1e-6)
    alike: NDArray[np.float64] = np.where(both, (cosines - least) / (1 - least), 0.0)
    return alike


def marginal_order(relevance: NDArray[np.float64], alike: NDArray[np.float64], *, balance: float, k: int) -> list[int]:
    """Places of the first `k` by maximal marginal relevance; of equals the earlier place. Costs O(k n).

    Args:
        relevance: float64 [n]. `alike`: float64 [n, n].
    """
    likest = np.zeros(len(relevance))  # before the first there is nothing to be like
    left = np.ones(len(relevance), dtype=np.bool_)
    order: list[int] = []
    for _ in range(min(k, len(relevance))):
        taken = int(np.argmax(np.where(left, balance * relevance - (1 - balance) * likest, -np.inf)))
        likest = np.maximum(likest, alike[taken]) if order else alike[taken]
        order.append(taken)
        left[taken] = False
    return order
