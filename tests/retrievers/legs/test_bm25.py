"""BM25Retriever over real indexes."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rag.core.types import Document, Query
from rag.indexing import build_index
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.lexical.retriever import BM25Retriever
from retrievers.legs.lexical.settings import LexicalSettings

MakeIndex = Callable[..., LocalIndex]


@pytest.fixture
def make_index(tmp_path: Path) -> MakeIndex:
    def make(documents: Sequence[Document], **analyzer: Any) -> LocalIndex:
        folder = tmp_path / "corpus"
        folder.mkdir()
        with (folder / "corpus.jsonl").open("w", encoding="utf-8") as stream:
            for document in documents:
                record = {"_id": document.doc_id, "title": document.title, "text": document.text}
                stream.write(json.dumps({**record, **document.metadata}) + "\n")
        settings = IndexSettings(analyzer=AnalyzerSettings(**analyzer)).judging_documents()
        build_index([folder], tmp_path / "index", settings=settings, legs=("lexical",))
        return LocalIndex.open(tmp_path / "index")

    return make


@pytest.fixture
def retriever(make_index: MakeIndex, documents: tuple[Document, ...]) -> BM25Retriever:
    kinds = ("rule", "product")
    marked = [replace(d, metadata={"kind": kinds[i % 2], "n": i}) for i, d in enumerate(documents)]
    return BM25Retriever(index=make_index(marked))


def _query(text: str, **more: Any) -> Query:
    return Query(qid=more.pop("qid", "q"), text=text, **more)


def test_the_answering_document_comes_first(
    retriever: BM25Retriever, queries: tuple[Query, ...], qrels: dict[str, dict[str, int]]
) -> None:
    rankings = retriever.retrieve(queries, k=3)
    assert [ranking.query for ranking in rankings] == list(queries)
    for ranking in rankings:
        assert ranking.doc_ids[0] in qrels[ranking.qid]
        assert len(ranking.hits) <= 3
        assert ranking.outcome.kind == "ok"
        scores = [hit.score for hit in ranking.hits]
        assert scores == sorted(scores, reverse=True)
        assert all(type(score) is float and score > 0 for score in scores)


def test_a_batch_gives_what_single_questions_give(retriever: BM25Retriever, queries: tuple[Query, ...]) -> None:
    assert retriever.retrieve(queries, k=5) == [retriever.retrieve([query], k=5)[0] for query in queries]
    assert retriever.retrieve([], k=5) == []


def test_more_hits_than_there_are_documents_may_be_asked_for(retriever: BM25Retriever) -> None:
    (ranking,) = retriever.retrieve([_query("days")], k=10**9)
    assert 0 < len(ranking.hits) < 12


def test_documents_without_a_query_term_are_no_hits(retriever: BM25Retriever) -> None:
    (ranking,) = retriever.retrieve([_query("torque")], k=12)
    assert ranking.doc_ids == ("d05",)


def test_a_filter_applies_before_the_cut(retriever: BM25Retriever) -> None:
    free, filtered = retriever.retrieve(
        [_query("days bicycle frames", qid="a"), _query("days bicycle frames", qid="b", where={"kind": "rule"})], k=2
    )
    everything = retriever.retrieve([_query("days bicycle frames")], k=12)[0]
    allowed = [hit for hit in everything.hits if hit.document.metadata["kind"] == "rule"]
    assert len(free.hits) == len(filtered.hits) == 2
    assert filtered.hits == tuple(allowed[:2])
    assert filtered.hits != free.hits


def test_filters_that_cannot_be_hashed_are_grouped(retriever: BM25Retriever) -> None:
    wheres = [{"n": [1, 2]}, None, {"n": [1, 2]}, {"kind": "rule", "n": [0, 2]}]
    queries = [_query("days euros journey", qid=f"q{i}", where=w) for i, w in enumerate(wheres)]
    rankings = retriever.retrieve(queries, k=12)
    assert [ranking.qid for ranking in rankings] == ["q0", "q1", "q2", "q3"]
    assert set(rankings[0].doc_ids) == {"d02", "d03"} == set(rankings[2].doc_ids)
    assert set(rankings[3].doc_ids) == {"d01", "d03"}
    assert len(rankings[1].hits) > 2


def test_weighted_terms_are_scored_in_place_of_the_text(retriever: BM25Retriever) -> None:
    both = retriever.retrieve([_query("laptop", terms={"laptop": 1.0, "torqu": 1.0})], k=5)[0]
    assert set(both.doc_ids) == {"d05", "d10"}
    single = {term: retriever.retrieve([_query("", terms={term: 1.0})], k=5)[0].hits for term in ("laptop", "torqu")}
    weighted = retriever.retrieve([_query("ignored", terms={"laptop": 0.3, "torqu": 1.7})], k=5)[0]
    assert {hit.doc_id: hit.score for hit in weighted.hits} == pytest.approx(
        {"d10": 0.3 * single["laptop"][0].score, "d05": 1.7 * single["torqu"][0].score}, abs=1e-6
    )


def test_a_repeated_word_counts_twice(retriever: BM25Retriever) -> None:
    once, twice = retriever.retrieve([_query("laptop", qid="a"), _query("laptop laptops", qid="b")], k=1)
    assert twice.hits[0].score == pytest.approx(2 * once.hits[0].score)


def test_ties_are_in_order_of_doc_id_also_at_the_cut(make_index: MakeIndex) -> None:
    documents = [Document(doc_id=f"t{(7 * n) % 50:02}", text="tie breaker") for n in range(50)]
    index = make_index([*documents, Document(doc_id="z", text="tie tie")])
    for k in (1, 2, 10, 51):
        (ranking,) = BM25Retriever(index=index).retrieve([_query("tie")], k=k)
        assert list(ranking.doc_ids) == ["z", *(f"t{n:02}" for n in range(50))][:k]


@pytest.mark.parametrize(
    ("text", "reason", "logged"),
    [
        ("", "the text is empty", "it has no terms"),
        ("\x00\x00", "no letter or digit", "it has no terms"),
        ("?!", "no letter or digit", "it has no terms"),
        ("to be or not to be", "all its words are stop words (be, not, or, to)", "it has no terms"),
        ("xylophone", "its terms ('xylophon'), analysed as 'en'", "its terms, analysed as 'en'"),
        ("年假有多少天", "'en'; it is written in CJK characters", "'en'; it is written in CJK characters"),
        ("сколько дней", "'en'; it is written in CYRILLIC characters", "it is written in CYRILLIC characters"),
        ("z" * 100_000, f"no document has any of its terms ('{'z' * 40}')", "no document has any of its terms"),
    ],
)
def test_a_query_that_can_have_no_hits_says_why_and_the_log_quotes_nothing(
    text: str, reason: str, logged: str, retriever: BM25Retriever, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        (ranking,) = retriever.retrieve([_query(text)], k=3)
    assert ranking.hits == ()
    assert ranking.outcome.kind == "empty"
    assert reason in ranking.outcome.detail
    assert logged in caplog.text
    for word in text.split():
        assert len(word) < 3 or word[:10] not in caplog.text
    assert len(caplog.text) < 500


def test_a_batch_warns_once(retriever: BM25Retriever, caplog: pytest.LogCaptureFixture) -> None:
    queries = [_query("the", qid="a"), _query("laptop", qid="b"), _query("?", qid="c")]
    with caplog.at_level(logging.WARNING):
        rankings = retriever.retrieve(queries, k=3)
    assert [ranking.outcome.kind for ranking in rankings] == ["empty", "ok", "empty"]
    assert len(caplog.records) == 1
    assert "2 of 3 queries" in caplog.text
    assert "qid 'a'" in caplog.text


def test_hits_that_a_filter_took_are_no_reason_to_warn(
    retriever: BM25Retriever, caplog: pytest.LogCaptureFixture
) -> None:
    taken, nothing = retriever.retrieve(
        [_query("laptop", qid="a", where={"n": 0}), _query("laptop", qid="b", where={"n": 99})], k=3
    )
    assert (taken.hits, taken.outcome.kind) == ((), "ok")
    assert (nothing.hits, nothing.outcome.kind) == ((), "empty")
    assert nothing.outcome.detail == "no document passes the filter"


def test_questions_are_analysed_as_the_index_was(make_index: MakeIndex) -> None:
    index = make_index([Document(doc_id="a", text="北京是首都"), Document(doc_id="b", text="上海很大")], language="zh")
    (ranking,) = BM25Retriever(index=index).retrieve([_query("北京在哪里")], k=5)
    assert ranking.doc_ids == ("a",)


def test_a_long_query_is_answered(retriever: BM25Retriever) -> None:
    text = "laptop " + " ".join(f"noise{n}" for n in range(11_000))
    assert len(text) > 100_000
    (ranking,) = retriever.retrieve([_query(text)], k=3)
    assert ranking.doc_ids == ("d10",)


def test_warmed_up_it_gives_the_same(retriever: BM25Retriever, queries: tuple[Query, ...]) -> None:
    before = retriever.retrieve(queries, k=4)
    retriever.warm_up()
    assert retriever.retrieve(queries, k=4) == before


def test_wrong_parameters_say_what_is_allowed(retriever: BM25Retriever) -> None:
    with pytest.raises(ValueError, match=r"retrieve\.bm25: k must be at least 1"):
        retriever.retrieve([_query("x")], k=0)
    with pytest.raises(ValueError, match="threads must be from 1 to 64, got 0"):
        BM25Retriever(index=retriever._index, threads=0)
    assert BM25Retriever.leg == "lexical"


@pytest.mark.parametrize("variant", ["lucene", "robertson", "atire", "bm25l", "bm25+", "okapi", "l", "plus"])
def test_by_every_variant_the_parts_of_a_score_sum_to_it(
    variant: Any, documents: tuple[Document, ...], tmp_path: Path
) -> None:
    lines = [json.dumps({"_id": d.doc_id, "title": d.title, "text": d.text}) for d in documents]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    settings = IndexSettings(bm25=LexicalSettings(variant=variant))
    build_index([tmp_path / "corpus.jsonl"], tmp_path / "index", settings=settings, legs=("lexical",))
    with LocalIndex.open(tmp_path / "index") as index:
        retriever, query = BM25Retriever(index=index), _query("days of leave for a frame, days and zebras")
        [ranking] = retriever.retrieve([query], k=12)
        explained = retriever.explain_hits(query, ranking.hits)
    assert ranking.hits
    for hit, parts in zip(ranking.hits, explained, strict=True):
        assert sum(part.score for part in parts) == pytest.approx(hit.score, rel=1e-5)
        twice = [part for part in parts if part.of_query == "dai" or part.of_query == "day"]
        assert all("2 x " in part.how for part in twice)
        assert not any(part.of_query.startswith("zebra") for part in parts)
    lacking = [part for parts in explained for part in parts if not part.of_document]
    assert bool(lacking) == (variant in ("bm25l", "bm25+", "plus")), "terms that a document lacks add there alone"


def test_every_word_of_a_very_long_document_and_of_five_scripts_in_one_is_found(make_index: MakeIndex) -> None:
    scripts = "ключ 钥匙 مفتاح κλειδί key"
    documents = [
        Document(doc_id="long", text="paid leave " * 32_768 + "zebra"),
        Document(doc_id="scripts", text=scripts),
    ]
    retriever = BM25Retriever(index=make_index(documents))
    found = retriever.retrieve([_query(word, qid=word) for word in ("zebra", *scripts.split())], k=2)
    assert [ranking.doc_ids for ranking in found] == [("long",), *[("scripts",)] * 5]


@pytest.mark.parametrize("collects", [True, False])
def test_nothing_is_collected_while_hits_are_made_and_after_it_as_before(
    retriever: BM25Retriever, queries: tuple[Query, ...], monkeypatch: pytest.MonkeyPatch, collects: bool
) -> None:
    many, seen = type(retriever._index.documents).many, list[bool]()

    def watched(*given: Any) -> list[Document]:
        seen.append(gc.isenabled())
        return many(*given)

    def broken(*given: Any) -> list[Document]:
        raise OSError("the disk is gone")

    try:
        gc.enable() if collects else gc.disable()
        monkeypatch.setattr(type(retriever._index.documents), "many", watched)
        retriever.retrieve(queries, k=5)
        assert seen
        assert not any(seen)
        assert gc.isenabled() == collects
        monkeypatch.setattr(type(retriever._index.documents), "many", broken)
        with pytest.raises(OSError, match="the disk is gone"):
            retriever.retrieve(queries, k=5)
        assert gc.isenabled() == collects
    finally:
        gc.enable()
