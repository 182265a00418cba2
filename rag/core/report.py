"""The report of a run: records, seconds, tokens and outcomes of every node, and the items that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from typing import Any

from rag.core.filters import Filter, added
from rag.core.types import NO_USAGE, Answer, Context, Query, Ranking, Usage

NOT_OK = ("repaired", "fallback", "failed")
"""Outcomes of records that are not as asked."""

CALL_KINDS = ("ok", "repaired", "fallback")
"""What becomes of a model's calls; each is counted once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An item that a node failed on. No later node works on it."""

    qid: str
    node: str
    use: str
    error: str
    cause: BaseException | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """One node's work on a batch. `outcomes` counts records by outcome kind, `counts` adds up what outcomes counted.

    `n_queries`: distinct qids of its records; several variants of one query count once.
    """

    name: str
    use: str
    seconds: float
    n_in: int
    n_out: int
    n_queries: int
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
            n_queries=self.n_queries + other.n_queries,
            usage=self.usage + other.usage,
            outcomes=_summed(self.outcomes, other.outcomes),
            counts=_summed(self.counts, other.counts),
        )

    @property
    def bad_share(self) -> float:
        """Share of its items that were repaired, fell back or failed; 0 where it gave nothing.

        An item has one outcome. Of several variants made of one query the first tells it, and the others, which only
        say ok, do not count; nor do the several rankings that a fuser makes one of.
        """
        return sum(self.outcomes.get(kind, 0) for kind in NOT_OK) / max(1, min(self.n_in, self.n_out))

    @property
    def rates(self) -> dict[str, float]:
        """Shares of its calls by what became of them: ok, repaired, fallback. Empty where calls are not counted so."""
        calls = self.counts.get("calls", 0)
        return {kind: self.counts.get(kind, 0) / calls for kind in CALL_KINDS} if calls else {}

    @property
    def per_query(self) -> dict[str, float]:
        """Mean cost of a query: seconds, calls and tokens."""
        costs = {
            "seconds": self.seconds,
            "calls": self.usage.calls,
            "prompt_tokens": self.usage.prompt_tokens,
            "cached_tokens": self.usage.cached_tokens,
            "new_tokens": self.usage.new_tokens,
        }
        return {name: cost / max(1, self.n_queries) for name, cost in costs.items()}

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "node": self.name,
            "use": self.use,
            "seconds": round(self.seconds, 6),
            "n_in": self.n_in,
            "n_out": self.n_out,
            "n_queries": self.n_queries,
            "calls": self.usage.calls,
            "prompt_tokens": self.usage.prompt_tokens,
            "cached_tokens": self.usage.cached_tokens,
            "new_tokens": self.usage.new_tokens,
            "outcomes": dict(self.outcomes),
            "counts": dict(self.counts),
            "rates": {name: round(share, 6) for name, share in self.rates.items()},
            "per_query": {name: round(cost, 6) for name, cost in self.per_query.items()},
        }


def _summed(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Counts of both; what was counted and never happened stays, as 0."""
    return {name: one.get(name, 0) + other.get(name, 0) for name in (*one, *other)}


def own_work(checked: Sequence[Answer], given: Sequence[Answer]) -> list[Answer]:
    """Checked answers with what the check itself cost and found, for its report; the generator's work is its own."""
    before = {answer.qid: answer for answer in given}
    return [_own(answer, before[answer.qid]) for answer in checked]


def _own(answer: Answer, given: Answer) -> Answer:
    counts = Counter(answer.outcome.counts)
    counts.subtract(given.outcome.counts)
    kind = "ok" if answer.outcome.kind == given.outcome.kind else answer.outcome.kind
    outcome = replace(answer.outcome, kind=kind, counts={name: n for name, n in counts.items() if n})
    return replace(answer, usage=answer.usage - given.usage, outcome=outcome)


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
        n_queries=len({record.qid for record in records}),
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

    @property
    def near(self) -> dict[str, tuple[str, ...]]:
        """Words that hardly a document has, and the words that were searched for them, by any node."""
        rankings = (record for records in self.records.values() for record in records if isinstance(record, Ranking))
        return {word: words for ranking in rankings for word, words in ranking.near.items()}

    @property
    def read(self) -> list[Filter]:
        """Filters that a reformulator put beside those that the questions came with."""
        asked = {query.qid: query.where for query in self.queries}
        made = (record for records in self.records.values() for record in records if isinstance(record, Query))
        return [*dict.fromkeys(part for each in made for part in added(each.where, to=asked.get(each.outer_qid)))]

    @property
    def context(self) -> Context | None:
        """What the answer of a single query is, or would be, written from."""
        contexts = [record for records in self.records.values() for record in records if isinstance(record, Context)]
        return contexts[-1] if contexts else None


def apart(result: RunResult) -> list[RunResult]:
    """One result per query of a batch, in order: its own records, usage, outcomes and failure.

    `seconds` and `n_in` of the reports stay those of the batch, for every query of it waited for the whole; so do
    the seconds of `per_query`.
    """
    failures = {failure.qid: failure for failure in result.failures}
    records: dict[str, dict[str, list[Any]]] = {query.qid: {} for query in result.queries}
    for name, group in result.records.items():
        for record in group:
            records[record.outer_qid].setdefault(name, []).append(record)
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


def reports_of(parts: Sequence[RunResult]) -> tuple[NodeReport, ...]:
    """The reports of the batch that `apart` made these results of."""
    first = parts[0].nodes
    sums = [reduce(add, reports) for reports in zip(*(part.nodes for part in parts), strict=True)]
    return tuple(replace(one, seconds=of.seconds, n_in=of.n_in) for one, of in zip(sums, first, strict=True))


def merged(results: Sequence[RunResult]) -> RunResult:
    """Results of successive batches as one."""
    if len(results) == 1:
        return results[0]
    nodes: dict[str, NodeReport] = {}
    records: dict[str, list[Any]] = {}
    for result in results:
        for report in result.nodes:
            nodes[report.name] = nodes[report.name] + report if report.name in nodes else report
        for name, group in result.records.items():
            records.setdefault(name, []).extend(group)
    return RunResult(
        queries=tuple(q for r in results for q in r.queries),
        outputs=tuple(o for r in results for o in r.outputs),
        records=records,
        nodes=tuple(nodes.values()),
        failures=tuple(f for r in results for f in r.failures),
        seconds=sum(r.seconds for r in results),
    )
