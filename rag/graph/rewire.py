"""Graphs made from graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
        if name in edges and node.stage != "reformulate"
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
        if node.stage not in FIRST_STAGE or not later.isdisjoint(node.inputs):
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

    A `rerank.relevance` stands behind the node whose scores were calibrated, an `assemble.gate` behind the passages, if the
    file has a gate, and a `check.risk` behind the answers.

    Args:
        risk, confidence: others than the file's.
        min_relevance: hits of less are left out.
    Raises:
        SpecError: there is no such file, or it was made for a graph with other nodes.
    """
    known = load_calibration(Path(calibration))
    if known.hits is not None:
        params = {"calibration": str(calibration), "least": min_relevance}
        graph = _with_node(graph, "relevance", "rerank.relevance", known.hits.node, params)
    if known.answers is not None:
        if known.answers.gate is not None:
            gated = known.answers.gate.node
            graph = _with_node(graph, "gate", "assemble.gate", gated, {"calibration": str(calibration)})
        asked = {"calibration": str(calibration), "risk": risk, "confidence": confidence}
        params = {key: value for key, value in asked.items() if value is not None}
        name = new_name("risk", graph.nodes)
        node = Node(use="check.risk", inputs=(graph.output,), params=params)
        graph = graph.model_copy(update={"nodes": {**graph.nodes, name: node}, "output": name})
    return graph


def with_patience(graph: GraphSpec, seconds: float | None) -> GraphSpec:
    """The graph with so many seconds for reading passages, in its nodes that can bound them so and do not say how many.

    Inner graphs stay as they are: some run several times for an answer. So does a graph with a calibration, which is of
    nodes as they were then.

    Args:
        seconds: None leaves the graph as it is.
    """
    if seconds is None or any("calibration" in node.params for node in graph.nodes.values()):
        return graph
    nodes = {name: _patient(node, seconds) for name, node in graph.nodes.items()}
    return graph.model_copy(update={"nodes": nodes})


def _patient(node: Node, seconds: float) -> Node:
    if node.use != "assemble.token_budget" or "patience" in node.params:
        return node
    return node.model_copy(update={"params": {**node.params, "patience": seconds}})


def _with_node(graph: GraphSpec, wanted: str, use: str, behind: str, params: dict[str, Any]) -> GraphSpec:
    """The graph with one node more, that all read which read the one it stands behind."""
    if behind not in graph.nodes:
        raise SpecError(
            f"'{params['calibration']}' was made for another graph: this one has no node '{behind}'. Run rag calibrate"
        )
    name = new_name(wanted, graph.nodes)
    nodes = {
        each: node.model_copy(update={"inputs": tuple(name if i == behind else i for i in node.inputs)})
        for each, node in graph.nodes.items()
    }
    nodes[name] = Node(use=use, inputs=(behind,), k=graph.nodes[behind].k, params=params)
    output = name if graph.output == behind else graph.output
    return graph.model_copy(update={"nodes": nodes, "output": output})
