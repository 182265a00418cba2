"""Which parts of a graph are loaded ahead, and which let go of their memory, in which order: nodes before the models that they
read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any

from rag.core.errors import SpecError
from rag.core.protocols import CanLoadBeside, CanRelease
from rag.graph.build import Graph
from rag.graph.checked import Checked, Made
from retrievers.index_protocol import Index


def begin_to_load(graph: Graph, *, by_stage: bool) -> None:
    """Begin to load the models that can be loaded while passages are found; by stage none, for one part works at a time."""
    for model in () if by_stage else graph.models.values():
        if isinstance(model, CanLoadBeside):
            model.load_beside()


def release(graph: Graph, index: Index | None, names: Sequence[str]) -> None:
    """Let the named models and nodes go, and the nodes that read one of these models; all and the index without names.

    Raises:
        SpecError: the graph has no such model or node; nothing is given back then.
    """
    if unknown := [name for name in names if name not in graph.parts and name not in graph.models]:
        there = f"models: {', '.join(graph.models) or 'none'}; nodes: {', '.join(graph.parts)}"
        raise SpecError(f"nothing to release is named {', '.join(map(repr, unknown))}. This graph has {there}")
    if not names:
        _let_go([*graph.parts.values(), *inside(graph), *graph.models.values(), index])
        return
    models = {name for name in names if name in graph.models}
    chosen = {*names, *_readers(graph, models)}
    parts = [
        each for name, part in graph.parts.items() if name in chosen for each in (part, *_inline(graph.facts[name]))
    ]
    inner = [part for name, part in graph.inner_parts.items() if not models.isdisjoint(graph.facts[name].models)]
    _let_go([*parts, *inner, *(graph.models[name] for name in models)])


def keep_only(graph: Graph, index: Index | None, node: str) -> None:
    """Let everything go that one node does not read."""
    models = models_of(graph, node)
    others = [
        each for name, part in graph.parts.items() if name != node for each in (part, *_inline(graph.facts[name]))
    ]
    others += [model for name, model in graph.models.items() if name not in models]
    _let_go(others if searches(graph, node) else [*others, index])


def inside(graph: Graph | Checked) -> list[Any]:
    """Components of inner graphs, and those that were written as parameters of others."""
    return [*graph.inner_parts.values(), *(part for facts in graph.facts.values() for part in _inline(facts))]


def models_of(graph: Graph | Checked, node: str) -> frozenset[str]:
    """The models that a node was given, also through inner graphs, by their names in the graph."""
    return graph.facts[node].models


def searches(graph: Graph | Checked, node: str) -> bool:
    """Whether a node was given the index, also through inner graphs."""
    return graph.facts[node].searches


def _inline(facts: Made) -> list[Any]:
    return [part for each in facts.inline for part in (each.part, *_inline(each))]


def _let_go(parts: Iterable[Any]) -> None:
    for part in parts:
        if isinstance(part, CanRelease):
            part.release()


def _readers(graph: Graph, models: Set[str]) -> list[str]:
    """Nodes that were given one of these models: they may hold its layers."""
    return [node for node in graph.parts if not models.isdisjoint(models_of(graph, node))]
