"""A graph as those see it who follow documents: which nodes rank, who hands hits to whom, and who writes from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rag.errors import SpecError
from rag.graphs import GraphSpec, ancestors, topological


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A node that ranks.

    `inputs`: ranking nodes whose hits it is given; none for a leg. `k`: hits that it passes on at most. `depth`: hits that
    it looks at, of those it is given; None: all.
    """

    name: str
    use: str
    inputs: tuple[str, ...] = ()
    k: int | None = None
    depth: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The ranking nodes of a graph in the order they run.

    `way`: from the last one back to the legs, nearest first. A ranking node beside the way is read by a reformulator
    alone: its hits go no further. `context`: the node that chooses what the writer is shown, `writer`: the node that
    writes; None where the graph ends in rankings.
    """

    ranking: tuple[Stage, ...]
    way: tuple[Stage, ...]
    context: str | None = None
    writer: str | None = None

    @property
    def last(self) -> Stage:
        """The node whose ranking is measured."""
        return self.way[0]

    @property
    def legs(self) -> tuple[Stage, ...]:
        """Where the hits on the way come from."""
        return tuple(stage for stage in self.ranking if stage in self.way and not stage.inputs)

    @property
    def later(self) -> tuple[Stage, ...]:
        """The nodes on the way that are given hits, in the order they run."""
        return tuple(stage for stage in self.ranking if stage in self.way and stage.inputs)


def stages_of(graph: GraphSpec, depths: Mapping[str, int], *, name: str) -> Stages:
    """What a graph's wiring says.

    Args:
        depths: of the rerankers that do not look at all they are given.
        name: of the graph or its run, for messages.
    Raises:
        SpecError: nothing ranks on the way to the output.
    """
    inputs = {each: node.inputs for each, node in graph.nodes.items()}
    order = [each for each in topological(inputs)[0] if graph.nodes[each].ranks]
    leading = ancestors(graph.output, inputs)
    last = next((each for each in reversed(order) if each in leading), "")
    used = ancestors(last, inputs)
    ranking: dict[str, Stage] = {}
    for each in order:
        if each in used:
            node = graph.nodes[each]
            given = tuple(source for source in node.inputs if source in ranking)
            ranking[each] = Stage(name=each, use=node.use, inputs=given, k=node.k, depth=depths.get(each))
    if not ranking:
        raise SpecError(
            f"{name}: no node of its graph ranks documents, so none can be lost on the way. What inner graphs rank is not "
            "followed: evaluate the inner graph as a graph of its own"
        )
    way = _way(ranking, last)
    writer = _writer(graph)
    context = graph.nodes[writer].inputs[0] if writer else ""
    if context not in graph.nodes or graph.nodes[context].stage != "assemble":
        context = writer or ""
    return Stages(ranking=tuple(ranking.values()), way=way, context=context or None, writer=writer)


def _way(ranking: Mapping[str, Stage], last: str) -> tuple[Stage, ...]:
    """The node and all that hand hits to it, directly or not, nearest first."""
    way = {last: ranking[last]}
    waiting = [last]
    while waiting:
        nearer, waiting = waiting, []
        for name in nearer:
            for source in ranking[name].inputs:
                if source not in way:
                    way[source] = ranking[source]
                    waiting.append(source)
    return tuple(way.values())


def _writer(graph: GraphSpec) -> str | None:
    """The node that writes the answers, behind which checks may stand; None where the graph ends in rankings."""
    name = graph.output
    while graph.nodes[name].stage == "check":
        name = graph.nodes[name].inputs[0]
    return name if graph.nodes[name].answers else None
