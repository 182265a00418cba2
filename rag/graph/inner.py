"""Inner graphs, retrievers and rerankers as the components that were given them see them.

An inner run has qids of its own, made from the outer ones. What it did is folded into the outer run, so the records that
come back carry the caller's query and cost nothing any more. Its nodes run one after another in the calling thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from rag.core.node import BoundNode
from rag.core.ranking import require_k
from rag.core.types import NO_USAGE, Answer, Outcome, Query, Ranking
from rag.graph.folding import Work, current_work
from rag.graph.run import empty_record, run_nodes
from rag.graph.spec import Budget

RANKINGS = "rankings"
"""The name under which an inner reranker finds the rankings it is given."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inner:
    """An inner graph that can be run: its nodes, up to the output. `label` is its name in reports."""

    label: str
    nodes: tuple[BoundNode, ...]
    output: str
    budget: Budget

    def run(self, queries: Sequence[Query]) -> list[Any]:
        """One record of the output node per query, in order."""
        return self._run(queries)

    def spent(self, query: Query) -> str:
        """Why the budget runs no more for this query; empty while it does."""
        return self._spent(query, current_work())

    def _run(self, queries: Sequence[Query], *, k: int | None = None, rankings: Sequence[Ranking] = ()) -> list[Any]:
        if not queries:
            return []
        work = current_work()
        refusals = {position: why for position, query in enumerate(queries) if (why := self._spent(query, work))}
        going = [position for position in range(len(queries)) if position not in refusals]
        named = [work.named(queries[position]) for position in going]
        inputs: dict[str, list[Any]] = {}
        if rankings:
            pairs = zip(going, named, strict=True)
            inputs[RANKINGS] = [replace(rankings[position], query=query) for position, query in pairs]
        records: dict[int, Any] = {}
        if named:
            result = run_nodes(self.nodes, named, output=self.output, k=k, pool=None, given=inputs)
            work.add(self.label, replace(result, records={n: r for n, r in result.records.items() if n != RANKINGS}))
            records = dict(zip(going, result.outputs, strict=True))
        stage = self.nodes[-1].stage
        return [
            _refused(query, stage, refusals[position]) if position in refusals else _returned(records[position], query)
            for position, query in enumerate(queries)
        ]

    def _spent(self, query: Query, work: Work) -> str:
        budget, cost = self.budget, work.cost(self.label, query)
        seconds = perf_counter() - work.begun
        limits = (
            ("calls", cost.calls, budget.calls),
            ("tokens", cost.prompt_tokens + cost.new_tokens, budget.tokens),
            ("seconds", seconds, budget.seconds),
        )
        over = [f"{used:,.6g} of {limit:,} {what}" for what, used, limit in limits if limit and used >= limit]
        return f"the budget of '{self.label}' is spent: {', '.join(over)}" if over else ""


class InnerRetriever(Inner):
    """The same as a retriever."""

    __slots__ = ()

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order, at most `k` hits each."""
        require_k(k, by=self.label)
        return self._run(queries, k=k)


class InnerReranker(Inner):
    """One reranker as a node of its own."""

    __slots__ = ()

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """One ranking per ranking, in order."""
        require_k(k, by=self.label)
        return self._run([ranking.query for ranking in rankings], k=k, rankings=rankings)


def _returned(record: Any, query: Query) -> Any:
    """An inner record as its caller gets it. It belongs to the caller's query; its cost is counted elsewhere."""
    if isinstance(record, Query):
        return replace(record, qid=query.qid, within=query.within, usage=NO_USAGE)
    if isinstance(record, Answer):
        context = replace(record.context, query=query, usage=NO_USAGE)
        return replace(record, query=query, context=context, usage=NO_USAGE)
    return replace(record, query=query, usage=NO_USAGE)


def _refused(query: Query, stage: str, why: str) -> Any:
    """What stands for a query whose budget is spent."""
    outcome = Outcome(kind="fallback", detail=why, counts={"budget_spent": 1})
    return replace(empty_record(query, stage, outcome, status="no_answer"), usage=NO_USAGE)
