"""What a node's component runs inside, gathered so that it is told beside the outer graph's nodes.

While a node works, a `Work` is current in its context. Every inner run adds itself. When the node is done, reports and
records of inner nodes are added to the outer run under "NODE/INNER".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from threading import Lock
from time import perf_counter
from typing import Any

from rag.core.report import NodeReport, RunResult
from rag.core.types import NO_USAGE, Query, Usage

_work: ContextVar[Work | None] = ContextVar("work of a node", default=None)


@dataclass(slots=True)
class Work:
    """The inner runs of one node on one batch. Several threads may add to it.

    `numbers`: how many queries were asked inside for each outer qid. `costs`: by inner graph and outer qid.
    """

    begun: float = field(default_factory=perf_counter)
    runs: list[RunResult] = field(default_factory=list)
    numbers: Counter[str] = field(default_factory=Counter)
    costs: dict[tuple[str, str], Usage] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def named(self, query: Query) -> Query:
        """The query under a qid of its own: that of the outer one, and how many were asked inside for it until now."""
        with self._lock:
            self.numbers[query.outer_qid] += 1
            number = self.numbers[query.outer_qid]
        return replace(query, qid=f"{query.qid}/{number}", within=query.outer_qid)

    def add(self, graph: str, result: RunResult) -> None:
        """Keep a run, and what it cost for each outer query."""
        with self._lock:
            self.runs.append(result)
            for records in result.records.values():
                for record in records:
                    if record.usage is not NO_USAGE:
                        key = (graph, record.outer_qid)
                        self.costs[key] = self.costs.get(key, NO_USAGE) + record.usage

    def cost(self, graph: str, query: Query) -> Usage:
        """What an inner graph has cost for a query until now."""
        with self._lock:
            return self.costs.get((graph, query.outer_qid), NO_USAGE)


def current_work() -> Work:
    """The work of the node that runs in this context; a new one outside of any."""
    return _work.get() or Work()


@contextmanager
def working_inside() -> Iterator[Work]:
    """A node's work, current inside the block."""
    work = Work()
    token = _work.set(work)
    try:
        yield work
    finally:
        _work.reset(token)


def fold(node: str, work: Work) -> tuple[list[NodeReport], dict[str, list[Any]]]:
    """Reports and records of all that ran inside a node, under its name. Items that failed inside are counted."""
    reports: dict[str, NodeReport] = {}
    records: dict[str, list[Any]] = {}
    for run in work.runs:
        failed = Counter(failure.node for failure in run.failures)
        for report in run.nodes:
            name = f"{node}/{report.name}"
            outcomes = Counter(report.outcomes) + Counter({"failed": failed[report.name]})
            renamed = replace(report, name=name, outcomes=dict(outcomes))
            reports[name] = reports[name] + renamed if name in reports else renamed
        for name, inner in run.records.items():
            records.setdefault(f"{node}/{name}", []).extend(inner)
    return list(reports.values()), records
