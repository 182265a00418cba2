"""A graph cut into pools of nodes that can work in different processes, each going on with what the one before made."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from rag.core.node import BoundNode
from rag.core.report import RunResult
from rag.core.types import Document, Query, Ranking
from rag.graph.run import Pool, failed_output, run_nodes
from rag.graph.spec import ANSWERING

POOLS = ("retrieve", "rerank", "generate")
"""In the order of the work: one loads indexes, one a reranker, one the model that answers."""


def pools_of(nodes: Sequence[BoundNode]) -> dict[str, tuple[BoundNode, ...]]:
    """Pool -> its nodes, in the order of the graph; pools without a node are left out.

    Rerankers and generators are in the pools of their names, checks of answers with the generators, everything else in the
    first one; a node that reads from a later pool is in that one too.
    """
    place: dict[str, int] = {}
    for node in nodes:
        pool = "generate" if node.stage in ANSWERING else node.stage
        own = POOLS.index(pool) if pool in POOLS else 0
        place[node.name] = max([own, *(place.get(source, 0) for source in node.inputs)])
    cut = {pool: tuple(n for n in nodes if place[n.name] == position) for position, pool in enumerate(POOLS)}
    return {pool: members for pool, members in cut.items() if members}


def begun(queries: Sequence[Query]) -> RunResult:
    """A batch that no node has worked on."""
    return RunResult(queries=tuple(queries), outputs=(), records={}, nodes=(), failures=(), seconds=0.0)


def advanced(before: RunResult, nodes: Sequence[BoundNode], *, threads: Pool) -> RunResult:
    """The batch when these nodes have run on it too. A question that failed before goes no further.

    Causes of failures stay behind, for an exception may not survive the way to another process; their text goes along.
    """
    failed = {failure.qid for failure in before.failures}
    going = [query for query in before.queries if query.qid not in failed]
    inputs = {name: [r for r in records if r.outer_qid not in failed] for name, records in before.records.items()}
    last = nodes[-1]
    result = run_nodes(nodes, going, output=last.name, k=None, pool=threads, given=inputs)
    failures = {f.qid: f for f in (*before.failures, *(replace(failure, cause=None) for failure in result.failures))}
    outputs = dict(zip((query.qid for query in going), result.outputs, strict=True))
    return RunResult(
        queries=before.queries,
        outputs=tuple(
            outputs[q.qid] if q.qid in outputs else failed_output(q, failures[q.qid], last.stage)
            for q in before.queries
        ),
        records={
            **before.records,
            **{name: result.records[name] for name in result.records if name not in before.records},
        },
        nodes=(*before.nodes, *result.nodes),
        failures=tuple(failures.values()),
        seconds=before.seconds + result.seconds,
    )


def lightened(result: RunResult, *, still_read: Collection[str]) -> RunResult:
    """The batch without the texts of rankings that no later node reads: ids and scores are enough for its lines."""
    return replace(
        result,
        outputs=(),
        records={
            name: records if name in still_read else [_without_texts(record) for record in records]
            for name, records in result.records.items()
        },
    )


def _without_texts(record: Any) -> Any:
    if not isinstance(record, Ranking):
        return record
    return replace(
        record, hits=tuple(replace(hit, document=Document(doc_id=hit.doc_id, text="")) for hit in record.hits)
    )
