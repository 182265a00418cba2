"""Pictures over MCP: hits say what they hold, one is searched by and looked at, by those who may."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import ImageContent
from PIL import Image

from plugins.media.tests.drawn import drawings, encoded, random_encoder, random_tower
from plugins.serve.tests.mcp.calling import called, refused
from rag import Pipeline, build_index, load_pipeline
from rag.graphs import load_spec
from ragline_serve.mcp.server import create_server

PUBLIC, SECRET = (encoded(each.picture()) for each in drawings(1)[:2])


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    import json

    home = tmp_path_factory.mktemp("tools")
    records = list[dict[str, Any]]()
    for name, data, label in (("open", PUBLIC, {"public": True}), ("closed", SECRET, {"groups": ["board"]})):
        (home / f"{name}.png").write_bytes(data)
        contents = [{"kind": "picture", "uri": f"{name}.png", "sha256": sha256(data).hexdigest(), "text": name}]
        records.append({"_id": name, "text": f"{name} words", "contents": contents, "readers": label})
    (home / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    models = {"tower": str(random_tower(home / "m" / "tower")), "encoder": str(random_encoder(home / "m" / "encoder"))}
    graph = {
        "version": 1,
        "index": {"pictures": models, "reading": {"access": "readers"}},
        "nodes": {"best": {"use": "retrieve.pictures", "in": "query", "k": 10}},
        "output": "best",
    }
    settings = load_spec(graph).graph.index
    build_index(home, home / "idx", settings=settings, legs=("lexical", "pictures"))
    with load_pipeline(graph, index=home / "idx") as made:
        yield made


def looked_at(server: Any, **arguments: Any) -> Any:
    async def call() -> Any:
        async with Client(server) as client:
            return await client.call_tool("see_picture", arguments)

    return asyncio.run(call())


def test_a_picture_finds_itself_and_is_looked_at(pipeline: Pipeline) -> None:
    server = create_server(pipeline)
    [hit] = called(server, "search_by_picture", picture=b64encode(PUBLIC).decode(), k=3)["hits"]
    assert (hit["doc_id"], hit["score"]) == ("open", pytest.approx(1, abs=1e-5))
    [held] = hit["contents"]
    [block] = looked_at(server, sha256=held["sha256"]).content
    assert isinstance(block, ImageContent)
    assert Image.open(BytesIO(b64decode(block.data))).size == (96, 96)
    assert block.mime_type == "image/webp"


def test_hits_of_words_say_what_they_hold(pipeline: Pipeline) -> None:
    server = create_server(pipeline)
    [hit] = called(server, "search", query="a disc")["hits"]
    [held] = hit["contents"]
    assert {name: held[name] for name in ("kind", "sha256", "text")} == {
        "kind": "picture",
        "sha256": sha256(PUBLIC).hexdigest(),
        "text": "open",
    }
    assert called(server, "get_document", doc_id="open")["contents"] == [held]


def test_what_one_may_not_see_is_not_there(pipeline: Pipeline) -> None:
    server = create_server(pipeline)
    for digest in (sha256(SECRET).hexdigest(), "0" * 64):
        assert "no such picture that you may see" in refused(server, "see_picture", sha256=digest)
    hits = called(server, "search_by_picture", picture=b64encode(SECRET).decode(), k=3)["hits"]
    assert [hit["doc_id"] for hit in hits] == ["open"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"picture": "no base64!"}, "sent in base64"),
        ({"picture": b64encode(b"<html>").decode()}, "is no picture"),
        ({"picture": b64encode(PUBLIC).decode(), "media_type": "text/html"}, "media_type such as image/"),
        ({"picture": ""}, "it is too short"),
        ({}, "picture: it is missing"),
    ],
)
def test_what_is_no_picture_is_told(pipeline: Pipeline, given: dict[str, str], told: str) -> None:
    assert told in refused(create_server(pipeline), "search_by_picture", **given)


def test_an_index_of_texts_offers_neither(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Paid leave is thirty days.\n")
    build_index(tmp_path / "a.txt", tmp_path / "idx", legs=("lexical",))
    with load_pipeline("bm25", index=tmp_path / "idx") as made:
        assert "there is no tool" in refused(create_server(made), "search_by_picture", picture="aa")


@pytest.mark.parametrize("most", [27, 28, 29, 30])
@pytest.mark.parametrize("more", [-1, 0, 1, 2, 30])
def test_a_question_has_as_many_bytes_as_it_may_and_not_one_more(most: int, more: int) -> None:
    from rag.errors import SpecError
    from rag.types import Content
    from ragline_media.questions import bytes_inside

    data = bytes(range(most + more))
    uri = f"data:image/png;base64,{b64encode(data).decode()}"
    asked = Content(kind="picture", uri=uri, sha256=sha256(data).hexdigest())
    if more <= 0:
        assert bytes_inside(asked, what="picture", most=most, smaller="Make it smaller") == data
        return
    with pytest.raises(SpecError, match=f"a picture that is asked with has at most {most} bytes. Make it smaller"):
        bytes_inside(asked, what="picture", most=most, smaller="Make it smaller")
