"""What a run did: records, seconds, tokens and outcomes of every node, and the items that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rag.types import NO_USAGE, Answer, Query, Ranking, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An item that a node failed on: it left the batch there."""

    qid: str
    node: str
    use: str
    error: str
    cause: BaseException | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """One node's work on a batch. `outcomes` counts records by outcome kind, `counts` adds up what outcomes counted."""

    name: str
    use: str
    seconds: float
    n_in: int
    n_out: int
    usage: Usage
    outcomes: Mapping[str, int]
    counts: Mapping[str, int]

    def __add__(self, other: NodeReport) -> NodeReport:
        return NodeReport(
            name=self.name,
            use=self.use,
            seconds=self.seconds + other.seconds,
            n_in=self.n_in + other.n_in,
            n_out=self.n_out + other.n_out,
            usage=self.usage + other.usage,
            outcomes=dict(Counter(self.outcomes) + Counter(other.outcomes)),
            counts=dict(Counter(self.counts) + Counter(other.counts)),
        )

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "node": self.name,
            "use": self.use,
            "seconds": round(self.seconds, 6),
            "n_in": self.n_in,
            "n_out": self.n_out,
            "calls": self.usage.calls,
            "prompt_tokens": self.usage.prompt_tokens,
            "cached_tokens": self.usage.cached_tokens,
            "new_tokens": self.usage.new_tokens,
            "outcomes": dict(self.outcomes),
            "counts": dict(self.counts),
        }


def node_report(name: str, use: str, seconds: float, n_in: int, records: Sequence[Any]) -> NodeReport:
    """Add up what a node's records say of themselves."""
    usage, outcomes, counts = NO_USAGE, Counter[str](), Counter[str]()
    for record in records:
        if record.usage is not NO_USAGE:
            usage = usage + record.usage
        outcomes[record.outcome.kind] += 1
        if record.outcome.counts:
            counts.update(record.outcome.counts)
    return NodeReport(
        name=name,
        use=use,
        seconds=seconds,
        n_in=n_in,
        n_out=len(records),
        usage=usage,
        outcomes=outcomes,
        counts=counts,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A batch that went through a graph.

    `outputs`: one record per query, in input order; that of a failed query is empty, with outcome `failed`.
    `records`: what each node gave, by node name. `seconds` is wall time; nodes may have run side by side.
    """

    queries: tuple[Query, ...]
    outputs: tuple[Any, ...]
    records: Mapping[str, Sequence[Any]]
    nodes: tuple[NodeReport, ...]
    failures: tuple[Failure, ...]
    seconds: float

    @property
    def rankings(self) -> list[Ranking]:
        """The outputs of a graph, or part of one, that ends in rankings."""
        return [record for record in self.outputs if isinstance(record, Ranking)]

    @property
    def answers(self) -> list[Answer]:
        """The outputs of a graph that ends in answers."""
        return [record for record in self.outputs if isinstance(record, Answer)]


def apart(result: RunResult) -> list[RunResult]:
    """One result per query of a batch, in order: its own records, usage, outcomes and failure.

    `seconds` and `n_in` of the reports stay those of the batch, for every query of it waited for the whole.
    """
    failures = {failure.qid: failure for failure in result.failures}
    records: dict[str, dict[str, list[Any]]] = {query.qid: {} for query in result.queries}
    for name, made in result.records.items():
        for record in made:
            records[record.qid].setdefault(name, []).append(record)
    return [
        RunResult(
            queries=(query,),
            outputs=(output,),
            records=records[query.qid],
            nodes=tuple(
                node_report(node.name, node.use, node.seconds, node.n_in, records[query.qid].get(node.name, ()))
                for node in result.nodes
            ),
            failures=(failures[query.qid],) if query.qid in failures else (),
            seconds=result.seconds,
        )
        for query, output in zip(result.queries, result.outputs, strict=True)
    ]


def merged(results: Sequence[RunResult]) -> RunResult:
    """Results of successive batches as one."""
    if len(results) == 1:
        return results[0]
    nodes: dict[str, NodeReport] = {}
    records: dict[str, list[Any]] = {}
    for result in results:
        for report in result.nodes:
            nodes[report.name] = nodes[report.name] + report if report.name in nodes else report
        for name, made in result.records.items():
            records.setdefault(name, []).extend(made)
    return RunResult(
        queries=tuple(q for r in results for q in r.queries),
        outputs=tuple(o for r in results for o in r.outputs),
        records=records,
        nodes=tuple(nodes.values()),
        failures=tuple(f for r in results for f in r.failures),
        seconds=sum(r.seconds for r in results),
    )
