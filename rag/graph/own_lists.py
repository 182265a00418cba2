"""Lists that an index brings to a graph which names none of them: of legs that an index has for what it holds beside text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from rag.core.errors import UnknownComponent
from rag.graph.names import new_name
from rag.graph.spec import Node, Spec
from retrievers.index.settings import leg_kind
from retrievers.index_protocol import Index
from retrievers.legs import LEGS
from retrievers.legs.protocol import LegKind


def with_own_lists(spec: Spec, index: Index | None) -> tuple[Spec, list[str]]:
    """The graph with a list more in every node that fuses lists of the index, for each leg that comes by itself; and what to note.

    A graph that names such a leg's component, and what fuses nothing, stays as it is.
    """
    own = [] if index is None else [*_own(index)]
    nodes, notes = spec.graph.nodes, list[str]()
    for leg, kind in own:
        bodies = (nodes, *(body.nodes for body in spec.graph.graphs.values()))
        if any(node.use == kind.found_by for node in chain.from_iterable(body.values() for body in bodies)):
            continue
        changed, name = dict(nodes), new_name(leg, nodes)
        for fuser, node in nodes.items():
            feeders = [each for each in node.inputs if each in nodes and nodes[each].stage == "retrieve"]
            if node.stage != "fuse" or not feeders:
                continue
            first, named = nodes[feeders[0]], {} if leg == type(kind).name else {"leg": leg}
            changed[name] = Node(use=kind.found_by, inputs=first.inputs, k=first.k, params=named)
            changed[fuser] = node.model_copy(
                update={"inputs": (*node.inputs, name), "params": _weighed(node.params, name, kind.share)}
            )
            notes.append(f"node '{fuser}' also fuses '{name}' ({kind.found_by}), as the index holds what that finds")
            break  # a node has one place; a graph that fuses twice has the list in its first fusion
        nodes = changed
    if nodes is spec.graph.nodes:
        return spec, notes
    return spec.model_copy(update={"graph": spec.graph.model_copy(update={"nodes": nodes})}), notes


def _own(index: Index) -> Iterator[tuple[str, LegKind]]:
    for leg in index.legs:
        if leg in LEGS.shipped:
            continue
        try:
            kind = leg_kind(leg, index.facts(leg))
        except UnknownComponent:  # its plug-in is not here; the others find what they find
            continue
        if kind.found_by:
            yield leg, kind


def _weighed(params: Mapping[str, Any], name: str, share: float) -> dict[str, Any]:
    """Parameters of a fuser whose weights, if it says any, name the new list too."""
    weights = params.get("weights")
    if not isinstance(weights, dict):
        return dict(params)
    return {**params, "weights": {**weights, name: share * sum(weights.values())}}
