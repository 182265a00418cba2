"""What is left of questions when the graph is through with them: the lines to commit, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rag.core.report import NodeReport, RunResult
from rag.pipeline.answer_lines import answer_lines, failure_lines
from rag.pipeline.identity import Identities


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDone:
    """Lines of answers and of failures, in the order of the questions, and what each node did for them."""

    answers: Sequence[dict[str, Any]] = ()
    failures: Sequence[dict[str, Any]] = ()
    nodes: tuple[NodeReport, ...] = ()


def batch_done(result: RunResult, identities: Identities, *, told: int = 0) -> BatchDone:
    """The lines of questions that went through the whole graph. `told`: reports at the beginning that were given before."""
    keys = {query.qid: identities.key(query) for query in result.queries}
    return BatchDone(
        answers=answer_lines(result, keys),
        failures=failure_lines(result.failures, keys),
        nodes=result.nodes[told:],
    )
