"""How far lists of one query agree, and a fuser that trusts each of them by it. No judgement is needed for either.

What is measured of a list is how high its first hits stand in another list: the mean of their reciprocal ranks there,
0 for a hit that the other has not. Lists of one source are not held against each other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from rag.core.arguments import require_one_of
from rag.core.ranking import by_qid, require_k
from rag.core.types import Ranking
from rag.stages.fuse import Norm, WeightedFuser, checked_weights, distinct, require_named

FIRST = 3
"""Hits of a list that are looked up in the others."""

OUT, IN = 1.0, 1.0
"""By how much a list of a query is trusted more where its first hits stand high in the others, and theirs in it: the
exponents of its weight. Chosen on judged sets, each time without the set that was measured (`benchmarks.leg_weights`)."""


class AgreementFuser:
    """Weighted sum of normalised scores, in which each query trusts its lists by how far they agree.

    A list's weight is that of its source, times exp(o + i): o is how high its first three hits stand in the other lists, i
    how high theirs stand in it, both from 0 to 1. So a list that nobody confirms counts less for this query, and one that is
    the odd one out for most queries gets a small weight of its source, which `rag weigh` learns from questions without
    judgements.

    Args:
        weights: source (node name) to weight, naming every source; without it all count the same before agreement.
        norm: as in fuse.weighted.
    """

    def __init__(self, *, weights: dict[str, float] | None = None, norm: Norm = "z_score") -> None:
        require_one_of("fuse.agreement", get_args(Norm), norm=norm)
        self.weights, self.norm = checked_weights(weights, by="fuse.agreement"), norm

    def fuse(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """One ranking per distinct qid, in first-seen order, at most `k` hits, of the root query.

        Raises:
            ValueError: k is below 1, or the sources and those of the weights are not the same.
            ContractError: a score is NaN or infinite.
        """
        require_k(k, by="fuse.agreement")
        if rankings:
            self.require_sources({ranking.source for ranking in rankings})
        return [fused for group in by_qid(rankings).values() for fused in self._weighted(group).fuse(group, k=k)]

    def require_sources(self, sources: Collection[str]) -> None:
        """Raise ValueError unless the weights, if there are any, name just the nodes that rankings come from."""
        require_named(self.weights, sources, by="fuse.agreement")
        WeightedFuser(weights=dict(self.weights) or None).require_sources(sources)

    def trust(self, rankings: Sequence[Ranking]) -> dict[str, float]:
        """Source -> its weight for one query, whose lists these are; they sum to 1."""
        sources, agreed = agreement(rankings)
        n = max(1, len(sources) - 1)
        trusted = np.exp(OUT * agreed.sum(axis=1) / n + IN * agreed.sum(axis=0) / n)
        weights = {
            source: self.weights.get(source, 1.0) * float(value)
            for source, value in zip(sources, trusted, strict=True)
        }
        total = sum(weights.values())
        return {source: weight / total for source, weight in weights.items()}

    def _weighted(self, group: Sequence[Ranking]) -> WeightedFuser:
        return WeightedFuser(weights=self.trust(group), norm=self.norm)


def agreement(rankings: Sequence[Ranking]) -> tuple[list[str], NDArray[np.float64]]:
    """Of the lists of one query: sources in first-seen order, and float64 [sources, sources], how high the first hits of
    one stand in another, from 0 to 1; 0 with itself. Several lists of a source count as one, by a hit's best rank.

    Worked: [d1 d2 d3] beside [d3 d1 d4]: (1/2 + 0 + 1) / 3 = .5, and the other way (1/3 + 1 + 0) / 3 = .4444.
    """
    ranks: dict[str, dict[str, int]] = {}
    for ranking in rankings:
        known = ranks.setdefault(ranking.source, {})
        for rank, hit in enumerate(distinct(ranking), start=1):
            known[hit.doc_id] = min(rank, known.get(hit.doc_id, rank))
    found = np.zeros((len(ranks), len(ranks)))
    for a, mine in enumerate(ranks.values()):
        first = sorted(mine, key=lambda doc_id: (mine[doc_id], doc_id))[:FIRST]
        for b, theirs in enumerate(ranks.values()):
            if a != b and first:
                found[a, b] = sum(1 / theirs[doc_id] for doc_id in first if doc_id in theirs) / len(first)
    return list(ranks), found
