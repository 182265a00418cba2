"""What a graph made of a question -> the line that is committed for it (docs/reference/json.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rag.core.report import Failure, RunResult
from rag.core.types import NO_USAGE, Answer, Ranking, Usage
from rag.pipeline.as_json import citation_json, outcome_json, verdict_json


def answer_lines(result: RunResult, keys: Mapping[str, str]) -> list[dict[str, Any]]:
    """One line for each question that was answered, in order. What may differ between runs is under `cost`."""
    failed = {failure.qid for failure in result.failures}
    usage = _usage_by_question(result)
    seconds = {node.name: node.seconds / max(1, node.n_in) for node in result.nodes}
    stages = _stages_by_question(result)
    return [
        _line(answer, keys[answer.qid], stages.get(answer.qid, {}), usage.get(answer.qid, NO_USAGE), seconds)
        for answer in result.answers
        if answer.qid not in failed
    ]


def failure_lines(failures: tuple[Failure, ...], keys: Mapping[str, str]) -> list[dict[str, Any]]:
    """One line for each question that failed: where and why."""
    by_question = {f.qid: f for f in failures}
    failed = [(key, by_question[qid]) for qid, key in keys.items() if qid in by_question]
    return [{"key": key, "id": f.qid, "node": f.node, "use": f.use, "error": f.error} for key, f in failed]


def _line(
    answer: Answer, key: str, stages: Mapping[str, Any], usage: Usage, seconds: Mapping[str, float]
) -> dict[str, Any]:
    return {
        "key": key,
        "id": answer.qid,
        "question": answer.query.asked,
        "answer": answer.text,
        "status": answer.status,
        "confidence": answer.confidence,
        "finish_reason": answer.finish_reason,
        "citations": list(map(citation_json, answer.citations)),
        "verdicts": list(map(verdict_json, answer.verdicts)),
        "passages": [hit.doc_id for hit in answer.context.passages],
        "stages": dict(stages),
        "outcome": outcome_json(answer.outcome),
        "tokens": {"calls": usage.calls, "prompt": usage.prompt_tokens, "new": usage.new_tokens},
        "cost": {
            "cached_tokens": usage.cached_tokens,
            "seconds": {node: round(spent, 6) for node, spent in seconds.items()},
        },
    }


def _stages_by_question(result: RunResult) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """qid -> ranking node -> what it gave, best first. A node that ranked several variants gives a list after another."""
    stages: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name in (node.name for node in result.nodes):  # branches may have finished in any order
        for record in result.records.get(name, ()):
            if isinstance(record, Ranking):
                hits = [{"doc_id": hit.doc_id, "score": hit.score} for hit in record.hits]
                stages.setdefault(record.outer_qid, {}).setdefault(name, []).extend(hits)
    return stages


def _usage_by_question(result: RunResult) -> dict[str, Usage]:
    usage: dict[str, Usage] = {}
    for records in result.records.values():
        for record in records:
            if record.usage is not NO_USAGE:
                usage[record.outer_qid] = usage.get(record.outer_qid, NO_USAGE) + record.usage
    return usage
