"""Tools that an installed package adds, by real entry points, through the official client."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcp import Client

from plugins.serve.tests.mcp.calling import called, refused
from plugins.serve.tests.mcp.conftest import graph
from plugins.serve.tests.toy_serving import POINTS, SERVING, installed
from rag.core.access import Asker
from rag.core.errors import SpecError
from rag.indexing import build_index
from rag.pipeline import Pipeline, load_pipeline
from ragline_serve.mcp.server import create_server
from retrievers.index.settings import IndexSettings


@pytest.fixture
def pipeline(index: Path) -> Iterator[Pipeline]:
    with load_pipeline(graph(), index=index) as made:
        yield made


def test_a_tool_of_a_package_is_offered_and_called_with_the_pipeline(pipeline: Pipeline, tmp_path: Path) -> None:
    with installed(tmp_path / "site"):
        server = create_server(pipeline)
        assert called(server, "count", word="leave") == {"n": len(pipeline.search("leave").hits)}

        async def listed() -> dict[str, object]:
            async with Client(server) as client:
                return {tool.name: tool for tool in (await client.list_tools()).tools}

        tools = asyncio.run(listed())
        assert list(tools) == ["search", "answer", "get_document", "count"], (
            "what does not suit the graph is not offered"
        )
        count = tools["count"]
        assert (count.title, count.description) == (
            "Count passages",
            "Count the passages of a word that whoever asks may read.",
        )
        assert list(count.input_schema["properties"]) == ["word"]


def test_its_failures_are_told_as_those_of_ours(pipeline: Pipeline, tmp_path: Path) -> None:
    with installed(tmp_path / "site"):
        server = create_server(pipeline)
        assert refused(server, "count", word="refused") == "this word is not counted: choose another"
        assert refused(server, "count", word="broken") == "count failed (RuntimeError)"
        assert "word: it is too long; give at most 40 characters" in refused(server, "count", word="x" * 41)
        assert "count was not run. word: it is missing" in refused(server, "count")


def test_it_finds_what_whoever_asks_may_read(tmp_path: Path) -> None:
    records = [
        {"_id": "open", "text": "leave for all", "acl": {"public": True}},
        {"_id": "secret", "text": "leave for ann", "acl": {"tenant": "north", "users": ["ann"]}},
    ]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    settings = IndexSettings.model_validate({"reading": {"access": "acl"}})
    build_index(tmp_path / "corpus.jsonl", tmp_path / "i", legs=("lexical",), settings=settings)
    with installed(tmp_path / "site"), load_pipeline(graph(), index=tmp_path / "i") as pipeline:
        assert called(create_server(pipeline), "count", word="leave") == {"n": 1}
        assert called(create_server(pipeline, asker=Asker(user="ann", tenant="north")), "count", word="leave") == {
            "n": 2
        }


def test_a_name_of_ours_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    points = "[ragline.tool]\nget_document = toy.tools:Count\n"
    with installed(tmp_path / "site", {POINTS: points}), pytest.raises(SpecError) as error:
        create_server(pipeline)
    said = str(error.value)
    assert said.startswith(
        "tool.get_document of the installed plug-in 'ragline-toy': its name is that of a tool of ours."
    )
    assert said.endswith("pip uninstall ragline-toy")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"toy/tools.py": "1 / 0"}, "cannot be loaded from toy.tools:Count: ZeroDivisionError"),
        ({"toy/tools.py": "class Count: pass"}, "cannot be used: AttributeError"),
        (
            {"toy/tools.py": SERVING["toy/tools.py"].replace("def call", "async def call")},
            "its call is a plain function",
        ),
        ({"toy/tools.py": SERVING["toy/tools.py"].replace("Filter | None", "Fitler")}, "NameError"),
        (
            {POINTS: "[ragline.tool]\ncount it\u202e = toy.tools:Count\n"},
            "a tool has a name of at most 64 ASCII letters",
        ),
    ],
)
def test_a_tool_that_fails_is_told_and_left_out(
    pipeline: Pipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, str], says: str
) -> None:
    with installed(tmp_path / "site", changes), caplog.at_level(logging.WARNING):
        server = create_server(pipeline)
        assert called(server, "search", query="leave")["hits"]
    [told] = [record.getMessage() for record in caplog.records if "left out: tool.count" in record.getMessage()]
    assert says in told
    assert "pip uninstall ragline-toy" in told
