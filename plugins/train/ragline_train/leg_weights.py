"""Questions without judgements -> how far each list of a fusion is to be trusted over this corpus.

One list judges the others: late interaction compares every word in its sentence, and is right about a corpus more often
than a leg that is wrong there. A list's weight is a prior, times the third power of its agreement with the judge over all
questions. The judge itself gets the mean agreement of the others. A fusion that adds scores up then trusts words where
words fit and vectors where vectors fit.

Agreement of a list with the judge: how high its first three hits stand with the judge (the mean of their reciprocal ranks,
0 where absent), and the judge's with it; the mean of both, over all questions.

Prior and power were chosen on judged sets, each time without the set that was measured (`plugins.train.benchmarks.leg_weights`).
The idea of a teacher over unjudged questions is that of the attention heads (`rag heads find --queries`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from rag.errors import SpecError
from rag.types import Ranking

FIRST = 3
"""Hits of a list that are looked up in the other."""
POWER = 3
PRIOR: Mapping[str, float] = {
    "retrieve.bm25": 3.0,
    "retrieve.dense": 2.0,
    "retrieve.sparse": 2.0,
    "retrieve.late_interaction": 1.0,
}
"""Component -> its weight where all lists agree equally. A dense list of the judge's own encoder agrees more with it than
one that knows other things, so it begins lower."""
_OTHER = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LegWeight:
    """A list of a fusion. `agreement`: with the judge, 0 to 1. `weight`: its part of 1."""

    source: str
    agreement: float
    weight: float


def leg_weights(
    lists: Mapping[str, Sequence[Ranking]],
    *,
    judge: str,
    prior: Mapping[str, float] | None = None,
    power: float = POWER,
) -> list[LegWeight]:
    """Weights for `fuse.weighted`, which sum to 1, in the order of `lists`.

    Args:
        lists: source -> its rankings of the questions, one for each qid.
        judge: a source of them.
        prior: source -> its weight before agreement; 1 for one that is not named.
    Raises:
        SpecError: fewer than three sources, the judge is none of them, or nothing agrees with it at all.
    """
    if len(lists) < 3 or judge not in lists:
        raise SpecError(
            f"weights are learnt from a judge and at least two lists beside it; there are {', '.join(lists) or 'none'}, and "
            f"the judge is '{judge}'"
        )
    agreed = {name: agreement(rankings, lists[judge]) for name, rankings in lists.items() if name != judge}
    agreed = {name: agreed[name] if name != judge else fmean(agreed.values()) for name in lists}
    raw = {name: (prior or {}).get(name, 1.0) * agreed[name] ** power for name in lists}
    total = sum(raw.values())
    if not total:
        raise SpecError(f"no list shares a hit with '{judge}' near the top: these questions say nothing of the lists")
    return [LegWeight(source=name, agreement=agreed[name], weight=raw[name] / total) for name in lists]


def agreement(rankings: Sequence[Ranking], others: Sequence[Ranking]) -> float:
    """How high the first hits of two lists stand in each other, 0 to 1, over the questions that both have.

    Worked: [d1 d2 d3] and [d3 d1 d4]: ((1/2 + 0 + 1) / 3 + (1/3 + 1 + 0) / 3) / 2 = .4722.
    """
    by_qid = {ranking.qid: ranking for ranking in others}
    pairs = [(one, by_qid[one.qid]) for one in rankings if one.qid in by_qid]
    return fmean((_stands(one, other) + _stands(other, one)) / 2 for one, other in pairs) if pairs else 0.0


def _stands(one: Ranking, other: Ranking) -> float:
    ranks = {hit.doc_id: rank for rank, hit in reversed(list(enumerate(other.hits, start=1)))}
    first = [hit.doc_id for hit in one.hits[:FIRST]]
    return sum(1 / ranks[doc_id] for doc_id in first if doc_id in ranks) / len(first) if first else 0.0


def prior_of(use: str) -> float:
    """The prior of a component's lists, by its name in a graph."""
    return PRIOR.get(use, _OTHER)
