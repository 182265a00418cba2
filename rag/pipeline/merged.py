"""Several graphs as one plan: a node that is equal in some of them is run once for all of these.

Equal is what has one hash in `rag.pipeline.identity.node_identities`: component, parameters, models, name, and all that
feeds it. What each graph gives is what it gives alone, record by record, as long as its parts give the same for the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from rag.core.node import BoundNode
from rag.core.report import Failure, NodeReport, RunResult
from rag.core.types import Query
from rag.graph.build import Graph, build
from rag.graph.run import failed_output, run_nodes
from rag.graph.spec import QUERY, Spec
from rag.pipeline.calibrated import require_calibrated
from rag.pipeline.identity import node_identities
from rag.pipeline.memory_plan import require_room_together
from retrievers.index_protocol import Index


def built_together(specs: Mapping[str, Spec], index: Index | None) -> list[Graph]:
    """Several graphs over one index, in order; models that are the same as in the first are made once.

    Args:
        specs: what messages call a graph -> the graph.
    Raises:
        SpecError: a graph is wrong over this index, or there is not the memory for all of them.
    """
    first, *others = specs.values()
    graphs = [build(first, index=index)]
    for spec in others:
        same = [f"models.{n}" for n, part in spec.graph.models.items() if first.graph.models.get(n) == part]
        graphs.append(build(spec, index=index, kept={key: graphs[0].facts[key] for key in same}))
    for graph in graphs:
        require_calibrated(graph, index)
    require_room_together(dict(zip(specs, graphs, strict=True)), index=index)
    return graphs


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """How many nodes some settings have together, and how many of these are distinct: so many are run."""

    settings: int
    nodes: int
    distinct: int

    @property
    def spared(self) -> int:
        """Nodes whose records are those of another setting."""
        return self.nodes - self.distinct


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A distinct node. `inputs`: the identities of those that feed it, in the order of its ports, or QUERY."""

    node: BoundNode
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """What a step gave. `inner`: records of what it ran inside. `failures`: by qid, also of all that feeds it."""

    records: list[Any]
    inner: Mapping[str, Sequence[Any]]
    reports: tuple[NodeReport, ...]
    failures: Mapping[str, Failure]
    seconds: float


class Merged:
    """The plan of several graphs over one index, each up to its target, the node whose records are wanted of it."""

    def __init__(self, graphs: Sequence[Graph], targets: Sequence[str]) -> None:
        self._steps: dict[str, _Step] = {}
        self._paths: list[dict[str, str]] = []
        for graph, target in zip(graphs, targets, strict=True):
            identities = node_identities(graph)
            path = {node.name: identities[node.name] for node in graph.up_to(target)}
            for node in graph.up_to(target):
                inputs = tuple(QUERY if source == QUERY else path[source] for source in node.inputs)
                self._steps.setdefault(path[node.name], _Step(node=node, inputs=inputs))
            self._paths.append(path)

    def identity(self, setting: int) -> str:
        """Of a setting's target: equal for settings that give the same."""
        return next(reversed(self._paths[setting].values()))

    def sharing(self, settings: Collection[int]) -> Sharing:
        """What some settings have in common."""
        identities = [identity for setting in settings for identity in self._paths[setting].values()]
        return Sharing(settings=len(settings), nodes=len(identities), distinct=len(set(identities)))

    def run(self, queries: Sequence[Query], settings: Collection[int]) -> dict[int, RunResult]:
        """Run a batch through some of the settings, in the calling thread: setting -> what its graph gives alone.

        The seconds of a result are those of its nodes, added up as if no other setting had shared them.
        """
        wanted = {identity for setting in settings for identity in self._paths[setting].values()}
        done: dict[str, _Done] = {}
        for identity, step in self._steps.items():  # in this order each follows what feeds it
            if identity in wanted:
                done[identity] = _run(step, queries, done)
        return {setting: self._result(setting, queries, done) for setting in settings}

    def _result(self, setting: int, queries: Sequence[Query], done: Mapping[str, _Done]) -> RunResult:
        path = self._paths[setting]
        steps = [done[identity] for identity in path.values()]
        records: dict[str, Sequence[Any]] = {}
        for name, step in zip(path, steps, strict=True):
            records |= {name: step.records, **step.inner}
        last = steps[-1]
        stage = self._steps[self.identity(setting)].node.stage
        made = {record.qid: record for record in last.records}
        return RunResult(
            queries=tuple(queries),
            outputs=tuple(
                made[query.qid] if query.qid in made else failed_output(query, last.failures[query.qid], stage)
                for query in queries
            ),
            records=records,
            nodes=tuple(chain.from_iterable(step.reports for step in steps)),
            failures=tuple(last.failures.values()),
            seconds=sum(step.seconds for step in steps),
        )


def _run(step: _Step, queries: Sequence[Query], done: Mapping[str, _Done]) -> _Done:
    """A step on the queries that none of those before it failed on."""
    node = step.node
    feeds = {name: done[identity] for name, identity in zip(node.inputs, step.inputs, strict=True) if name != QUERY}
    failures = {qid: failure for feed in feeds.values() for qid, failure in feed.failures.items()}
    given = {name: [each for each in feed.records if each.qid not in failures] for name, feed in feeds.items()}
    going = [query for query in queries if query.qid not in failures]
    result = run_nodes([node], going, output=node.name, k=None, pool=None, given=given)
    return _Done(
        records=list(result.records[node.name]),
        inner={name: each for name, each in result.records.items() if name not in given and name != node.name},
        reports=result.nodes,
        failures={**failures, **{failure.qid: failure for failure in result.failures}},
        seconds=sum(report.seconds for report in result.nodes if report.name == node.name),
    )
