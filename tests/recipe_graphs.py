"""Built-in graphs of recipes, over a scripted model and words alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rag.core.report import RunResult
from rag.core.types import Document, Query
from rag.core.yaml_source import parse_yaml
from rag.graph.load import builtin_text
from rag.pipeline import load_pipeline
from tests.small_index import small_index

TEXTS = ("The Aurora left port at noon.", "Rain fell on the harbour.", "Lactase splits lactose into glucose.")


def index_of_texts(folder: Path) -> Path:
    """An index of `TEXTS`."""
    return small_index(folder, [Document(doc_id=f"d{n}", text=text) for n, text in enumerate(TEXTS)])


def lexical(name: str, replies: Sequence[str]) -> dict[str, Any]:
    """A built-in graph without its dense legs, and with a writer that says what it is told to."""
    graph: dict[str, Any] = parse_yaml(builtin_text(name), name=name).data
    for model in graph["models"]:
        graph["models"][model] = {"use": "llm.scripted", "with": {"replies": [*replies], "context_window": 100_000}}
    for body in (graph, *graph.get("graphs", {}).values()):
        if "dense" in body["nodes"]:
            del body["nodes"]["dense"]
            body["nodes"]["fused"] |= {"in": ["bm25"], "with": {"norm": "z_score", "weights": {"bm25": 1.0}}}
    return graph


def ran(graph: dict[str, Any], index: Path, query: str) -> RunResult:
    """What became of a query, without failures."""
    with load_pipeline(graph, index=index) as pipeline:
        result = pipeline.run([Query(qid="q", text=query)])
    assert result.failures == ()
    return result


def calls(result: RunResult) -> dict[str, int]:
    """Node -> calls of its model."""
    return {report.name: report.usage.calls for report in result.nodes if report.usage.calls}
