"""Batches through nodes.

Nodes run as soon as their inputs are there, side by side where they can, each once. A batch that raises is halved until the
items that cannot be worked on are alone; those leave the batch and are reported. What comes back from every node is held
against the protocol of its stage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, replace
from queue import SimpleQueue
from time import perf_counter
from types import MappingProxyType
from typing import Any, Literal

from rag import tracing
from rag.core.errors import ContractError, IndexProblem, MissingDependency, MissingModel, SpecError
from rag.core.node import BoundNode
from rag.core.report import Failure, NodeReport, RunResult, node_report, own_work
from rag.core.types import NO_USAGE, OK, Answer, Context, Outcome, Query, Ranking
from rag.graph.folding import fold, working_inside
from rag.graph.spec import ANSWERING, QUERY

NOT_AN_ITEMS_FAULT = (SpecError, MissingDependency, MissingModel, IndexProblem)
"""Errors that would hit every item alike: raised, never recorded per item."""

Pool = Callable[[], ThreadPoolExecutor]


def run_nodes(
    nodes: Sequence[BoundNode],
    queries: Sequence[Query],
    *,
    output: str,
    k: int | None,
    pool: Pool | None,
    given: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    before: Callable[[str], None] | None = None,
) -> RunResult:
    """Run `nodes`, topologically ordered, on a batch; `k` replaces the k of the output node.

    Args:
        pool: threads for nodes that can work side by side; without any they run one after another.
        given: records of nodes that ran before, by name, for `nodes` to go on with.
        before: is told the name of every node before it works; then they run one after another too.
    Raises:
        ContractError: two queries share a qid.
        SpecError, MissingDependency, MissingModel, IndexProblem: the same for every item.
    """
    begun = perf_counter()
    batch = tuple(queries)
    if len({q.qid for q in batch}) != len(batch):
        twice = next(q.qid for i, q in enumerate(batch) if any(p.qid == q.qid for p in batch[:i]))
        raise ContractError(f"two queries of one batch have the qid '{twice}'; give each its own")
    state = _State(records={QUERY: list(batch), **{name: list(made) for name, made in given.items()}}, failures={})
    reports: dict[str, list[NodeReport]] = {}

    def one(node: BoundNode) -> None:
        reports[node.name] = _run_node(node, state, k if node.name == output and k is not None else node.k)

    with tracing.running(nodes, batch, output) as told:
        if pool is not None and before is None:
            _schedule(nodes, one, pool)
        else:
            for node in nodes:
                if before is not None:
                    before(node.name)
                one(node)
        stage = next(node.stage for node in nodes if node.name == output)
        outputs = _in_query_order(batch, state, output, stage)
        del state.records[QUERY]
        result = RunResult(
            queries=batch,
            outputs=outputs,
            records=state.records,
            nodes=tuple(report for node in nodes for report in reports[node.name]),
            failures=tuple(state.failures.values()),
            seconds=perf_counter() - begun,
        )
        told(result)
    return result


@dataclass(slots=True)
class _State:
    """Records by node, and failures by qid. Written by several threads, each under its own key."""

    records: dict[str, list[Any]]
    failures: dict[str, Failure]


def _schedule(nodes: Sequence[BoundNode], run: Callable[[BoundNode], None], pool: Pool) -> None:
    """Call `run` on every node after its inputs. A node that is alone runs in this thread, without a pool."""
    names = {node.name for node in nodes}
    waiting = {node.name: {s for s in node.inputs if s in names} for node in nodes}
    readers: dict[str, list[BoundNode]] = {}
    for node in nodes:
        for source in waiting[node.name]:
            readers.setdefault(source, []).append(node)
    running: dict[Future[None], BoundNode] = {}
    finished: SimpleQueue[Future[None]] = SimpleQueue()
    ready = [node for node in nodes if not waiting[node.name]]
    while ready or running:
        if len(ready) == 1 and not running:
            done = ready[0]
            run(done)
        else:
            for node in ready:
                future = pool().submit(copy_context().run, run, node)
                running[future] = node
                future.add_done_callback(finished.put)
            future = finished.get()
            done = running.pop(future)
            if (error := future.exception()) is not None:
                wait(running)
                raise error
        ready = []
        for reader in readers.get(done.name, ()):
            waiting[reader.name].discard(done.name)
            if not waiting[reader.name]:
                ready.append(reader)


def _run_node(node: BoundNode, state: _State, k: int | None) -> list[NodeReport]:
    """The node's report, and those of what its component ran inside."""
    begun = perf_counter()
    failures = state.failures
    ports = [state.records[source] for source in node.inputs]
    if failures:
        ports = [[record for record in port if record.qid not in failures] for port in ports]
    if node.gathers:
        ports = [[record for port in ports for record in port]]
    with tracing.working(node, len(ports[0]), k) as told:
        inner: tuple[list[NodeReport], dict[str, list[Any]]] = [], {}
        if node.runs_inner:
            with working_inside() as work:
                records = _attempt(node, ports, k, failures) if ports[0] else []
            inner = fold(node.name, work)
        else:
            records = _attempt(node, ports, k, failures) if ports[0] else []
        own = own_work(records, ports[0]) if node.stage == "check" else records
        report = node_report(node.name, node.use, perf_counter() - begun, len(ports[0]), own)
        told(report, records, [failure for failure in tuple(failures.values()) if failure.node == node.name])
    reports, inner_records = inner
    state.records |= {node.name: records, **inner_records}
    return [report, *reports]


