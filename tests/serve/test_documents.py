"""Documents come, change and go over HTTP, by a key that may, and the next searches find what came of it."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from rag.core.access import Asker
from rag.core.errors import SpecError
from rag.service.keys import add_key, load_keys
from retrievers.index.generations import building
from tests.serve.walled import walled
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
