"""Checked nodes -> nodes that can run."""

from __future__ import annotations

from rag.core.node import BoundNode
from rag.core.protocols import LeavesOut
from rag.graph.checked import Checked, Made
from rag.graph.inner import RANKINGS
from rag.graph.kinds import STAGES
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
        )
        for name in checked.order
    )


def lone_node(facts: Made, *, name: str) -> BoundNode:
    """A retriever or reranker that stands alone, as a node that reads what it is given."""
    inputs = (RANKINGS,) if facts.use.startswith("rerank.") else (QUERY,)
    return _bound(facts, name=name, source=name, inputs=inputs, k=None)


def _bound(facts: Made, *, name: str, source: str, inputs: tuple[str, ...], k: int | None) -> BoundNode:
    stage = facts.use.partition(".")[0]
    kind = STAGES[stage]
    return BoundNode(
        name=name,
        source=source,
        use=facts.use,
        stage=stage,
        inputs=inputs,
        work=getattr(facts.part, kind.method),
        gathers=kind.gathers,
        k=k,
        runs_inner=facts.runs_inner,
        leaves_out=facts.part.leaves_out if isinstance(facts.part, LeavesOut) else (),
    )
