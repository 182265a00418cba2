"""A reranker behind a server: a real one of ours, the other form, and replies that are data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plugins.serve.tests.asking import create_app
from plugins.serve.tests.served import served
from rag.core.errors import MissingModel, SpecError
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.pipeline import load_pipeline
from rerankers.server import ServerReranker
from tests.other_server import OtherServer
from tests.small_index import small_index

TEXTS = ["short", "of middle length", "the longest of all of them", "x"]


def ranking(texts: list[str] = TEXTS, qid: str = "q") -> Ranking:
    hits = [
        ScoredDocument(document=Document(doc_id=str(n), text=text), score=float(-n)) for n, text in enumerate(texts)
    ]
    return Ranking(query=Query(qid=qid, text="length"), hits=tuple(hits))


class ByLength:
    """A reranker of the tests' own, served by `rag serve`."""

    def rerank(self, rankings: list[Ranking], *, k: int) -> list[Ranking]:
        from rag.ranking import ranked

        return [
            Ranking(
                query=each.query,
                hits=ranked(
                    [ScoredDocument(document=h.document, score=float(len(h.document.text))) for h in each.hits], k=k
                ),
            )
            for each in rankings
        ]


def test_a_real_server_orders_documents(
    tmp_path: Path, documents: tuple[Document, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rerankers import RERANKERS

    monkeypatch.setitem(RERANKERS._table, "by_length", ByLength)
    graph = {
        "version": 1,
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "k": 9},
            "ranked": {"use": "rerank.by_length", "in": "bm25", "k": 9},
        },
        "output": "ranked",
    }
    index = small_index(tmp_path, documents)
    with load_pipeline(graph, index=index) as pipeline, served(create_app(pipeline)) as running:
        given = ServerReranker(url=f"{running.url}/v1").rerank([ranking(), ranking(TEXTS[:2], qid="r")], k=3)
    assert [each.doc_ids for each in given] == [("2", "1", "0"), ("1", "0")]
    assert [hit.score for hit in given[0]] == [26.0, 16.0, 5.0]
    assert given[0].usage.calls == 1


def by_length(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"index": n, "score": float(len(text))} for n, text in enumerate(body["texts"])]


def test_the_other_form_is_spoken() -> None:
    fake = OtherServer(rerank=by_length)
    with fake.running() as url:
        [given] = ServerReranker(url=url, api="tei", depth=3).rerank([ranking()], k=4)
    assert given.doc_ids == ("2", "1", "0", "3"), "what is below the depth follows"
    assert fake.bodies[0][1]["texts"] == TEXTS[:3]


@pytest.mark.parametrize(
    ("reply", "order", "kind"),
    [
        ([{"index": 3, "score": 2.0}, {"index": 1, "score": 1.0}], ("3", "1", "0", "2"), "repaired"),
        ([{"index": 9, "score": 1.0}, {"index": 0, "score": "x"}, 7], ("0", "1", "2", "3"), "fallback"),
        ([{"index": True, "score": 1.0}, {"index": 2, "score": 1}], ("2", "0", "1", "3"), "repaired"),
        ({"results": 5}, ("0", "1", "2", "3"), "fallback"),
        ("text", ("0", "1", "2", "3"), "fallback"),
        ([], ("0", "1", "2", "3"), "fallback"),
    ],
)
def test_a_reply_that_is_odd_is_data(reply: Any, order: tuple[str, ...], kind: str) -> None:
    with OtherServer(rerank=lambda body: reply).running() as url:
        [given] = ServerReranker(url=url, api="tei").rerank([ranking()], k=4)
    assert (given.doc_ids, given.outcome.kind) == (order, kind)


def test_an_empty_ranking_asks_nobody() -> None:
    [given] = ServerReranker(url="http://127.0.0.1:9", retries=0).rerank([ranking([])], k=4)
    assert given.hits == ()


def test_a_server_that_is_not_there_is_said() -> None:
    with pytest.raises(MissingModel, match=r"rerank\.server: no server answers"):
        ServerReranker(url="http://127.0.0.1:9/v1", retries=0).rerank([ranking()], k=4)
    with OtherServer().running() as url, pytest.raises(SpecError, match="has no /rerank"):
        ServerReranker(url=f"{url}/v1").rerank([ranking()], k=4)


@pytest.mark.parametrize(
    "wrong", [{"url": "x"}, {"api": "jina2"}, {"timeout_s": 0}, {"retries": -1}, {"depth": 0}, {"max_in_flight": 0}]
)
def test_wrong_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"rerank\.server"):
        ServerReranker(**{"url": "http://127.0.0.1:9", **wrong})