def _attempt(node: BoundNode, ports: list[list[Any]], k: int | None, failures: dict[str, Failure]) -> list[Any]:
    """The node's records for these items. Items that fail alone are reported and leave."""
    try:
        made = node.work(*ports) if k is None else node.work(*ports, k=k)
        return _checked(node, ports, made, k)
    except NOT_AN_ITEMS_FAULT:
        raise
    except Exception as error:
        qids = list(dict.fromkeys(record.qid for record in ports[0]))
        if len(qids) == 1:
            message = f"{type(error).__name__}: {error}"
            failures[qids[0]] = Failure(qid=qids[0], node=node.name, use=node.use, error=message, cause=error)
            return []
        halves = set(qids[: len(qids) // 2]), set(qids[len(qids) // 2 :])
        return [
            record
            for half in halves
            for record in _attempt(node, [[r for r in port if r.qid in half] for port in ports], k, failures)
        ]


def _checked(node: BoundNode, ports: list[list[Any]], made: list[Any], k: int | None) -> list[Any]:
    """Hold what a component gave against its protocol, and stamp rankings with the node that made them."""
    given = ports[0]
    if node.gathers:
        expected = list(dict.fromkeys(record.qid for record in given))
    elif node.stage == "reformulate":
        expected, made_qids = [q.qid for q in given], {q.qid for q in made}
        if missing := [qid for qid in expected if qid not in made_qids] or (made_qids - set(expected)):
            raise ContractError(f"{node.use} must answer every query with its own qid; wrong: {sorted(missing)[:3]}")
        return [_own(q, given) for q in made]
    else:
        expected = [record.qid for record in given]
    if [record.qid for record in made] != expected:
        raise ContractError(
            f"{node.use} returned {len(made)} records for {len(expected)}; the protocol asks for one per input, in input order"
        )
    if node.stage in ("retrieve", "fuse", "rerank"):
        for i, ranking in enumerate(made):
            _check_hits(node, ranking, given[i] if node.stage == "rerank" else None, k)
        stamped = [
            ranking if ranking.source == node.source else replace(_own(ranking, given), source=node.source)
            for ranking in made
        ]
        return _with_near(stamped, given)
    return made


def _with_near(rankings: list[Ranking], given: Sequence[Any]) -> list[Ranking]:
    """Rankings that say which words were searched in place of others in the lists that they were made of."""
    near: dict[str, dict[str, tuple[str, ...]]] = {}
    for record in given:
        if isinstance(record, Ranking) and record.near:
            near.setdefault(record.qid, {}).update(record.near)
    return [replace(each, near=near[each.qid]) if each.qid in near else each for each in rankings]


def _own(record: Any, given: Sequence[Any]) -> Any:
    """A record passed through untouched carries its maker's usage; the node that passed it did nothing."""
    if (record.usage is NO_USAGE and record.outcome is OK) or not any(record is other for other in given):
        return record
    return replace(record, usage=NO_USAGE, outcome=OK)


def _check_hits(node: BoundNode, ranking: Ranking, given: Ranking | None, k: int | None) -> None:
    hits = ranking.hits
    ids = [hit.document.doc_id for hit in hits]
    if len(set(ids)) != len(ids):
        raise ContractError(f"{node.use} returned a document twice for qid '{ranking.qid}'")
    if k is not None and len(ids) > k:
        raise ContractError(f"{node.use} returned {len(ids)} hits for qid '{ranking.qid}', k is {k}")
    if given is not None:
        known = {hit.document.doc_id for hit in given.hits}
        if strange := [i for i in ids if i not in known]:
            raise ContractError(
                f"{node.use} returned documents it was not given for qid '{ranking.qid}': {strange[:3]}"
            )
        left_out = sum(ranking.outcome.counts.get(kind, 0) for kind in node.leaves_out)
        if len(ids) + left_out < min(len(known), k or len(known)):
            raise ContractError(f"{node.use} lost {len(known) - len(ids)} documents of qid '{ranking.qid}'")
    last = math.inf
    for hit in hits:
        if not math.isfinite(hit.score):
            raise ContractError(f"{node.use} scored '{hit.doc_id}' {hit.score} for qid '{ranking.qid}'")
        if hit.score > last:
            raise ContractError(f"{node.use} returned hits that are not in score order for qid '{ranking.qid}'")
        last = hit.score


def _in_query_order(queries: Sequence[Query], state: _State, output: str, stage: str) -> tuple[Any, ...]:
    """One output per query: what the node made, or an empty record of outcome `failed`."""
    made: Mapping[str, Any] = {record.qid: record for record in state.records[output]}
    return tuple(made[q.qid] if q.qid in made else failed_output(q, state.failures[q.qid], stage) for q in queries)


def failed_output(query: Query, failure: Failure, stage: str) -> Any:
    """The empty record that stands for a query that failed on its way to a node of this stage."""
    outcome = Outcome(kind="failed", detail=f"node '{failure.node}' ({failure.use}): {failure.error}")
    return empty_record(query, stage, outcome, status="failed")


def empty_record(query: Query, stage: str, outcome: Outcome, *, status: Literal["no_answer", "failed"]) -> Any:
    """What a node of this stage would have given for a query that did not get through. `status`: of an answer."""
    if stage == "reformulate":
        return replace(query, outcome=outcome)
    if stage == "assemble":
        return Context(query=query, outcome=outcome)
    if stage in ANSWERING:
        context = Context(query=query)
        return Answer(query=query, text="", context=context, status=status, finish_reason="abort", outcome=outcome)
    return Ranking(query=query, outcome=outcome)
