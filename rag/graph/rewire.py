"""Graphs made from graphs."""

from __future__ import annotations

from pathlib import Path

from rag.graph.spec import QUERY, GraphSpec, Node
from rag.graph.wiring import ancestors, topological

FIRST_STAGE = ("reformulate", "retrieve", "fuse")


def with_run(graph: GraphSpec, run: str | Path) -> GraphSpec:
    """The graph with a TREC run as its first stage.

    Every ranking node that only reformulation, retrieval and fusion lead to, and that another kind of node (or the output)
    reads, is replaced by `retrieve.run` of the same name and k; what then leads nowhere is left out.
    """
    first = _first_stage(graph)
    read_by_others = {source for name, node in graph.nodes.items() if name not in first for source in node.inputs}
    edges = first & (read_by_others | {graph.output})
    replaced = {
        name: Node(use="retrieve.run", inputs=(QUERY,), k=node.k or 1000, params={"run": str(run)})
        if name in edges and node.use.partition(".")[0] != "reformulate"
        else node
        for name, node in graph.nodes.items()
    }
    used = ancestors(graph.output, {name: node.inputs for name, node in replaced.items()})
    return graph.model_copy(update={"nodes": {name: node for name, node in replaced.items() if name in used}})


def _first_stage(graph: GraphSpec) -> set[str]:
    """Nodes that reformulate, retrieve or fuse, and that only such nodes lead to."""
    order, _ = topological({name: node.inputs for name, node in graph.nodes.items()})
    later: set[str] = set()
    for name in order:
        node = graph.nodes[name]
        if node.use.partition(".")[0] not in FIRST_STAGE or not later.isdisjoint(node.inputs):
            later.add(name)
    return {*order} - later
