"""A document is read over HTTP as the index holds it, by those who may read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from plugins.serve.tests.walled import walled
from rag.indexing import build_index
from ragline_serve.http.reading import AROUND, DocumentReply
from retrievers.index.settings import IndexSettings

N_SENTENCES = 1_500
ANN = {"X-Asker": json.dumps({"user": "ann", "tenant": "north"})}
BOB = {"X-Asker": json.dumps({"user": "bob", "tenant": "north"})}


def sentences(n: int) -> str:
    return " ".join(f"Sentence {number} says that a bell 🔔 rings." for number in range(n))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reading")
    documents = [
        {"_id": "long", "title": "Bells", "text": sentences(N_SENTENCES), "acl": {"public": True}},
        {
            "_id": "after",
            "title": "Wheels",
            "text": "A wheel turns.",
            "url": "https://example.org/w",
            "acl": {"public": True},
        },
        {"_id": "anns", "title": "Diary", "text": "A secret wheel.", "acl": {"tenant": "north", "users": ["ann"]}},
        {"_id": "bad", "text": "A bad address.", "url": "javascript:alert(1)", "acl": {"public": True}},
    ]
    (folder / "c.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    settings = {"reading": {"access": "acl"}, "chunking": {"tokens": 60, "overlap": 20, "corpora": True}}
    build_index(folder / "c.jsonl", folder / "i", legs=("lexical",), settings=IndexSettings.model_validate(settings))
    return folder / "i"


@pytest.fixture(scope="module")
def client(index: Path) -> Iterator[TestClient]:
    with walled(index, asker_header="X-Asker") as asking:
        yield asking


def read(client: TestClient, passage: str, **headers: Any) -> dict[str, Any]:
    reply = client.get("/v1/documents", params={"id": passage}, **headers)
    assert reply.status_code == 200, reply.text
    made: dict[str, Any] = reply.json()
    DocumentReply.model_validate(made, strict=True)
    return made


def test_the_passages_around_one_are_the_text_of_the_document(client: TestClient) -> None:
    made = read(client, "long#3")
    ids = [one["doc_id"] for one in made["passages"]]
    assert ids == [f"long#{number}" for number in range(1, len(ids) + 1)]
    assert (made["asked"], len(ids), made["title"], made["url"]) == (2, 3 + AROUND, "Bells", None)
    assert any(one["repeats"] for one in made["passages"])
    text = "".join(one["text"][one["repeats"] :] for one in made["passages"])
    assert "".join(text.split()) == "".join(sentences(N_SENTENCES).split())[: len("".join(text.split()))]


def test_a_passage_far_inside_comes_with_those_on_both_sides(client: TestClient) -> None:
    made = read(client, "long#100")
    assert [made["passages"][at]["doc_id"] for at in (0, made["asked"], -1)] == [
        f"long#{number}" for number in (100 - AROUND, 100, 100 + AROUND)
    ]
    assert made["passages"][0]["repeats"] == 0, "what stands before is not shown"


def test_another_document_is_no_part_of_it(client: TestClient) -> None:
    made = read(client, "after#1")
    assert [one["text"] for one in made["passages"]] == ["A wheel turns."]
    assert made["url"] == "https://example.org/w"
    assert read(client, "bad#1")["url"] is None


def test_texts_that_are_too_long_together_leave_the_furthest_out(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragline_serve.http.reading._MOST_CHARACTERS", 1_000)
    made = read(client, "long#100")
    shown = [int(one["doc_id"].rpartition("#")[2]) for one in made["passages"]]
    assert shown == list(range(shown[0], shown[-1] + 1))
    assert 1 < len(shown) < 10
    assert shown[made["asked"]] == 100
    monkeypatch.setattr("ragline_serve.http.reading._MOST_CHARACTERS", 1)
    assert len(read(client, "long#100")["passages"]) == 1


def test_only_those_who_may_read_it_do_and_for_others_it_is_not_there(client: TestClient) -> None:
    assert read(client, "anns#1", headers=ANN)["passages"][0]["text"] == "A secret wheel."
    refusals = [
        client.get("/v1/documents", params={"id": passage}, headers=headers)
        for passage in ("anns#1", "nobody#1")
        for headers in (BOB, {})
    ]
    assert {(reply.status_code, reply.text) for reply in refusals} == {(404, refusals[0].text)}
    assert refusals[0].json()["error"]["code"] == "unknown_passage"


@pytest.mark.parametrize("passage", ["x", "../../etc/passwd", "%00", "\x00", "🔔", "#", "long"])
def test_any_other_id_is_unknown(client: TestClient, passage: str) -> None:
    assert client.get("/v1/documents", params={"id": passage}).status_code == 404


@pytest.mark.parametrize("query", ["", "?id=", f"?id={'a' * 2_001}"])
def test_a_request_without_an_id_is_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/v1/documents{query}").status_code == 400


def test_a_model_that_is_not_there_is_said_so(client: TestClient) -> None:
    assert client.get("/v1/documents", params={"id": "x", "model": "y"}).json()["error"]["code"] == "model_not_found"


def test_a_key_is_needed_where_there_are_keys(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLINE_KEYS", "a-key-of-at-least-thirty-two-characters-0123")
    with walled(index) as asking:
        assert asking.get("/v1/documents", params={"_id": "after#1"}).status_code == 401


@pytest.mark.parametrize("host", ["[", "a b", "", "x:y", "[::1]:80"])
def test_whatever_name_a_client_calls_the_server_by_a_chat_is_answered(index: Path, host: str) -> None:
    with walled(index) as asking:
        body = {"model": "ragline", "messages": [{"role": "user", "content": "wheel?"}]}
        assert asking.post("/v1/chat/completions", json=body, headers={"Host": host}).status_code == 200
