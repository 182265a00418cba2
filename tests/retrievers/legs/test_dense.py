"""DenseRetriever over a real index, encoded by a random model."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from rag.core.types import Document, Query, QueryPart, Ranking
from rag.indexing import build_index
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.dense.settings import DenseSettings


@pytest.fixture(scope="module")
def encoder(mean_bert: Path) -> SentenceEncoder:
    return SentenceEncoder(model=str(mean_bert), compute="float32")


@pytest.fixture(scope="module")
def index(mean_bert: Path, documents: tuple[Document, ...], tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    place = tmp_path_factory.mktemp("dense")
    (place / "corpus").mkdir()
    with (place / "corpus" / "corpus.jsonl").open("w", encoding="utf-8") as stream:
        for i, document in enumerate(documents):
            record = {"_id": document.doc_id, "title": document.title, "text": document.text}
            stream.write(json.dumps({**record, "kind": "rule" if i % 2 else "product", "n": i}) + "\n")
    settings = IndexSettings(dense=DenseSettings(encoder=str(mean_bert), compute="float32"))
    build_index([place / "corpus"], place / "index", settings=settings, legs=("dense",))
    return LocalIndex.open(place / "index")


@pytest.fixture(scope="module")
def retriever(index: LocalIndex) -> DenseRetriever:
    return DenseRetriever(index=index)


def by_hand(documents: tuple[Document, ...], encoder: SentenceEncoder, vector: np.ndarray) -> dict[str, float]:
    scores = encoder.encode([d.full_text for d in documents], role="document") @ vector
    return dict(zip((d.doc_id for d in documents), scores.tolist(), strict=True))


def assert_same(ranking: Ranking, expected: dict[str, float], *, k: int) -> None:
    best = sorted(expected, key=lambda doc_id: (-expected[doc_id], doc_id))[:k]
    assert list(ranking.doc_ids) == best
    assert [hit.score for hit in ranking.hits] == pytest.approx([expected[d] for d in best], abs=1e-5)


def test_hits_are_the_documents_with_the_greatest_inner_product(
    retriever: DenseRetriever,
    encoder: SentenceEncoder,
    documents: tuple[Document, ...],
    queries: tuple[Query, ...],
) -> None:
    rankings = retriever.retrieve(queries, k=4)
    assert [ranking.query for ranking in rankings] == list(queries)
    for query, ranking in zip(queries, rankings, strict=True):
        (vector,) = encoder.encode([query.text], role="query")
        assert_same(ranking, by_hand(documents, encoder, vector), k=4)
        assert (ranking.outcome.kind, ranking.source, ranking.usage.calls) == ("ok", "dense", 1)


def test_parts_are_averaged_by_weight_and_not_normalised_again(
    retriever: DenseRetriever, encoder: SentenceEncoder, documents: tuple[Document, ...]
) -> None:
    parts = (
        QueryPart(text="paid leave"),
        QueryPart(text="thirty days of paid leave a year", weight=3.0, role="document"),
        QueryPart(text="the frame", weight=-1.0),
    )
    (ranking,) = retriever.retrieve([Query(qid="q", text="not this", parts=parts)], k=12)
    one, two, three = (encoder.encode([part.text], role=part.role)[0] for part in parts)
    mean = (one + 3 * two - three) / 5
    assert np.linalg.norm(mean) < 0.99
    assert_same(ranking, by_hand(documents, encoder, mean), k=12)
    assert ranking.usage.calls == 3


def test_one_part_of_any_weight_is_the_query_of_its_text(retriever: DenseRetriever) -> None:
    whole = Query(qid="q", text="lost laptop")
    part = Query(qid="q", text="x", parts=(QueryPart(text="lost laptop", weight=0.2),))
    one, other = retriever.retrieve([whole, part], k=5)
    assert one.doc_ids == other.doc_ids
    assert [h.score for h in one.hits] == pytest.approx([h.score for h in other.hits], abs=1e-5)


def test_filters_are_applied_before_ranking(retriever: DenseRetriever, documents: tuple[Document, ...]) -> None:
    wheres = [{"kind": "rule"}, None, {"n": (2, 3, 5)}, {"kind": "rule"}, {"kind": "none"}]
    batch = [Query(qid=f"q{i}", text="warranty of a frame", where=where) for i, where in enumerate(wheres)]
    rankings = retriever.retrieve(batch, k=6)
    assert sorted(rankings[0].doc_ids) == [d.doc_id for d in documents[1::2]]
    assert len(rankings[1].hits) == 6
    assert sorted(rankings[2].doc_ids) == ["d03", "d04", "d06"]
    assert rankings[3].hits == rankings[0].hits
    assert rankings[4].hits == ()


@pytest.mark.parametrize(
    "query",
    [
        Query(qid="q", text=" \n"),
        Query(qid="q", text="x", parts=(QueryPart(text=""),)),
        Query(qid="q", text="x", parts=(QueryPart(text="the day", weight=0.0),)),
    ],
    ids=["blank", "blank part", "no weight"],
)
def test_a_query_with_nothing_to_encode_gets_no_hits_and_one_warning(
    retriever: DenseRetriever, query: Query, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        empty, full, _ = retriever.retrieve([query, Query(qid="r", text="lost laptop"), query], k=2)
    assert (empty.hits, empty.outcome.kind) == ((), "empty")
    assert len(full.hits) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "retrieve.dense: 2 of 3 queries have no text to encode"
    ]


def test_no_queries_give_no_rankings(retriever: DenseRetriever) -> None:
    assert retriever.retrieve([], k=3) == []


def test_a_query_of_100000_characters_is_answered(retriever: DenseRetriever) -> None:
    (ranking,) = retriever.retrieve([Query(qid="q", text="\0leave " * 14_286)], k=3)
    assert len(ranking.hits) == 3


def test_k_is_at_least_one(retriever: DenseRetriever) -> None:
    with pytest.raises(ValueError, match=r"retrieve\.dense: k must be at least 1, got 0"):
        retriever.retrieve([Query(qid="q", text="a")], k=0)


def test_a_batch_gives_what_single_queries_give(retriever: DenseRetriever, queries: tuple[Query, ...]) -> None:
    together = retriever.retrieve(queries, k=5)
    for query, ranking in zip(queries, together, strict=True):
        (alone,) = retriever.retrieve([query], k=5)
        assert alone.doc_ids == ranking.doc_ids
        assert [h.score for h in alone.hits] == pytest.approx([h.score for h in ranking.hits], abs=1e-5)
