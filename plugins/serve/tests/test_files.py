"""Files come into the index over HTTP, where the operator names a folder for them, and go nowhere else."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from plugins.serve.tests.test_documents import Dropped, by, until_found
from plugins.serve.tests.walled import walled
from rag.core.errors import SpecError
from rag.indexing import build_index
from ragline_serve.service.keys import add_key
from retrievers.index.directory import LocalIndex
from retrievers.index.generations import building
from retrievers.index.settings import IndexSettings
from tests.small_index import small_index

NOTE = b"# Fish\n\nThe zebrafish lives in the tank by the door.\n"


@pytest.fixture
def index(tmp_path: Path, documents: Any) -> Path:
    return small_index(tmp_path, documents)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "inbox"


def bring(client: TestClient, name: str, body: bytes = NOTE, key: str = "", **more: Any) -> Any:
    headers = {"Content-Type": "application/octet-stream"} | (by(key) if key else {})
    return client.post("/v1/files", params={"name": name, **more}, content=body, headers=headers)


def ids(index: Path) -> list[str]:
    with LocalIndex.open(index) as opened:
        return [document.doc_id for document in opened.documents if document.doc_id.startswith("inbox/")]


def test_a_file_comes_and_is_found(index: Path, folder: Path) -> None:
    with walled(index, uploads=folder, follow_s=0.05) as client:
        assert client.get("/v1/index").json()["takes_files"]
        reply = bring(client, "fish.md")
        assert reply.status_code == 200, reply.text
        assert reply.json()["ids"] == ["inbox/fish.md"]
        assert reply.json()["documents"] == 13
        until_found(client, "none", ["inbox/fish.md#1"])
        [hit] = client.post("/v1/search", json={"query": "zebrafish"}).json()["hits"]
        assert hit["title"] == "Fish"
    assert [path.name for path in folder.iterdir()] == ["fish.md"]
    assert build_index(folder, index).unchanged


def test_where_there_are_keys_one_that_may_write_is_asked_for(index: Path, folder: Path, tmp_path: Path) -> None:
    writer, reader = (add_key(tmp_path / "keys", name, writes=name == "writer") for name in ("writer", "reader"))
    with walled(index, keys_file=tmp_path / "keys", uploads=folder) as client:
        assert bring(client, "fish.md", key=reader).json()["error"]["code"] == "read_only"
        assert [client.get("/v1/index", headers=by(key)).json()["takes_files"] for key in (reader, writer)] == [
            False,
            True,
        ]
        assert bring(client, "fish.md", key=writer).status_code == 200


def test_without_a_folder_for_them_none_are_taken(index: Path, tmp_path: Path) -> None:
    writer = add_key(tmp_path / "keys", "writer", writes=True)
    with walled(index, keys_file=tmp_path / "keys") as client:
        assert not client.get("/v1/index", headers=by(writer)).json()["takes_files"]
        reply = bring(client, "fish.md", key=writer)
        assert reply.status_code == 403
        assert "rag serve --uploads FOLDER" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    "name",
    [
        *["", "..", "../fish.md", "a/fish.md", "a\\fish.md", "/etc/fish.md", ".fish.md", "c:fish.md", "fish\n.md"],
        *["fish", "fish.exe", "corpus.jsonl", "users.json", "f" * 200 + ".md", "fish.md\0"],
    ],
)
def test_other_names_are_refused(index: Path, folder: Path, name: str) -> None:
    with walled(index, uploads=folder) as client:
        reply = bring(client, name)
        assert reply.status_code == 400, reply.text
        assert reply.json()["error"]["code"] == "bad_file_name"
    assert not folder.exists()


def test_a_file_takes_the_place_of_another_only_if_that_is_said(index: Path, folder: Path) -> None:
    with walled(index, uploads=folder) as client:
        assert bring(client, "fish.md").status_code == 200
        refused = bring(client, "fish.md", b"An empty tank.\n")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "file_exists")
        assert (folder / "fish.md").read_bytes() == NOTE
        assert bring(client, "fish.md", b"An empty tank.\n", replace=True).status_code == 200
    assert (folder / "fish.md").read_bytes() == b"An empty tank.\n"
    with LocalIndex.open(index) as opened:
        assert [each.text for each in opened.documents if each.doc_id == "inbox/fish.md#1"] == ["An empty tank."]


@pytest.mark.parametrize("before", [False, True])
def test_what_cannot_be_read_is_told_and_not_kept(index: Path, folder: Path, before: bool) -> None:
    with walled(index, uploads=folder) as client:
        for name in ("other.md", *(["fish.pdf.md"] if before else [])):
            assert bring(client, name).status_code == 200
        name = "fish.pdf.md" if before else "fish.pdf"
        broken = b"\xff\xfe\x00" + bytes(range(128, 256)) if before else b"%PDF-1.4 broken"
        reply = bring(client, name, broken, replace=True)
        assert reply.status_code == 400, reply.text
        said = reply.json()["error"]["message"]
        assert said.startswith(f"inbox/{name}: ")
        assert str(folder) not in said
    assert sorted(path.name for path in folder.iterdir()) == sorted(["other.md", *(["fish.pdf.md"] if before else [])])
    assert ids(index) == [*(["inbox/fish.pdf.md#1"] if before else []), "inbox/other.md#1"]


def test_while_another_process_builds_nothing_comes(index: Path, folder: Path) -> None:
    with walled(index, uploads=folder) as client, suppress(Dropped), building(index):
        reply = bring(client, "fish.md")
        assert (reply.status_code, reply.json()["error"]["code"]) == (409, "index_busy")
        assert list(folder.iterdir()) == []
        raise Dropped


def test_a_file_may_be_larger_than_a_request_and_has_a_bound_of_its_own(index: Path, folder: Path) -> None:
    with walled(index, uploads=folder, max_request_bytes=1_000, max_file_bytes=10_000) as client:
        assert bring(client, "long.md", b"word " * 1_000).status_code == 200
        assert bring(client, "longer.md", b"word " * 3_000).status_code == 413
        assert client.post("/v1/search", json={"query": "word " * 1_000}).status_code == 413
    assert [path.name for path in folder.iterdir()] == ["long.md"]


def test_an_index_with_labels_takes_none(tmp_path: Path, folder: Path) -> None:
    record = {"_id": "ours", "text": "For the north.", "acl": {"tenant": "north"}}
    (tmp_path / "corpus.jsonl").write_text(json.dumps(record) + "\n")
    settings = IndexSettings.model_validate({"reading": {"access": "acl"}})
    build_index(tmp_path / "corpus.jsonl", tmp_path / "labelled", legs=("lexical",), settings=settings)
    with pytest.raises(SpecError, match="one without labels"), walled(tmp_path / "labelled", uploads=folder):
        pass
