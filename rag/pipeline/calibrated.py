"""Is a calibration good for a graph and an index?"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from rag.core.digests import data_sha256
from rag.core.errors import SpecError
from rag.graph.build import Graph
from rag.graph.rewire import with_calibration
from rag.graph.spec import Spec
from rag.pipeline.identity import part_identity
from rag.stages.risk.calibration import MadeFor, ReadsCalibration, differences
from retrievers.index_protocol import Index
from retrievers.legs.protocol import settled

logger = logging.getLogger(__name__)


def calibrated(
    spec: Spec,
    calibration: str | Path | None,
    *,
    risk: float | None = None,
    confidence: float | None = None,
    min_relevance: float = 0.0,
) -> Spec:
    """The graph with what a calibration says of it (`rag.graph.rewire.with_calibration`); as it is without one.

    A smaller graph that it names for small machines is no longer taken in its place: nothing is known of that one.

    Raises:
        SpecError: the file is none, or of another graph; or something is asked for that needs one.
    """
    if calibration is not None:
        graph = with_calibration(spec.graph, calibration, risk=risk, confidence=confidence, min_relevance=min_relevance)
        return spec.model_copy(update={"graph": graph.model_copy(update={"otherwise": None})})
    if risk is not None or confidence is not None or min_relevance:
        raise SpecError("risk, confidence and min_relevance need a calibration: a file that rag calibrate writes")
    return spec


def made_for(graph: Graph, index: Index) -> MadeFor:
    """What a calibration of this graph over this index is good for."""
    from rerankers.relevance import RelevanceReranker

    nodes, readers = graph.spec.graph.nodes, _readers(graph)
    bypassed = {name: nodes[name].inputs[0] for name in readers}

    def source(name: str) -> str:
        while name in bypassed:
            name = bypassed[name]
        return name

    def wiring(name: str) -> list[Any]:
        node = nodes.get(name)
        return [] if node is None else [*map(source, node.inputs), node.k]

    return MadeFor(
        graph=graph.spec.source.name.removeprefix("built-in graph "),
        nodes={
            name: data_sha256([wiring(name), part_identity(facts)])
            for name, facts in graph.facts.items()
            if name not in readers
        },
        legs={leg: data_sha256(settled(index.facts(leg))) for leg in index.legs},
        index=index.identity,
        min_relevance=max(
            (part.least for part in graph.parts.values() if isinstance(part, RelevanceReranker)), default=0
        ),
    )


def require_calibrated(graph: Graph, index: Index | None) -> None:
    """Return if every calibration in the graph was made for it and for this index's settings.

    Other documents than those of the calibration are allowed and logged: then the figure is as good as they are alike.

    Raises:
        SpecError: says what differs.
    """
    readers = _readers(graph)
    if index is None or not readers:
        return
    now = made_for(graph, index)
    for name, part in readers.items():
        where, then = f"node '{name}' ({graph.node(name).use})", part.calibration.made_for
        legs = {leg: digest for leg, digest in now.legs.items() if leg in then.legs}  # one more changes nothing
        found = differences(then.nodes, now.nodes, what="node") + differences(then.legs, legs, what="leg")
        if found:
            raise SpecError(
                f"{where}: its calibration was made for another graph or index, '{then.graph}': {'; '.join(found)}. "
                "Run rag calibrate for this one"
            )
        if part.of_answers and then.min_relevance != now.min_relevance:
            raise SpecError(
                f"{where}: its risk was tried with hits of relevance {then.min_relevance:g} or more, and {now.min_relevance:g} "
                "is asked for. Run rag calibrate with --min-relevance"
            )
        if then.index != now.index:
            logger.warning(
                "%s: the index holds other documents than when it was calibrated, and what it says is of those. Run rag "
                "calibrate again when they are many",
                where,
            )


def _readers(graph: Graph) -> dict[str, ReadsCalibration]:
    """The nodes that do what a calibration says."""
    return {name: part for name, part in graph.parts.items() if isinstance(part, ReadsCalibration)}
