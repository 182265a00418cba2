"""Why hits have their scores: stage by stage, from the node that made them back to the first ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag.core.node import BoundNode
from rag.core.protocols import ExplainsFusion, ExplainsHits
from rag.core.ranking import completed
from rag.core.types import Ranking, ScoredDocument, ScorePart
from rag.graph.build import Graph
from rag.graph.spec import RANKING_STAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A hit's score at one stage. `parts` sum to it; None where the component cannot take its scores apart.

    `query`: the text that the stage was asked, where it was asked several for one question; else it is empty.
    """

    node: str
    use: str
    score: float
    parts: tuple[ScorePart, ...] | None
    query: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        parts = None if self.parts is None else [_part_json(part) for part in self.parts]
        asked = {"query": self.query} if self.query else {}
        return {"node": self.node, "use": self.use, **asked, "score": self.score, "parts": parts}


def explained(
    graph: Graph, records: Mapping[str, Sequence[Any]], hits: Sequence[ScoredDocument]
) -> list[list[Explained]]:
    """For each hit its stages, the last one first: a fused hit by its lists, then by the words of each list.

    A reranker that left a hit's score as it was is passed over.

    Args:
        records: what every node gave for one question.
        hits: those of the graph's last ranking node, or some of them.
    """
    told: dict[str, list[Explained]] = {hit.doc_id: [] for hit in hits}
    for node in _stages(graph, graph.last_ranking()):
        made = [record for record in records.get(node.name, ()) if isinstance(record, Ranking)]
        before = _given(node, records)
        for ranking in made:
            wanted = [hit for hit in ranking.hits if hit.doc_id in told and not _passed_on(node, hit, before)]
            asked = ranking.query.text if len(made) > 1 else ""
            for hit, parts in zip(wanted, _parts(graph.parts[node.name], ranking, before, wanted), strict=True):
                stage = Explained(node=node.name, use=node.use, score=hit.score, parts=parts, query=asked)
                told[hit.doc_id].append(stage)
    return [told[hit.doc_id] for hit in hits]


def _stages(graph: Graph, last: str) -> Iterator[BoundNode]:
    """The ranking nodes that hits pass on their way to this one, which comes first."""
    wanted = {last}
    for node in reversed(graph.up_to(last)):
        if node.name in wanted and node.stage in RANKING_STAGES:
            wanted.update(node.inputs)
            yield node


def _given(node: BoundNode, records: Mapping[str, Sequence[Any]]) -> list[Ranking]:
    given = [record for name in node.inputs for record in records.get(name, ()) if isinstance(record, Ranking)]
    return completed(given, node.scorers)


def _passed_on(node: BoundNode, hit: ScoredDocument, before: Sequence[Ranking]) -> bool:
    """Whether a reranker left this score as it was: its stage says nothing that the one before does not."""
    if node.stage != "rerank":
        return False
    return any(other.doc_id == hit.doc_id and other.score == hit.score for ranking in before for other in ranking.hits)


def _parts(
    component: object, ranking: Ranking, before: Sequence[Ranking], hits: Sequence[ScoredDocument]
) -> Sequence[tuple[ScorePart, ...] | None]:
    if isinstance(component, ExplainsFusion):
        return [tuple(parts) for parts in component.explain_fusion(before, hits)]
    if isinstance(component, ExplainsHits):
        return [tuple(parts) for parts in component.explain_hits(ranking.query, hits)]
    return [None] * len(hits)


def _part_json(part: ScorePart) -> dict[str, Any]:
    return {"of_query": part.of_query, "of_document": part.of_document, "score": part.score, "how": part.how}
