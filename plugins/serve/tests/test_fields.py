"""What the documents can be filtered by is told over HTTP, of what whoever asks may read, and bounded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from plugins.serve.tests.walled import walled
from rag.indexing import build_index
from ragline_serve.http.fields import MOST_FIELDS, MOST_VALUES, FieldsReply
from retrievers.index.settings import IndexSettings
from tests.scripted_graph import graph

ANN = {"X-Asker": json.dumps({"user": "ann", "tenant": "north"})}
BOB = {"X-Asker": json.dumps({"user": "bob", "tenant": "north"})}
PUBLIC, OF_ANN = {"public": True}, {"tenant": "north", "users": ["ann"]}
DOCUMENTS: list[dict[str, Any]] = [
    {"_id": f"{number}", "text": f"Letter {number}.", "year": 2000 + number % 3, "acl": PUBLIC, "tags": ["post", "old"]}
    for number in range(60)
] + [
    {"_id": "own", "text": "A letter.", "year": 1990, "diary": "mine", "acl": OF_ANN},
    {"_id": "nobody", "text": "A letter.", "lost": "all", "acl": "?"},
]


def built(folder: Path, documents: Sequence[dict[str, Any]]) -> Path:
    (folder / "c.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    settings = IndexSettings.model_validate({"reading": {"access": "acl"}})
    build_index(folder / "c.jsonl", folder / "i", legs=("lexical",), settings=settings)
    return folder / "i"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with walled(built(tmp_path_factory.mktemp("fields"), DOCUMENTS), asker_header="X-Asker") as asking:
        yield asking


def fields(client: TestClient, where: Any = None, **headers: Any) -> dict[str, Any]:
    reply = client.post("/v1/fields", json={} if where is None else {"where": where}, **headers)
    assert reply.status_code == 200, reply.text
    made: dict[str, Any] = reply.json()
    FieldsReply.model_validate(made, strict=True)
    return made


def by_name(reply: dict[str, Any]) -> dict[str, Any]:
    return {field["name"]: field for field in reply["fields"]}


def test_fields_have_kinds_and_values_and_ids_are_none(client: TestClient) -> None:
    reply = fields(client)
    assert (reply["passages"], reply["passing"], reply["looked_at"]) == (60, 60, 60)
    assert by_name(reply) == {
        "source": {"name": "source", "kind": "text", "values": ["c.jsonl"], "more": False},
        "tags": {"name": "tags", "kind": "text", "values": ["old", "post"], "more": False},
        "year": {"name": "year", "kind": "number", "values": [2000, 2001, 2002], "more": False},
    }


def test_everybody_sees_fields_and_values_of_what_they_may_read(client: TestClient) -> None:
    for _ in range(2):  # the second time from what was kept for each
        assert by_name(fields(client, headers=ANN))["diary"]["values"] == ["mine"]
        assert by_name(fields(client, headers=ANN))["year"]["values"][-1] == 1990
        for headers in (BOB, {}):
            said = json.dumps(fields(client, headers=headers))
            assert "diary" not in said
            assert "1990" not in said
        assert "lost" not in json.dumps(fields(client, headers=ANN))


@pytest.mark.parametrize(
    ("where", "passing"),
    [
        ({"year": 2000}, 20),
        ({"year": [2000, 2001]}, 40),
        ("year > 2001", 20),
        ({"tags": "new"}, 0),
        ({"year": 1990}, 0),
    ],
)
def test_it_is_told_how_many_pass_a_filter(client: TestClient, where: Any, passing: int) -> None:
    assert fields(client, where)["passing"] == passing


def test_of_a_hidden_document_nothing_passes_and_its_fields_are_unknown(client: TestClient) -> None:
    assert fields(client, {"year": 1990}, headers=ANN)["passing"] == 1
    said = [
        client.post("/v1/fields", json={"where": {name: "x"}}, headers=BOB).json()["error"]["message"]
        for name in ("diary", "lost", "nothing")
    ]
    assert [message.replace("diary", "nothing").replace("lost", "nothing") for message in said] == [said[2]] * 3


@pytest.mark.parametrize("where", [{"nothing": 1}, "year >", {"year": {"like": 1}}, 7])
def test_a_filter_that_cannot_be_applied_is_refused(client: TestClient, where: Any) -> None:
    assert client.post("/v1/fields", json={"where": where}).status_code == 400


def test_fields_and_values_are_bounded_and_those_that_are_too_long_are_left_out(tmp_path: Path) -> None:
    many = {f"field{number:03}": number % 2 for number in range(MOST_FIELDS + 10)}
    strange = {"a\u202eb": "x", "n" * 201: "x", "long": "v" * 101, "<b>": "<script>"}
    documents = [
        {"_id": str(number), "text": "x y", "acl": PUBLIC, "day": number, **many, **strange} for number in range(200)
    ]
    with walled(built(tmp_path, documents)) as client:
        reply = fields(client)
    assert len(reply["fields"]) == MOST_FIELDS
    found = by_name(reply)
    assert found["<b>"]["values"] == ["<script>"], "a page shows it as text"
    assert (len(found["day"]["values"]), found["day"]["more"]) == (MOST_VALUES, True)
    assert not {"a\u202eb", "n" * 201} & found.keys()


def test_of_a_large_index_some_passages_from_all_over_it_are_looked_at(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragline_serve.http.fields._LOOKED_AT", 30)
    documents = [{"_id": str(n), "text": "x y", "acl": PUBLIC, "half": n // 50} for n in range(100)]
    with walled(built(tmp_path, documents)) as client:
        reply = fields(client)
    assert (reply["looked_at"], reply["passages"]) == (25, 100)
    assert by_name(reply)["half"]["values"] == [0, 1]


def test_where_there_is_no_index_there_are_no_fields() -> None:
    from plugins.serve.tests.walled import client as served_by
    from rag.pipeline import load_pipeline

    made = graph()
    made["nodes"] = {"answer": {"use": "generate.closed_book", "in": "query", "with": {"llm": "small"}}}
    with load_pipeline(made) as pipeline, served_by(pipeline) as client:
        assert fields(client) == {"fields": [], "looked_at": 0, "passages": 0, "passing": 0}


def counted(client: TestClient, fields: Sequence[str], **headers: Any) -> Any:
    return client.post("/v1/search", json={"query": "letter", "facets": fields}, **headers)


def test_a_search_counts_by_fields_what_whoever_asks_may_read(client: TestClient) -> None:
    assert "facets" not in client.post("/v1/search", json={"query": "letter"}).json()
    years = counted(client, ["year"]).json()["facets"]["year"]
    assert {each["value"]: each["documents"] for each in years["values"]} == {2000: 20, 2001: 20, 2002: 20}
    own = counted(client, ["year"], headers=ANN).json()["facets"]["year"]
    assert {each["value"]: each["documents"] for each in own["values"]} == {2000: 20, 2001: 20, 2002: 20, 1990: 1}


def test_fields_that_nobody_has_and_that_only_others_have_are_refused_alike(client: TestClient) -> None:
    replies = [counted(client, [name], headers=BOB) for name in ("diary", "none")]
    assert {reply.status_code for reply in replies} == {400}
    assert len({reply.text.replace("diary", "none") for reply in replies}) == 1
    assert replies[0].json()["error"]["param"] == "facets"
    assert counted(client, ["diary"], headers=ANN).status_code == 200


@pytest.mark.parametrize("fields", [["a"] * 11, [""], ["a" * 201], "year", [1]])
def test_what_is_no_list_of_fields_is_refused(client: TestClient, fields: Any) -> None:
    assert counted(client, fields).status_code == 400
