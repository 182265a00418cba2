"""Documents come, change and go over HTTP, by a key that may, and the next searches find what came of it."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from plugins.serve.tests.walled import walled
from rag.core.access import Asker, read_asker
from rag.core.errors import SpecError
from rag.indexing import build_index
from ragline_serve.service.keys import add_key, load_keys
from retrievers.index.directory import LocalIndex
from retrievers.index.generations import building
from retrievers.index.settings import IndexSettings
from tests.small_index import small_index

ZEBRA = {"id": "zebra", "text": "The zebrafish lives in the tank by the door.", "year": 2020}


class Dropped(Exception):
    """Ends the other writer without a new generation."""


def by(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def found(client: TestClient, key: str, query: str = "zebrafish") -> list[str]:
    reply = client.post("/v1/search", json={"query": query}, headers=by(key))
    assert reply.status_code == 200, reply.text
    return [hit["doc_id"] for hit in reply.json()["hits"]]


def until_found(client: TestClient, key: str, ids: list[str]) -> None:
    end = time.monotonic() + 60
    while found(client, key) != ids and time.monotonic() < end:
        time.sleep(0.05)
    assert found(client, key) == ids


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    return {name: add_key(tmp_path / "keys", name, writes=name == "writer") for name in ("writer", "reader")}


def test_documents_come_change_and_go(tmp_path: Path, documents: Any, keys: dict[str, str]) -> None:
    index = small_index(tmp_path, documents)
    with walled(index, keys_file=tmp_path / "keys", follow_s=0.05) as client:
        reply = client.post("/v1/documents", json={"documents": [ZEBRA]}, headers=by(keys["writer"]))
        assert reply.status_code == 200, reply.text
        assert (reply.json()["documents"], reply.json()["parts"]) == (13, 2)
        until_found(client, keys["reader"], ["zebra"])
        body = {"documents": [{**ZEBRA, "text": "The tank is empty."}], "update": True}
        assert client.post("/v1/documents", json=body, headers=by(keys["writer"])).status_code == 200
        until_found(client, keys["reader"], [])
        reply = client.post("/v1/documents/remove", json={"where": "year = 2020"}, headers=by(keys["writer"]))
        assert reply.json()["documents"] == 12


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/v1/documents", {"documents": [{"id": "a", "text": ""}]}, 400, "nothing to index"),
        ("/v1/documents", {"documents": [{"id": "nobody", "text": "x"}], "update": True}, 400, "nobody"),
        ("/v1/documents", {"documents": []}, 400, "documents"),
        ("/v1/documents/remove", {"ids": ["nobody"]}, 400, "no document 'nobody'"),
        ("/v1/documents/remove", {}, 400, "either ids or where"),
        ("/v1/documents/remove", {"where": "no_such_key = 1"}, 400, "no_such_key"),
    ],
)
def test_what_cannot_be_is_refused_without_the_place_of_the_index(
    tmp_path: Path, documents: Any, keys: dict[str, str], path: str, body: dict[str, Any], status: int, says: str
) -> None:
    with walled(small_index(tmp_path, documents), keys_file=tmp_path / "keys") as client:
        reply = client.post(path, json=body, headers=by(keys["writer"]))
        assert reply.status_code == status, reply.text
        assert says in reply.json()["error"]["message"]
        assert str(tmp_path) not in reply.text


def test_only_a_key_that_may_changes_documents(tmp_path: Path, documents: Any, keys: dict[str, str]) -> None:
    index = small_index(tmp_path, documents)
    with walled(index, keys_file=tmp_path / "keys") as client:
        for path, body in (("/v1/documents", {"documents": [ZEBRA]}), ("/v1/documents/remove", {"ids": ["d01.md"]})):
            assert client.post(path, json=body, headers=by(keys["reader"])).status_code == 403
            assert client.post(path, json=body).status_code == 401
    with walled(index) as client:
        assert client.post("/v1/documents", json={"documents": [ZEBRA]}).status_code == 403, (
            "nor where there are no keys"
        )


def test_two_writers(tmp_path: Path, documents: Any, keys: dict[str, str]) -> None:
    index = small_index(tmp_path, documents)
    with walled(index, keys_file=tmp_path / "keys") as client:
        with suppress(Dropped), building(index):
            reply = client.post("/v1/documents", json={"documents": [ZEBRA]}, headers=by(keys["writer"]))
            raise Dropped
        assert reply.status_code == 409
        assert reply.json()["error"]["code"] == "index_busy"
        assert client.post("/v1/documents", json={"documents": [ZEBRA]}, headers=by(keys["writer"])).status_code == 200


def test_the_right_is_in_the_file_of_keys(tmp_path: Path) -> None:
    ann = Asker(user="ann", tenant="north")
    file = tmp_path / "keys"
    made = {
        name: add_key(file, name, asker, writes=writes)
        for name, asker, writes in (("a", None, False), ("b", None, True), ("c", ann, False), ("d", ann, True))
    }
    known = load_keys(file, environment={})
    read = {name: known.known(key.encode()) for name, key in made.items()}
    assert {name: (key.writes, key.asker) for name, key in read.items() if key} == {
        "a": (False, None),
        "b": (True, None),
        "c": (False, ann),
        "d": (True, ann),
    }
    file.write_text(file.read_text().replace(" write", " wrote"))
    with pytest.raises(SpecError, match="not a name, a salt and a hash"):
        load_keys(file, environment={})


# --- a key that is for somebody ---

ANN: dict[str, Any] = {"user": "ann", "tenant": "north", "groups": ["finance"]}
SECRET = "zanzibarquux"
"""In id, text and keys of what ann may not read."""


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    of_bob = {"tenant": "north", "owner": "bob"}
    records: list[dict[str, Any]] = [
        {"_id": SECRET, "text": f"The {SECRET} is locked.", f"{SECRET}_key": 1, "year": 2020, "acl": of_bob},
        {"_id": "open", "text": "The zebrafish is public.", "year": 2020, "acl": {"public": True}},
        {"_id": "ours", "text": "The tank is ours.", "year": 2021, "acl": {"tenant": "north", "groups": ["finance"]}},
    ]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    settings = IndexSettings.model_validate({"reading": {"access": "acl"}})
    build_index(tmp_path / "corpus.jsonl", tmp_path / "idx", legs=("lexical",), settings=settings)
    return tmp_path / "idx"


def secret_of(place: Path) -> tuple[Any, ...]:
    """All that is kept of what ann may not read."""
    with LocalIndex.open(place) as index:
        [row] = index.documents.rows_of(SECRET)
        document = index.documents[row]
        assert index.access is not None
        return document.text, document.metadata, index.access.labels[index.access.codes[row]]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/documents", {"documents": [{"id": SECRET, "text": "x"}]}),
        ("/v1/documents", {"documents": [{"id": SECRET, "text": "x"}], "update": True}),
        ("/v1/documents", {"documents": [{"id": SECRET, "text": "x", "acl": {"public": True}}], "update": True}),
        ("/v1/documents/remove", {"ids": [SECRET]}),
        ("/v1/documents/remove", {"ids": ["open", SECRET]}),
        ("/v1/documents/remove", {"where": f"{SECRET}_key = 1"}),
        ("/v1/documents/remove", {"where": {f"{SECRET}_key": {"gte": 0}}}),
    ],
)
def test_what_a_writer_may_not_read_is_what_is_not_there(
    tmp_path: Path, labelled: Path, path: str, body: dict[str, Any]
) -> None:
    key, before = add_key(tmp_path / "keys", "ann", read_asker(ANN), writes=True), secret_of(labelled)
    with walled(labelled, keys_file=tmp_path / "keys") as client:
        absent = json.loads(json.dumps(body).replace(SECRET, "nowhere"))
        replies = [client.post(path, json=each, headers=by(key)) for each in (body, absent)]
    assert [reply.status_code for reply in replies] == [400, 400]
    assert replies[0].text.replace(SECRET, "nowhere") == replies[1].text
    assert secret_of(labelled) == before


def test_a_writer_is_told_of_what_they_may_read_and_finds_what_they_added(tmp_path: Path, labelled: Path) -> None:
    key = add_key(tmp_path / "keys", "ann", read_asker(ANN), writes=True)
    stranger = add_key(tmp_path / "keys", "dan", Asker(user="dan", tenant="north"))
    before = secret_of(labelled)
    with walled(labelled, keys_file=tmp_path / "keys", follow_s=0.05) as client:
        unknown = client.post("/v1/documents/remove", json={"where": "nothing = 1"}, headers=by(key))
        assert SECRET not in unknown.text
        added = client.post("/v1/documents", json={"documents": [{"text": "A zebrafish of mine."}]}, headers=by(key))
        assert added.status_code == 200, added.text
        [mine] = added.json()["ids"]
        assert {name: added.json()[name] for name in ("documents", "passages", "parts", "encoded")} == {
            "documents": 3,
            "passages": 3,
            "parts": 1,
            "encoded": None,
        }
        end = time.monotonic() + 60
        while mine not in found(client, key) and time.monotonic() < end:
            time.sleep(0.05)
        assert set(found(client, key)) == {mine, "open"}
        assert found(client, stranger) == ["open"]
        gone = client.post("/v1/documents/remove", json={"where": "year = 2020"}, headers=by(key))
        assert gone.json()["documents"] == 2, "ours and mine; the secret of that year stays"
        rest = client.post("/v1/documents/remove", json={"ids": ["ours", mine]}, headers=by(key))
        assert "nothing would be left" in rest.text
    assert secret_of(labelled) == before


def test_where_a_header_says_who_writes_a_shared_key_is_nobodys(tmp_path: Path, labelled: Path) -> None:
    proxy, before = add_key(tmp_path / "keys", "proxy", writes=True), secret_of(labelled)
    change: dict[str, Any] = {"ids": ["ours"]}
    with walled(labelled, keys_file=tmp_path / "keys", asker_header="X-Asker") as client:

        def removed(body: dict[str, Any], **headers: str) -> int:
            return client.post("/v1/documents/remove", json=body, headers={**by(proxy), **headers}).status_code

        assert removed(change) == 400, "who is nobody reads what is public"
        assert removed({"ids": [SECRET]}, **{"X-Asker": json.dumps(ANN)}) == 400
        assert removed(change, **{"X-Asker": json.dumps(ANN)}) == 200
    assert secret_of(labelled) == before
    with walled(labelled, keys_file=tmp_path / "keys") as client:
        assert client.post("/v1/documents/remove", json={"ids": [SECRET]}, headers=by(proxy)).status_code == 200
