"""What is left of a batch of questions when the graph is through with it: the lines to commit, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rag.core.report import NodeReport, RunResult
from rag.pipeline.answer_lines import answer_lines, failure_lines
from rag.pipeline.identity import Identities


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDone:
    """Lines of answers and of failures, in the order of the questions; what each node did; wall seconds."""

    answers: Sequence[dict[str, Any]]
    failures: Sequence[dict[str, Any]]
    nodes: tuple[NodeReport, ...]
    seconds: float


def batch_done(result: RunResult, identities: Identities) -> BatchDone:
    """The lines of a batch that went through the whole graph."""
    keys = {query.qid: identities.key(query) for query in result.queries}
    return BatchDone(
        answers=answer_lines(result, keys),
        failures=failure_lines(result.failures, keys),
        nodes=result.nodes,
        seconds=result.seconds,
    )
