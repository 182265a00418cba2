"""The same graph over a newer index, without loading its models again."""

from __future__ import annotations

from rag.core.memory import this_machine
from rag.graph.build import build
from rag.pipeline.memory_plan import plan_turns, require_room
from rag.pipeline.pipeline import Pipeline
from retrievers.index_protocol import Index


def successor(pipeline: Pipeline, index: Index) -> Pipeline:
    """A pipeline of the same graph over another index, whose documents and legs are loaded.

    Models, and parts that search no index, are those of `pipeline`; both can be used side by side.

    Raises:
        RagError: the index cannot serve the graph, is damaged, or needs a model that is not here or more memory than
            there is.
    """
    graph = build(pipeline.spec, index=index, kept=pipeline.graph.facts)
    index.check(graph.spec.graph.index, graph.legs)
    require_room(plan_turns(graph, by_stage=pipeline.by_stage, index=index, machine=this_machine()))
    assert index.documents is not None
    for leg in graph.legs:
        index.leg(leg).warm_up()
    return Pipeline(graph, index=index, by_stage=pipeline.by_stage, instead=pipeline.instead)
