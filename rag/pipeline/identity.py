"""What a question, a graph and an index are, as hashes: equal content gives equal keys, on every machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag.core.contents import Content, digest_of
from rag.core.digests import data_sha256, file_sha256
from rag.core.filters import as_mapping, parted
from rag.core.protocols import CanDescribe, LoadsModels
from rag.core.types import Query
from rag.graph.build import Graph
from rag.graph.checked import Made
from rag.graph.spec import QUERY, InnerGraph, Node
from rag.graph.uses import graphs_reached
from rag.models.identity import named_weights
from retrievers.index_protocol import Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """Hashes of the graph and the index of a run; with a question they make its key."""

    graph: str
    index: str

    def key(self, query: Query) -> str:
        return question_key(query, graph=self.graph, index=self.index)


def part_identity(facts: Made, *, weights: bool = True) -> Mapping[str, Any]:
    """All that a part's output depends on, as plain data.

    Its component and every parameter, defaults filled in; the words of every prompt that it loaded; the content of
    every file that a parameter names; the weights of its models; and what it says of itself, such as the digest of a
    file.
    """
    part = facts.part
    models = part.model_names if weights and isinstance(part, LoadsModels) else ()
    return {
        "use": facts.use,
        "parameters": facts.parameters,
        "prompts": dict(facts.prompts),
        "files": [file_sha256(path) for path in facts.files],
        "weights": [named_weights(name, revision) for name, revision in models],
        "says": dict(part.describe()) if isinstance(part, CanDescribe) else {},
        "inline": [part_identity(each, weights=weights) for each in facts.inline],
    }


def graph_identity(graph: Graph, *, weights: bool = True) -> str:
    """Hash of how the nodes are joined and of what each part is. Where the graph came from, and comments, do not count.

    Args:
        weights: whether the content of model folders counts; a machine that only hands out work may not have them.
    """
    return data_sha256(
        {
            "graph": _wiring(graph),
            "parts": {name: part_identity(facts, weights=weights) for name, facts in graph.facts.items()},
        }
    )


def wiring_identity(graph: Graph) -> str:
    """Hash of how the nodes are joined, of inner graphs and budgets, and of the settings of the index."""
    return data_sha256(_wiring(graph))


def _wiring(graph: Graph) -> dict[str, Any]:
    spec = graph.spec.graph
    return {
        "output": spec.output,
        "nodes": _wired(spec.nodes),
        "graphs": {name: _wired_inner(inner) for name, inner in spec.graphs.items()},
        "index": spec.index.model_dump(mode="json", by_alias=True),
    }


def node_identities(graph: Graph) -> dict[str, str]:
    """Node -> hash of all that its records depend on beside the queries and the index, in the order of the graph.

    That is its part, its k, the models and inner graphs that it is given, its name, and the same of every node that feeds
    it. The name counts, for a ranking says which node made it and a fuser reads that. So over one index two nodes with one
    hash give equal records, whichever graphs they are of.
    """
    spec = graph.spec.graph
    parts = {name: part_identity(facts) for name, facts in graph.facts.items()}
    identities: dict[str, str] = {}
    for node in graph.nodes:
        models = sorted(graph.facts[node.name].models)
        inner = sorted(graphs_reached([spec.nodes[node.name]], spec.graphs))
        identities[node.name] = data_sha256(
            {
                "name": node.name,
                "k": node.k,
                "in": [QUERY if source == QUERY else identities[source] for source in node.inputs],
                "part": parts[node.name],
                "models": {name: parts[f"models.{name}"] for name in models},
                "graphs": {name: [_wired_inner(spec.graphs[name]), _inside(name, parts)] for name in inner},
            }
        )
    return identities


def _inside(graph: str, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Of all parts those of an inner graph."""
    return {name: part for name, part in parts.items() if name.startswith(f"{graph}/")}


def _wired_inner(inner: InnerGraph) -> dict[str, Any]:
    return {"output": inner.output, "nodes": _wired(inner.nodes), "budget": inner.budget.model_dump(mode="json")}


def _wired(nodes: Mapping[str, Node]) -> dict[str, Any]:
    return {name: {"use": node.use, "in": list(node.inputs), "k": node.k} for name, node in nodes.items()}


def index_identity(index: Index | None) -> str:
    """Hash of what the index holds and how it was built; empty without one."""
    return "" if index is None else index.identity


def question_key(query: Query, *, graph: str, index: str) -> str:
    """Hash under which the answer to a question is committed."""
    history = [[turn.role, turn.content, *_digests(turn.contents)] for turn in query.history]
    asked = parted(query.where)
    where = None if asked.where is None else as_mapping(asked.where)
    askers = [{"asker": asker.as_dict()} for asker in asked.askers]
    wishes = [{"wishes": query.wishes}] if query.wishes else []
    return data_sha256(
        [query.qid, query.text, where, history, graph, index, *_digests(query.contents), *wishes, *askers]
    )


def _digests(contents: Sequence[Content]) -> list[str]:
    return [digest_of("", contents).hex()] if contents else []
