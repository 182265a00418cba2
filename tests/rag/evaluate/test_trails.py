"""What `rag eval` keeps of every query's way: documents per node and variant, what was shown, what was cited."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import SpecError
from rag.core.report import Failure, RunResult
from rag.core.run_files import RunFile
from rag.core.trec import read_run
from rag.core.types import Answer, Citation, Context, Document, Outcome, Query, Ranking, ScoredDocument
from rag.evaluate.beir import load_beir
from rag.evaluate.graph_evaluation import evaluate_graph
from rag.evaluate.trails import Trail, Trails, read_trails, trails_of, write_trails
from rag.graph.load import load_spec
from rag.stages import REFORMULATORS
from rerankers import RERANKERS
from tests.rag.evaluate.test_evaluation import ITEMS, rivers
from tests.rag.graph.parts import BadWords, TwoVariants

__all__ = ["rivers"]

GRAPH: dict[str, Any] = {
    "version": 1,
    "models": {
        "ranker": {"use": "llm.scripted", "with": {"replies": ["[2] > [1]"]}},
        "writer": {"use": "llm.scripted", "with": {"replies": ["Paris [1].", "Rome [1] [2].", "I don't know."]}},
    },
    "nodes": {
        "two": {"use": "reformulate.test_two", "in": "query"},
        "bm25": {"use": "retrieve.bm25", "in": "two", "k": 3},
        "fused": {"use": "fuse.rrf", "in": "bm25", "k": 3},
        "ranked": {"use": "rerank.listwise", "in": "fused", "k": 3, "with": {"llm": "ranker", "depth": 2}},
        "context": {
            "use": "assemble.token_budget",
            "in": "ranked",
            "with": {"llm": "writer", "max_tokens": 60, "max_passages": 2},
        },
        "answer": {
            "use": "generate.cited",
            "in": "context",
            "with": {"llm": "writer", "max_tokens": 20, "attribute": False},
        },
    },
    "output": "answer",
}


@pytest.fixture(autouse=True)
def _parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(REFORMULATORS._table, "test_two", TwoVariants)


def test_an_evaluation_keeps_the_way_of_every_query(rivers: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    evaluate_graph(load_beir(rivers), load_spec(GRAPH), out=out)
    trails = read_trails(out / RunFile.TRAILS)
    assert trails.depths == {"ranked": 2}
    assert [(trail.qid, trail.question) for trail in trails.queries] == [(i["id"], i["question"]) for i in ITEMS]
    run, lines = read_run(out / "ranked.trec"), (out / "answers.jsonl").read_text().splitlines()
    for trail, line in zip(trails.queries, map(json.loads, lines), strict=True):
        assert [len(trail.nodes[name]) for name in ("bm25", "fused", "ranked")] == [2, 1, 1], "a list for each variant"
        assert [doc_id for doc_id, _ in run.get(trail.qid, [])] == list(trail.nodes["ranked"][0])
        assert trail.shown == tuple(line["passages"])
        assert set(trail.cited) == {citation["doc_id"] for citation in line["citations"]}
    assert not (out / "bm25.trec").exists(), "variants of one query are no run"
    assert trails.queries[0].cited
    assert trails.queries[2].cited == ()


def test_without_answers_nothing_was_shown(rivers: Path, tmp_path: Path) -> None:
    evaluate_graph(load_beir(rivers), load_spec(GRAPH), out=tmp_path, measures=["R@2"])
    assert {trail.shown for trail in read_trails(tmp_path / RunFile.TRAILS).queries} == {None}


def test_a_query_that_fails_in_a_real_run_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RERANKERS._table, "test_bad_words", BadWords)
    data = tmp_path / "data"
    (data / "qrels").mkdir(parents=True)
    (data / "corpus.jsonl").write_text('{"_id": "d1", "text": "good news"}\n{"_id": "d2", "text": "bad news"}\n')
    (data / "queries.jsonl").write_text('{"_id": "q1", "text": "good news"}\n{"_id": "q2", "text": "bad news"}\n')
    (data / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n")
    nodes = {
        "bm25": {"use": "retrieve.bm25", "k": 1},
        "ranked": {"use": "rerank.test_bad_words", "in": "bm25", "k": 1},
    }
    evaluate_graph(load_beir(data), load_spec({"version": 1, "nodes": nodes, "output": "ranked"}), out=tmp_path / "run")
    good, bad = read_trails(tmp_path / "run" / RunFile.TRAILS).queries
    assert (good.failed, good.nodes) == (None, {"bm25": (("d1",),), "ranked": (("d1",),)})
    assert (bad.failed, bad.nodes) == ("ranked", {"bm25": (("d2",),)})


def chunk(parent: str, number: int) -> ScoredDocument:
    document = Document(doc_id=f"{parent}#{number}", text="", metadata={"parent": parent})
    return ScoredDocument(document=document, score=-float(number))


def test_passages_count_for_their_documents_and_a_failed_query_says_where() -> None:
    good, bad = Query(qid="q1", text="x", original="as typed"), Query(qid="q2", text="y")
    hits = (chunk("a", 1), chunk("a", 2), chunk("b", 3))
    answer = Answer(
        query=good,
        text="Yes [2].",
        context=Context(query=good, passages=hits),
        citations=(Citation(marker=2, doc_id="a#2", start=4, end=7),),
    )
    failed = Answer(query=bad, text="", context=Context(query=bad), status="failed", outcome=Outcome(kind="failed"))
    result = RunResult(
        queries=(good, bad),
        outputs=(answer, failed),
        records={"leg": [Ranking(query=good, hits=hits), Ranking(query=bad, hits=hits)], "last": [Ranking(query=good)]},
        nodes=(),
        failures=(Failure(qid="q2", node="last", use="rerank.x", error="no"),),
        seconds=0.0,
    )
    first, second = trails_of(result, ["leg", "last"])
    assert first == Trail(
        qid="q1",
        question="as typed",
        nodes={"leg": (("a", "a", "b"),), "last": ((),)},
        shown=("a", "a", "b"),
        cited=("a",),
    )
    assert second == Trail(qid="q2", question="y", nodes={"leg": (("a", "a", "b"),)}, failed="last")


HOSTILE = Trail(
    qid="\ud800\n", question='</script>"', nodes={"a/../b\u202e": (("\x00", "d"), ())}, shown=(), cited=("d",)
)


def test_what_is_written_is_read_again_whatever_names_there_are(tmp_path: Path) -> None:
    trails = Trails(depths={"a/../b\u202e": 3}, queries=(HOSTILE, Trail(qid="2", question="", nodes={}, failed="n")))
    write_trails(trails, tmp_path / RunFile.TRAILS)
    assert read_trails(tmp_path / RunFile.TRAILS) == trails


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text[:-20], "is no JSON .*: it was cut off or changed"),
        (lambda text: "", "is no JSON"),
        (lambda text: "[" * 100_000, "is no JSON"),
        (lambda text: "[]", "holds no trails"),
        (lambda text: '{"depths": {}}', "holds no trails as rag eval writes them: KeyError"),
        (lambda text: text.replace('"shown": []', '"shown": "d"'), "a list is wanted, not 'd'"),
        (lambda text: text.replace('"depths": {"n": 3}', '"depths": {"n": "3"}'), "a whole number is wanted"),
        (lambda text: text.replace('["d", "e"]', '["d", 1]'), "text is wanted, not 1"),
        (lambda text: text.replace('"qid": "2"', '"qid": "1"'), "has a query twice"),
    ],
)
def test_a_damaged_file_is_explained(change: Any, why: str, tmp_path: Path) -> None:
    one = Trail(qid="1", question="", nodes={"n": (("d", "e"),)}, shown=())
    write_trails(
        Trails(depths={"n": 3}, queries=(one, Trail(qid="2", question="", nodes={}))), tmp_path / RunFile.TRAILS
    )
    changed = change((tmp_path / RunFile.TRAILS).read_text())
    assert changed != (tmp_path / RunFile.TRAILS).read_text()
    (tmp_path / RunFile.TRAILS).write_text(changed)
    with pytest.raises(SpecError, match=why):
        read_trails(tmp_path / RunFile.TRAILS)


def test_a_run_of_before_has_none(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"cannot be read .* a run of before has none: run it again"):
        read_trails(tmp_path / RunFile.TRAILS)
