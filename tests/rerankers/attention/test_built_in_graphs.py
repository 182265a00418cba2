"""The built-in graphs that rerank by attention, with the model and the heads that ship."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.core.types import Document, Query
from rag.graph.check import check
from rag.graph.load import load_spec
from rag.indexing import build_index
from rag.pipeline import load_pipeline

pytestmark = pytest.mark.models


@pytest.mark.parametrize("graph", ["bm25-attention", "hybrid-attention"])
def test_a_search_reads_every_document_once_and_finds_the_right_one(
    graph: str,
    documents: tuple[Document, ...],
    queries: tuple[Query, ...],
    qrels: dict[str, dict[str, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rerankers.attention.opening.home", lambda: tmp_path)  # weights stay where they are
    corpus = tmp_path / "corpus.jsonl"
    records = [{"_id": each.doc_id, "title": each.title, "text": each.text} for each in documents]
    corpus.write_text("".join(json.dumps(record) + "\n" for record in records))
    spec = load_spec(graph)
    build_index([corpus], tmp_path / "index", settings=spec.graph.index, legs=check(spec).legs)
    with load_pipeline(graph, index=tmp_path / "index") as pipeline:
        right = 0
        for query in queries:
            found = pipeline.search(query, k=12)
            assert found.outcome.kind == "ok"
            right += found.hits[0].document.parent in qrels[query.qid]
        report = pipeline.graph.parts["ranked"].states()
    assert right >= 4  # of 5, among 12 documents
    assert 0 < report.misses == report.kept <= len(documents)
    assert report.damaged == 0
