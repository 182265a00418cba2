"""Which parts of a graph let go of their memory, and in which order: nodes before the models that they read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any

from rag.core.errors import SpecError
from rag.graph.build import Graph
from rag.graph.check import Checked
from rag.graph.signature import signature
from retrievers.index.directory import Index


def release(graph: Graph, index: Index | None, names: Sequence[str]) -> None:
    """Let the named models and nodes go, and the nodes that read one of these models; all and the index without names.

    Raises:
        SpecError: the graph has no such model or node; nothing is given back then.
    """
    if unknown := [name for name in names if name not in graph.parts and name not in graph.models]:
        there = f"models: {', '.join(graph.models) or 'none'}; nodes: {', '.join(graph.parts)}"
        raise SpecError(f"nothing to release is named {', '.join(map(repr, unknown))}. This graph has {there}")
    chosen = {*names, *_readers(graph, {name for name in names if name in graph.models})}
    parts = [
        part for named in (graph.parts, graph.models) for name, part in named.items() if not names or name in chosen
    ]
    _let_go(parts if names else [*parts, index])


def keep_only(graph: Graph, index: Index | None, node: str) -> None:
    """Let everything go that one node does not read."""
    models = models_of(graph, node)
    others = [part for name, part in graph.parts.items() if name != node]
    others += [model for name, model in graph.models.items() if name not in models]
    _let_go(others if searches(graph, node) else [*others, index])


def models_of(graph: Graph | Checked, node: str) -> set[str]:
    """The models that a node was given, by their names in the graph."""
    return {p for p in graph.spec.graph.nodes[node].params.values() if isinstance(p, str) and p in graph.models}


def searches(graph: Graph | Checked, node: str) -> bool:
    """Whether a node was given the index."""
    return any(param.resource == "index" for param in signature(type(graph.parts[node]), None).params)


def _let_go(parts: Iterable[Any]) -> None:
    for part in parts:
        let_go = getattr(part, "release", None)
        if let_go is not None:
            let_go()


def _readers(graph: Graph, models: Set[str]) -> list[str]:
    """Nodes that were given one of these models: they may hold its layers."""
    return [node for node in graph.parts if not models.isdisjoint(models_of(graph, node))]
