from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.core.errors import SpecError
from rag.core.trec import write_run
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.indexing import build_index
from retrievers.index.directory import LocalIndex
from retrievers.run import RunRetriever

RUN = """\
q1 Q0 d02 1 3.0 x
q1 Q0 d05 3 1.0 x
q1 Q0 d03 2 1.0 x
q2 Q0 gone 1 2.0 x
q2 Q0 d01 2 1.0 x
q3 Q0 gone 1 2.0 x
"""


@pytest.fixture(scope="module")
def index(documents: tuple[Document, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalIndex]:
    place = tmp_path_factory.mktemp("run")
    lines = [
        {"_id": d.doc_id, "title": d.title, "text": d.text, "half": "first" if d.doc_id < "d04" else "second"}
        for d in documents
    ]
    (place / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    build_index([place / "corpus.jsonl"], place / "index", legs=("lexical",))
    with LocalIndex.open(place / "index") as opened:
        yield opened


@pytest.fixture
def run(tmp_path: Path) -> str:
    (tmp_path / "run.trec").write_text(RUN)
    return str(tmp_path / "run.trec")


def test_hits_are_those_of_the_run_with_documents_of_the_index(index: LocalIndex, run: str) -> None:
    (found,) = RunRetriever(run=run, index=index).retrieve([Query(qid="q1", text="anything")], k=10)
    assert [(hit.doc_id, hit.score) for hit in found.hits] == [("d02", 3.0), ("d03", 1.0), ("d05", 1.0)]
    assert found.hits[0].document.title == "Holidays"
    assert found.outcome.kind == "ok"


def test_k_cuts_and_ties_go_by_doc_id(index: LocalIndex, run: str) -> None:
    (found,) = RunRetriever(run=run, index=index).retrieve([Query(qid="q1", text="")], k=2)
    assert found.doc_ids == ("d02", "d03")


def test_one_ranking_per_query_in_order_variants_alike(index: LocalIndex, run: str) -> None:
    queries = [Query(qid="q2", text="a"), Query(qid="q1", text="b"), Query(qid="q1", text="c", original="b")]
    found = RunRetriever(run=run, index=index).retrieve(queries, k=1)
    assert [r.query for r in found] == queries
    assert [r.doc_ids for r in found] == [("d01",), ("d02",), ("d02",)]
    assert RunRetriever(run=run, index=index).retrieve([], k=1) == []


def test_documents_that_the_index_has_not_are_left_out_and_counted(
    index: LocalIndex, run: str, caplog: pytest.LogCaptureFixture
) -> None:
    queries = [Query(qid=f"q{i}", text="") for i in (1, 2, 3)]
    with caplog.at_level(logging.WARNING):
        one, two, three = RunRetriever(run=run, index=index).retrieve(queries, k=5)
    assert (one.outcome.kind, two.outcome.kind, three.outcome.kind) == ("ok", "repaired", "empty")
    assert two.doc_ids == ("d01",)
    assert two.outcome.counts == {"unknown_documents": 1}
    assert len(caplog.records) == 1
    assert "2 of 3 queries" in caplog.text
    assert "first 'gone'" in caplog.text


def test_a_query_that_the_run_lacks_has_no_hits(index: LocalIndex, run: str) -> None:
    (found,) = RunRetriever(run=run, index=index).retrieve([Query(qid="new", text="")], k=5)
    assert (found.hits, found.outcome.kind, found.outcome.detail) == ((), "empty", "the run has no such qid")


def test_the_filter_of_the_query_applies_before_the_cut(index: LocalIndex, run: str) -> None:
    retriever = RunRetriever(run=run, index=index)
    (found,) = retriever.retrieve([Query(qid="q1", text="", where={"half": "second"})], k=1)
    assert found.doc_ids == ("d05",)
    (none,) = retriever.retrieve([Query(qid="q1", text="", where={"half": "third"})], k=1)
    assert (none.hits, none.outcome.kind) == ((), "empty")


def test_a_run_of_ours_comes_back_as_first_stage(
    index: LocalIndex, documents: tuple[Document, ...], tmp_path: Path
) -> None:
    hits = tuple(ScoredDocument(document=d, score=0.5) for d in documents)
    write_run([Ranking(query=Query(qid="my question", text=""), hits=hits)], tmp_path / "run")
    retriever = RunRetriever(run=str(tmp_path / "run"), index=index)
    (found,) = retriever.retrieve([Query(qid="my question", text="")], k=12)
    assert found.doc_ids == tuple(d.doc_id for d in documents)


def test_a_missing_run_is_named_before_anything_loads(index: LocalIndex, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"retrieve\.run: there is no run file '.*nowhere'"):
        RunRetriever(run=str(tmp_path / "nowhere"), index=index)


def test_a_malformed_run_is_named_by_line_at_the_first_call(index: LocalIndex, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("q1 d01 1\n")
    retriever = RunRetriever(run=str(tmp_path / "run"), index=index)
    with pytest.raises(SpecError, match="run:1: 6 columns are wanted"):
        retriever.retrieve([Query(qid="q1", text="")], k=1)


def test_k_below_one_is_refused(index: LocalIndex, run: str) -> None:
    with pytest.raises(ValueError, match="k must be at least 1"):
        RunRetriever(run=run, index=index).retrieve([], k=0)
