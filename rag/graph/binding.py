"""Checked nodes -> nodes that can run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from rag.core.node import BoundNode
from rag.core.protocols import Fuser, LeavesOut, ScoresDocuments, WantsScores
from rag.core.ranking import completed
from rag.core.types import Ranking
from rag.graph.checked import Checked, Made
from rag.graph.inner import RANKINGS
from rag.graph.kinds import STAGES
from rag.graph.settled import answered
from rag.graph.spec import QUERY


def bound_nodes(checked: Checked, *, prefix: str = "") -> tuple[BoundNode, ...]:
    """The nodes of a graph, all of them made, in topological order; those of an inner graph under its name."""
    return tuple(
        _bound(
            checked.made[name],
            name=f"{prefix}{name}",
            source=name,
            inputs=tuple(
                source if source == QUERY else f"{prefix}{source}" for source in checked.body.nodes[name].inputs
            ),
            k=checked.body.nodes[name].k,
            scorers=_scorers(checked, name),
        )
        for name in checked.order
    )


def _scorers(checked: Checked, name: str) -> Mapping[str, ScoresDocuments]:
    """By what the lists of a node are completed, by source; none for a node that does not want it."""
    part = checked.made[name].part
    if not (isinstance(part, WantsScores) and part.wants_scores):
        return MappingProxyType({})
    feeders = {source: checked.made[source].part for source in checked.body.nodes[name].inputs}
    return {source: feeder for source, feeder in feeders.items() if isinstance(feeder, ScoresDocuments)}


def lone_node(facts: Made, *, name: str) -> BoundNode:
    """A retriever or reranker that stands alone, as a node that reads what it is given."""
    inputs = (RANKINGS,) if facts.use.startswith("rerank.") else (QUERY,)
    return _bound(facts, name=name, source=name, inputs=inputs, k=None)


def _bound(
    facts: Made,
    *,
    name: str,
    source: str,
    inputs: tuple[str, ...],
    k: int | None,
    scorers: Mapping[str, ScoresDocuments] = MappingProxyType({}),
) -> BoundNode:
    stage = facts.use.partition(".")[0]
    kind = STAGES[stage]
    return BoundNode(
        name=name,
        source=source,
        use=facts.use,
        stage=stage,
        inputs=inputs,
        work=_work(facts.part, stage, scorers),
        gathers=kind.gathers,
        k=k,
        runs_inner=facts.runs_inner,
        leaves_out=facts.part.leaves_out if isinstance(facts.part, LeavesOut) else (),
        scorers=scorers,
    )


def _work(part: Any, stage: str, scorers: Mapping[str, ScoresDocuments]) -> Callable[..., list[Any]]:
    if scorers:
        return partial(_fuse_completed, part, scorers)
    work: Callable[..., list[Any]] = getattr(part, STAGES[stage].method)
    return partial(answered, work) if stage == "generate" else work


def _fuse_completed(
    fuser: Fuser, scorers: Mapping[str, ScoresDocuments], rankings: Sequence[Ranking], *, k: int
) -> list[Ranking]:
    return fuser.fuse(completed(rankings, scorers), k=k)
