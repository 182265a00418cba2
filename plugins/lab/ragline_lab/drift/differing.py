"""What a query got twice, compared: the same, ties in another order, other scores, or another ranking or answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rag.evaluate import strictly_falling
from ragline_lab.drift.seen import Hits, Said, Seen

Kind = Literal["same", "ties", "scores", "ranking"]
"""What can be said of two rankings: the same documents in the same order with equal scores; equal scores in another order;
other scores in the same order; other documents, or another order."""

NOTHING = Seen(rankings={})
"""What a query got that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryDrift:
    """How far a query got something else. `nodes`: those whose ranking is not the same, in the order of the graph.

    `before`, `now`: the answers, where they differ.
    """

    qid: str
    nodes: Mapping[str, Kind] = field(hash=False)
    answered_otherwise: bool = False
    before: Said | None = None
    now: Said | None = None

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not self.nodes and not self.answered_otherwise

    @property
    def is_rounding(self) -> bool:
        """Whether nothing differs but the order of documents with equal scores."""
        return not self.answered_otherwise and all(kind == "ties" for kind in self.nodes.values())

    def as_dict(self) -> dict[str, Any]:
        answers = {"before": self.before and asdict(self.before), "now": self.now and asdict(self.now)}
        return {
            "qid": self.qid,
            "nodes": dict(self.nodes),
            **({"answers": answers} if self.answered_otherwise else {}),
        }


def drifts(
    before: Mapping[str, Seen],
    now: Mapping[str, Seen],
    qids: Iterable[str],
    nodes: Collection[str],
    *,
    tolerance: float,
) -> list[QueryDrift]:
    """How each query fared, in the order given. `nodes`: those that are compared, in the order of the graph."""
    return [_drift(qid, before.get(qid, NOTHING), now.get(qid, NOTHING), nodes, tolerance) for qid in qids]


def _drift(qid: str, before: Seen, now: Seen, nodes: Collection[str], tolerance: float) -> QueryDrift:
    kinds = {
        name: compared_hits(before.rankings.get(name, ()), now.rankings.get(name, ()), tolerance) for name in nodes
    }
    answered_otherwise = before.said != now.said
    return QueryDrift(
        qid=qid,
        nodes={name: kind for name, kind in kinds.items() if kind != "same"},
        answered_otherwise=answered_otherwise,
        before=before.said if answered_otherwise else None,
        now=now.said if answered_otherwise else None,
    )


def compared_hits(before: Hits, now: Hits, tolerance: float) -> Kind:
    """What became of a ranking.

    Scores are equal if they differ by at most `tolerance` times the largest of both rankings. A document that only one
    ranking has counts as tied if its score is that of the other's last hit: it was cut off there.

    >>> compared_hits((("a", 2.0), ("b", 1.0)), (("b", 1.0), ("a", 1.0)), 0.001)
    'ranking'
    >>> compared_hits((("a", 1.0), ("b", 1.0)), (("b", 1.0), ("c", 1.0)), 0.001)
    'ties'
    """
    if not before or not now:
        return "same" if not before and not now else "ranking"
    old, new = _falling(before), _falling(now)
    near = tolerance * max(abs(score) for scores in (old, new) for score in scores.values())
    close = all(abs(old[doc_id] - new[doc_id]) <= near for doc_id in old if doc_id in new)
    if list(old) == list(new):
        return "same" if close else "scores"
    cut = close and _cut_off(old, new, near) and _cut_off(new, old, near)
    return "ties" if cut else "ranking"


def _falling(hits: Hits) -> dict[str, float]:
    """Scores as a run file holds them, so that what was read from one compares with what was not."""
    return dict(zip((doc_id for doc_id, _ in hits), strictly_falling(score for _, score in hits), strict=True))


def _cut_off(one: Mapping[str, float], other: Mapping[str, float], near: float) -> bool:
    """Whether all that the other lacks is as good as its last hit."""
    last = min(other.values())
    return all(abs(score - last) <= near for doc_id, score in one.items() if doc_id not in other)
