"""Search, reranking, embeddings, health and the form of errors."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from openai import OpenAI
from pydantic import BaseModel
from starlette.testclient import TestClient

from generators.llm.scripted import ScriptedLLM
from plugins.serve.tests.asking import DEADLINE_S, openai_client, until
from plugins.serve.tests.walled import MODEL, client, question, walled
from rag.core.errors import MissingModel
from rag.core.types import Document, Ranking
from rag.graph.spec import GraphSpec
from rag.indexing import build_index
from rag.pipeline import Pipeline, load_pipeline
from ragline_serve import ServeSettings, create_app
from ragline_serve.http.embeddings import EmbeddingsReply
from ragline_serve.http.health import Checkup, Ready
from ragline_serve.http.rerank import RerankReply
from ragline_serve.http.search import SearchReply
from ragline_serve.service.wire.forms import Error
from tests.scripted_graph import graph
from tests.small_index import small_index
from tests.tiny_models import tiny_sentence_model


@pytest.fixture
def asking(index: Path) -> Iterator[TestClient]:
    with walled(index) as asking:
        yield asking


def as_described(model: type[BaseModel], reply: dict[str, Any]) -> dict[str, Any]:
    """A reply that is exactly what the OpenAPI says of it."""
    assert model.model_validate(reply, strict=True, extra="forbid").model_dump(exclude_unset=True) == reply
    return reply


def test_a_search_gives_hits_with_positions_and_stages(asking: TestClient) -> None:
    reply = asking.post("/v1/search", json={"query": "lost laptop", "k": 2}).json()
    as_described(SearchReply, reply)
    assert [hit["rank"] for hit in reply["hits"]] == [1, 2][: len(reply["hits"])]
    assert reply["hits"][0]["doc_id"] == "texts/d10.md#1"
    assert reply["hits"][0]["position"]["source"] == "texts/d10.md"
    assert (reply["node"], reply["degraded"]) == ("ranked", False)
    assert [stage["name"] for stage in reply["stages"]] == ["bm25", "ranked"]


def test_a_search_is_filtered_and_limited(asking: TestClient) -> None:
    found = asking.post("/v1/search", json={"query": "days", "where": {"source": ["texts/d02.md"]}}).json()
    assert [hit["doc_id"] for hit in found["hits"]] == ["texts/d02.md#1"]
    refused = asking.post("/v1/search", json={"query": "days", "where": {"colour": 1}})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith("no document has metadata 'colour'. Known:")
    assert asking.post("/v1/search", json={"query": "days", "k": 101}).json()["error"]["param"] == "k"
    assert asking.post("/v1/search", json={"query": "xylophone"}).json()["hits"] == []


@pytest.mark.parametrize(
    "where",
    [
        "source = texts/d02.md",
        "source ~ 'texts/d02*' and not start < 0 or source in ()",
        {"source": {"prefix": "texts/d02."}},
    ],
)
def test_a_filter_is_an_expression_as_text_or_data(asking: TestClient, where: Any) -> None:
    found = asking.post("/v1/search", json={"query": "days", "where": where}).json()
    assert [hit["doc_id"] for hit in found["hits"]] == ["texts/d02.md#1"]


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("source =", "where: column 9: expected a value, got the end"),
        ({"source": {"$gt": ""}}, "where: source: no operator '$gt'. Did you mean 'gt'"),
        ("not colour = red", "no document has metadata 'colour'. Known:"),
        ("(" * 9 + "a = 1" + ")" * 9, "where: a filter may be nested 8 deep"),
        ({"or": [{"source": "x"}] * 33}, "where: a filter has at most 32 conditions"),
        ({"source": {"eq": {"a": 1}}}, "where: the values of a filter are text, finite numbers, true, false and null"),
        (["source"], "where.str: Input should be a valid string"),
    ],
)
def test_a_filter_that_cannot_be_understood_is_explained(asking: TestClient, where: Any, says: str) -> None:
    reply = asking.post("/v1/search", json={"query": "days", "where": where})
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith(says)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_a_number_of_a_filter_is_finite(asking: TestClient, number: str) -> None:
    body = f'{{"query": "days", "where": {{"start": {number}}}}}'
    reply = asking.post("/v1/search", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == 400


class DeadReranker:
    """Needs a model that does not answer, until it does."""

    dead = True

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        if self.dead:
            raise MissingModel("no server answers")
        return list(rankings)


def test_a_search_whose_reranker_is_down_gives_what_was_ranked_before(index: Path) -> None:
    reranker = DeadReranker()
    with load_pipeline(graph(), index=index) as pipeline, client(pipeline, down_s=0.0) as asking:
        replace_node(pipeline, "ranked", reranker.rerank)
        reply = asking.post("/v1/search", json={"query": "lost laptop"}).json()
        assert (reply["node"], reply["degraded"]) == ("bm25", True)
        assert reply["hits"][0]["doc_id"] == "texts/d10.md#1"
        chat = asking.post(
            "/v1/chat/completions", json={"model": MODEL, "messages": [{"role": "user", "content": "lost laptop"}]}
        )
        assert chat.status_code == 503
        assert chat.json()["ragline"]["sources"][0]["doc_id"] == "texts/d10.md#1"
        reranker.dead = False
        assert asking.post("/v1/search", json={"query": "lost laptop"}).json()["degraded"] is False


def test_documents_of_a_request_are_put_in_order(index: Path) -> None:
    spec = graph()
    spec["models"]["judge"] = {"use": "llm.scripted", "with": {"replies": ["[3] > [1] > [2]"]}}
    spec["nodes"]["ranked"] = {"use": "rerank.listwise", "in": "bm25", "k": 3, "with": {"llm": "judge"}}
    with load_pipeline(spec, index=index) as pipeline, client(pipeline) as asking:
        body = {"query": "paid leave", "documents": ["a train", {"text": "a wheel"}, "thirty days"], "top_n": 2}
        reply = asking.post("/v1/rerank", json=body | {"return_documents": True, "model": MODEL}).json()
        as_described(RerankReply, reply)
        assert [(one["index"], one["document"]["text"]) for one in reply["results"]] == [
            (2, "thirty days"),
            (0, "a train"),
        ]
        assert reply["results"][0]["relevance_score"] > reply["results"][1]["relevance_score"]
        assert reply["usage"]["total_tokens"] > 0
        short = asking.post("/v1/rerank", json=body | {"top_n": None}).json()
        assert [one["index"] for one in short["results"]] == [2, 0, 1]
        assert all("document" not in one for one in short["results"])
        assert asking.post("/v1/rerank", json=body | {"model": "other"}).status_code == 404


@pytest.mark.parametrize("behind", [True, False])
def test_what_folds_documents_of_the_index_puts_no_others_in_order(index: Path, behind: bool) -> None:
    spec = graph()
    spec["models"]["judge"] = {"use": "llm.scripted", "with": {"replies": ["[2] > [1]"]}}
    listwise = {"use": "rerank.listwise", "in": "bm25", "k": 3, "with": {"llm": "judge"}}
    folded = {"use": "rerank.distinct", "in": "ordered" if behind else "bm25", "k": 3}
    spec["nodes"] |= {"ordered": listwise, "ranked": folded} if behind else {"ranked": folded}
    with load_pipeline(spec, index=index) as pipeline, client(pipeline) as asking:
        reply = asking.post("/v1/rerank", json={"query": "q", "documents": ["a", "b"]})
        if behind:
            assert [one["index"] for one in reply.json()["results"]] == [1, 0]
        else:
            assert (reply.status_code, reply.json()["error"]["code"]) == (400, "no_reranker")


def test_more_documents_than_the_reranker_reads_are_refused(index: Path) -> None:
    spec = graph()
    spec["nodes"]["ranked"] = {"use": "rerank.setwise", "in": "bm25", "k": 3, "with": {"llm": "small", "depth": 4}}
    with load_pipeline(spec, index=index) as pipeline, client(pipeline) as asking:
        refused = asking.post("/v1/rerank", json={"query": "q", "documents": ["a"] * 5})
        assert (refused.status_code, refused.json()["error"]["message"]) == (
            400,
            "At most 4 documents are put in order here.",
        )


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    folder = tmp_path_factory.mktemp("dense")
    model = tiny_sentence_model(folder / "encoder")
    (folder / "texts").mkdir()
    (folder / "texts" / "a.md").write_text("# Leave\n\nThirty days.\n")
    spec = GraphSpec.model_validate(
        {
            "version": 1,
            "index": {"dense": {"encoder": str(model)}},
            "nodes": {"dense": {"use": "retrieve.dense", "k": 3}},
            "output": "dense",
        }
    )
    build_index([folder / "texts"], folder / "idx", settings=spec.index, legs=("dense",))
    with load_pipeline(spec, index=folder / "idx") as pipeline:
        yield pipeline


def test_texts_are_encoded_as_the_index_does_it(dense: Pipeline) -> None:
    texts = ["thirty days", "a lost key"]
    assert dense.index is not None
    wanted = dense.index.leg("dense").encoder.encode(texts, role="document")
    with openai_client(dense) as official:
        made = official.embeddings.create(model=MODEL, input=texts)  # the client asks for base64 and decodes it
        np.testing.assert_array_equal(np.array([one.embedding for one in made.data], dtype=np.float32), wanted)
        plain = official.embeddings.create(model=MODEL, input=texts[1], encoding_format="float")
        np.testing.assert_array_equal(np.array(plain.data[0].embedding, dtype=np.float32), wanted[1])
        raw = official.post(
            "/embeddings", body={"model": MODEL, "input": texts, "encoding_format": "base64"}, cast_to=dict[str, Any]
        )
    as_described(EmbeddingsReply, raw)
    first = np.frombuffer(base64.b64decode(raw["data"][0]["embedding"]), dtype="<f4")
    np.testing.assert_array_equal(first, wanted[0])
    assert raw["usage"]["prompt_tokens"] > 0


def test_without_a_reranker_or_an_encoder_they_are_refused(index: Path, dense: Pipeline) -> None:
    with client(dense) as asking:
        refused = asking.post("/v1/rerank", json={"query": "q", "documents": ["a"]})
        assert refused.json()["error"]["code"] == "no_reranker"
    with walled(index) as asking:
        refused = asking.post("/v1/embeddings", json={"model": MODEL, "input": "a"})
        assert refused.json()["error"]["code"] == "no_encoder"


def test_a_text_that_is_too_long_to_encode_or_rerank_is_refused_with_numbers(dense: Pipeline, index: Path) -> None:
    texts = ["short", "x" * 101]
    with client(dense, text_characters=100) as asking:
        refused = asking.post("/v1/embeddings", json={"model": MODEL, "input": texts})
        assert refused.status_code == 400
        told = refused.json()["error"]
        assert told["message"] == "A text may have 100 characters here; number 2 has 101."
        assert (told["param"], told["code"]) == ("input", "context_length_exceeded")
        assert asking.post("/v1/embeddings", json={"model": MODEL, "input": ["x" * 100]}).status_code == 200
    with walled(index, text_characters=100) as asking:
        refused = asking.post("/v1/rerank", json={"query": "q", "documents": ["short", {"text": texts[1]}]})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "documents")


def test_tokens_of_texts_are_counted_one_text_at_a_time(dense: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dense.index is not None
    encoder, sizes = dense.index.leg("dense").encoder, []
    spans = encoder.spans

    def watched(texts: Sequence[str]) -> Any:
        sizes.append(len(texts))
        return spans(texts)

    texts = ["thirty days", "a lost key", "leave"]
    wanted = sum(len(one) for one in spans(texts))
    monkeypatch.setattr(encoder, "spans", watched)
    with client(dense) as asking:
        made = asking.post("/v1/embeddings", json={"model": MODEL, "input": texts}).json()
    assert made["usage"]["prompt_tokens"] == wanted
    assert sizes == [1, 1, 1]


def loading(asking: TestClient) -> bool:
    """Whether the server still loads what it serves."""
    service = asking.app.state.services.first  # type: ignore[attr-defined]
    return bool(service.loading)


class DeadServer(ScriptedLLM):
    def state(self) -> str:
        raise MissingModel("llm.server: no server answers at http://secret.internal:8000/v1")


def test_ready_says_what_is_degraded_and_health_does_not_mind(index: Path) -> None:
    with load_pipeline(graph(), index=index) as pipeline:
        with client(pipeline) as asking:
            until(lambda: not loading(asking))
            assert as_described(Ready, asking.get("/ready").json()) == {"status": "ready", "degraded": []}
        model = DeadServer(replies=("x",))
        pipeline.graph.parts["answer"].llm = model
        pipeline.graph.models["small"] = model  # type: ignore[index]
        with client(pipeline) as asking:
            until(lambda: not loading(asking))
            reply = as_described(Ready, asking.get("/ready").json())
            assert reply["status"] == "degraded"
            assert [part["part"] for part in reply["degraded"]] == ["model small"]
            assert "answer" in reply["degraded"][0]["means"]
            assert "secret" not in str(reply)
            assert asking.get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize("stream", [False, True])
def test_what_did_not_load_at_the_start_is_told_until_an_answer_shows_that_it_has(
    index: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    def fails() -> None:
        raise MissingModel("the disk was not there yet")

    with load_pipeline(graph(), index=index) as pipeline:
        monkeypatch.setattr(pipeline, "warm_up", fails)
        with client(pipeline) as asking:
            told = asking.get("/ready").json()
            assert (told["status"], told["degraded"][0]["part"]) == ("degraded", "loading")
            asking.post("/v1/search", json={"query": "leave"})  # this graph does more than search
            assert asking.get("/ready").json()["status"] == "degraded"
            assert asking.post("/v1/chat/completions", json=question(stream=stream)).status_code == 200
            assert asking.get("/ready").json() == {"status": "ready", "degraded": []}


def test_of_a_graph_that_ranks_alone_a_search_shows_it(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise MissingModel("the disk was not there yet")

    with load_pipeline("bm25", index=index) as pipeline:
        monkeypatch.setattr(pipeline, "warm_up", fails)
        with client(pipeline) as asking:
            assert asking.get("/ready").json()["status"] == "degraded"
            asking.post("/v1/search", json={"query": "leave"})
            assert asking.get("/ready").json()["status"] == "ready"


def test_a_model_that_says_nothing_is_not_waited_for(index: Path) -> None:
    model, go = ScriptedLLM(replies=("x",)), threading.Event()
    model.state = lambda: go.wait(DEADLINE_S)  # type: ignore[attr-defined]
    with load_pipeline(graph(), index=index) as pipeline:
        pipeline.graph.models["small"] = model  # type: ignore[index]

        async def look() -> list[Any]:
            checkup = Checkup(patience_s=0.01)
            seen = [await checkup.degraded(pipeline.graph) for _ in range(2)]  # the second asks nobody again
            go.set()
            return seen

        silent = {"part": "models", "means": "a model does not say how it is"}
        assert asyncio.run(look()) == [[silent], [silent]]


def test_errors_have_one_form_wherever_they_come_from(asking: TestClient) -> None:
    for status, reply in {
        404: asking.get("/nothing/here"),
        405: asking.get("/v1/search"),
        400: asking.post("/v1/search", content=b"{", headers={"Content-Type": "application/json"}),
    }.items():
        assert reply.status_code == status
        as_described(Error, reply.json())
    assert asking.get("/v1/search").headers["Allow"] == "POST"
    lone = b'{"query": "\\ud800 lone", "secret": "hunter2"}'
    invalid = asking.post("/v1/search", content=lone, headers={"Content-Type": "application/json"})
    assert invalid.status_code == 400
    assert "hunter2" not in invalid.text


def test_text_that_no_encoding_takes_does_not_break_a_reply(tmp_path: Path) -> None:
    odd = Document(doc_id="odd", title="Odd", text="A lone \ud83d surrogate about wheels.")
    with walled(small_index(tmp_path, (Document(doc_id="d", text="About wheels."),))) as asking:
        service = asking.app.state.services.first  # type: ignore[attr-defined]
        hits = service.pipeline.search("wheels").hits

        def odd_search(queries: Any, *, k: int) -> list[Ranking]:
            return [Ranking(query=query, hits=(replace(hits[0], document=odd),)) for query in queries]

        replace_node(service.pipeline, "bm25", odd_search)
        reply = asking.post("/v1/search", json={"query": "wheels"})
        assert reply.status_code == 200
        assert "\\ud83d" in reply.text


def test_it_can_be_mounted_in_another_application(index: Path) -> None:
    with load_pipeline(graph(), index=index) as pipeline:
        outer = FastAPI()
        outer.mount("/rag", create_app(pipeline, ServeSettings(model=MODEL)))
        with TestClient(outer) as asking:
            assert asking.get("/rag/ready").json()["status"] == "ready"
            official = OpenAI(base_url="http://testserver/rag/v1", api_key="none", http_client=asking, max_retries=0)
            messages: Any = [{"role": "user", "content": "lost laptop"}]
            assert official.chat.completions.create(model=MODEL, messages=messages).choices[0].message.content


def replace_node(pipeline: Pipeline, name: str, work: Any) -> None:
    """Let a function do the work of a node."""
    nodes = tuple(replace(node, work=work) if node.name == name else node for node in pipeline.graph.nodes)
    pipeline.graph = replace(pipeline.graph, nodes=nodes)
