"""Graphs made from graphs."""

from __future__ import annotations

from pathlib import Path

from rag.core.errors import SpecError
from rag.graph.names import new_name
from rag.graph.spec import QUERY, GraphSpec, Node
from rag.graph.wiring import ancestors, topological
from rag.stages.risk.calibration import load_calibration

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


def with_calibration(
    graph: GraphSpec,
    calibration: str | Path,
    *,
    risk: float | None = None,
    confidence: float | None = None,
    min_relevance: float = 0.0,
) -> GraphSpec:
    """The graph with what a file of `rag calibrate` says of it: relevance beside scores, and answers at a risk.

    A `rerank.relevance` stands behind the node whose scores were calibrated, and a `check.risk` behind the answers.

    Args:
        risk, confidence: others than the file's.
        min_relevance: hits of less are left out.
    Raises:
        SpecError: there is no such file, or it was made for a graph with other nodes.
    """
    known = load_calibration(Path(calibration))
    if known.hits is not None:
        graph = _with_relevance(graph, known.hits.node, calibration, min_relevance)
    if known.answers is not None:
        asked = {"calibration": str(calibration), "risk": risk, "confidence": confidence}
        params = {key: value for key, value in asked.items() if value is not None}
        name = new_name("risk", graph.nodes)
        node = Node(use="check.risk", inputs=(graph.output,), params=params)
        graph = graph.model_copy(update={"nodes": {**graph.nodes, name: node}, "output": name})
    return graph


def _with_relevance(graph: GraphSpec, scored: str, calibration: str | Path, least: float) -> GraphSpec:
    if scored not in graph.nodes:
        raise SpecError(
            f"'{calibration}' was made for another graph: this one has no node '{scored}'. Run rag calibrate"
        )
    name = new_name("relevance", graph.nodes)
    nodes = {
        each: node.model_copy(update={"inputs": tuple(name if i == scored else i for i in node.inputs)})
        for each, node in graph.nodes.items()
    }
    params = {"calibration": str(calibration), "least": least}
    nodes[name] = Node(use="rerank.relevance", inputs=(scored,), k=graph.nodes[scored].k, params=params)
    output = name if graph.output == scored else graph.output
    return graph.model_copy(update={"nodes": nodes, "output": output})
