"""What became of every relevant document of a run, and how many of them are where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rag.evaluate import Trail
from ragline_lab.lost.fate import LABELS, Fate, Label, fate, standings
from ragline_lab.lost.stages import Stage, Stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Gold:
    """A relevant document of a query.

    `grade`: as it was judged. `ranks`: ranking node -> its rank there among documents, from 1; nodes that did not give it
    are not in it. `shown`: its first place among the passages that the writer was shown, from 1, or None.
    """

    doc_id: str
    grade: int
    ranks: Mapping[str, int] = field(hash=False)
    shown: int | None
    cited: bool
    fate: Fate

    def as_dict(self) -> dict[str, Any]:
        return {
            "doc_id": self.doc_id,
            "grade": self.grade,
            "ranks": dict(self.ranks),
            "shown": self.shown,
            "cited": self.cited,
            "label": self.fate.label,
            "node": self.fate.node or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLoss:
    """A query with its relevant documents, in the order of the judgements."""

    qid: str
    question: str
    gold: tuple[Gold, ...]

    @property
    def lost(self) -> int:
        """How many of its documents were lost."""
        return sum(each.fate.label != "kept" for each in self.gold)

    def as_dict(self) -> dict[str, Any]:
        documents = [each.as_dict() for each in self.gold]
        return {"qid": self.qid, "question": self.question, "documents": documents}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A run of a graph on the judged queries of a split. Every relevant document has one label, so labels add up to all.

    `k`: how far a ranking counts. `answers`: whether answers were written. `unjudged`: queries of the run that have no
    relevant document, and `unasked`: judged queries that the run was not asked; both are left out.
    """

    name: str
    dataset: str
    split: str
    graph: str
    k: int
    answers: bool
    stages: Stages
    queries: tuple[QueryLoss, ...]
    unjudged: int = 0
    unasked: int = 0

    @property
    def gold(self) -> Iterator[Gold]:
        return (each for query in self.queries for each in query.gold)

    @property
    def n_gold(self) -> int:
        return sum(len(query.gold) for query in self.queries)

    @property
    def answering(self) -> tuple[str, ...]:
        """The nodes behind the rankings where answers were written: that which chose what is shown, and the writer."""
        nodes = (self.stages.context, self.stages.writer) if self.answers else ()
        return tuple(dict.fromkeys(filter(None, nodes)))

    def totals(self) -> dict[Label, Counter[str]]:
        """Label -> node -> documents, every label, in the order of `LABELS`."""
        counted: dict[Label, Counter[str]] = {label: Counter() for label in LABELS}
        for each in self.gold:
            counted[each.fate.label][each.fate.node] += 1
        return counted

    def found(self, stage: Stage) -> int:
        """How many relevant documents a node gave, at any rank."""
        return sum(stage.name in each.ranks for each in self.gold)

    def here(self, stage: Stage) -> int:
        """How many it gave among the first k."""
        return sum(each.ranks.get(stage.name, self.k + 1) <= self.k for each in self.gold)

    def behind(self) -> list[tuple[str, str, int]]:
        """What follows the rankings where answers were written: node, what it does to a document, to how many."""
        if not self.answers:
            return []
        shown = sum(each.shown is not None for each in self.gold)
        cited = sum(each.cited for each in self.gold)
        return [(self.stages.context or "", "shown", shown), (self.stages.writer or "", "cited", cited)]

    def sources(self) -> Counter[tuple[str, ...]]:
        """Legs -> documents that just these gave; none for those that nobody found."""
        legs = [leg.name for leg in self.stages.legs]
        return Counter(tuple(leg for leg in legs if leg in each.ranks) for each in self.gold)

    @property
    def worst(self) -> list[QueryLoss]:
        """The queries that lost any, those that lost most first."""
        return sorted((query for query in self.queries if query.lost), key=lambda query: (-query.lost, query.qid))

    def as_dict(self) -> dict[str, Any]:
        """The documented JSON form (docs/reference/json.md)."""
        totals = self.totals()
        return {
            "run": self.name,
            "dataset": self.dataset,
            "split": self.split,
            "graph": self.graph,
            "k": self.k,
            "answers": self.answers,
            "queries": len(self.queries),
            "unjudged": self.unjudged,
            "unasked": self.unasked,
            "relevant": self.n_gold,
            "nodes": [self._node(stage) for stage in self.stages.ranking],
            "behind": [{"node": name, what: n} for name, what, n in self.behind()],
            "labels": {
                label: {"documents": nodes.total(), "nodes": {name: n for name, n in nodes.items() if name}}
                for label, nodes in totals.items()
            },
            "by_query": [query.as_dict() for query in self.queries],
        }

    def _node(self, stage: Stage) -> dict[str, Any]:
        return {
            "node": stage.name,
            "use": stage.use,
            "in": list(stage.inputs),
            "k": stage.k,
            "depth": stage.depth,
            "on_the_way": stage in self.stages.way,
            "among_first_k": self.here(stage),
            "at_any_rank": self.found(stage),
        }


def query_loss(trail: Trail, relevant: Mapping[str, int], stages: Stages, *, k: int) -> QueryLoss:
    """What became of the relevant documents of a query. `relevant`: document -> grade."""
    stands = {stage.name: standings(trail.nodes.get(stage.name, ())) for stage in stages.ranking}
    shown: dict[str, int] = {}
    for place, document in enumerate(trail.shown or (), start=1):
        shown.setdefault(document, place)
    return QueryLoss(
        qid=trail.qid,
        question=trail.question,
        gold=tuple(
            Gold(
                doc_id=document,
                grade=grade,
                ranks={name: own[document].rank for name, own in stands.items() if document in own},
                shown=shown.get(document),
                cited=document in trail.cited,
                fate=fate(document, trail, stands, stages, k=k),
            )
            for document, grade in relevant.items()
        ),
    )
