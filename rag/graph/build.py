"""A checked graph -> nodes that can run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from rag.core.errors import NO_INDEX, SpecError
from rag.core.node import BoundNode
from rag.graph.binding import bound_nodes
from rag.graph.check import check
from rag.graph.checked import Made
from rag.graph.draw import graph_html
from rag.graph.spec import ANSWERING, RANKING_STAGES, Spec
from rag.graph.wiring import ancestors
from retrievers.index_protocol import Index


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """Nodes in topological order, the models they share, and the parts by name.

    `facts`: what a node, a model ("models.NAME") or a part of an inner graph ("GRAPH/NODE") is made of. `inner_parts`:
    components of inner graphs, by the same names.
    """

    spec: Spec
    nodes: tuple[BoundNode, ...]
    models: Mapping[str, Any]
    parts: Mapping[str, Any]
    inner_parts: Mapping[str, Any]
    facts: Mapping[str, Made]
    legs: tuple[str, ...]
    _paths: dict[str, tuple[BoundNode, ...]] = field(default_factory=dict, init=False, repr=False)

    def __repr__(self) -> str:
        return repr(self.spec.graph)

    def _repr_html_(self) -> str:
        return graph_html(self.spec.graph)

    @property
    def output(self) -> str:
        return self.spec.graph.output

    @property
    def answers(self) -> bool:
        """Whether the graph ends in answers."""
        return self.node(self.output).stage in ANSWERING

    @property
    def answering(self) -> tuple[BoundNode, ...]:
        """The node that writes the answers and the checks behind it, in order; none where the graph does not answer."""
        nodes = [self.node(self.output)]
        while nodes[0].stage == "check":
            nodes.insert(0, self.node(nodes[0].inputs[0]))
        return tuple(nodes) if self.answers else ()

    @property
    def writer(self) -> Any:
        """The part that writes the answers; None where the graph does not answer."""
        return self.parts[self.answering[0].name] if self.answers else None

    def node(self, name: str) -> BoundNode:
        return next(node for node in self.nodes if node.name == name)

    def ranking_nodes(self) -> Sequence[str]:
        """The nodes that rank on the way to the output, in order."""
        return [node.name for node in self.up_to(self.output) if node.stage in RANKING_STAGES]

    def last_ranking(self) -> str:
        """The last node that ranks on the way to the output.

        Raises:
            SpecError: the graph ranks nothing, as a closed-book one.
        """
        if names := self.ranking_nodes():
            return names[-1]
        raise SpecError(
            f"{self.spec.source.name}: no node of this graph ranks documents, so there is nothing to search"
        )

    def up_to(self, name: str) -> Sequence[BoundNode]:
        """The nodes that lead to one, and it, in order."""
        if (
            name not in self._paths
        ):  # kept here: a cache of the module would keep indexes open that nobody uses any more
            used = ancestors(name, {node.name: node.inputs for node in self.nodes})
            self._paths[name] = tuple(node for node in self.nodes if node.name in used)
        return self._paths[name]


def build(spec: Spec, *, index: Index | None = None, kept: Mapping[str, Made] = MappingProxyType({})) -> Graph:
    """Check a graph and make its parts. Loads no weights.

    Args:
        kept: facts of the same graph over another index; its models, and its parts that search no index, are shared.
    Raises:
        SpecError: all problems at once, or an index is needed and none is given.
    """
    checked = check(spec, index=index, kept=kept)
    if checked.problems:
        raise SpecError(*checked.problems)
    spec = checked.spec
    if any(name not in checked.made for name in checked.order):
        raise SpecError(f"{spec.source.name}: {NO_INDEX}")
    return Graph(
        spec=spec,
        nodes=bound_nodes(checked),
        models=checked.models,
        parts=checked.parts,
        inner_parts=checked.inner_parts,
        facts=checked.facts,
        legs=checked.legs,
    )
