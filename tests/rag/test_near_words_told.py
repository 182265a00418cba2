"""What was searched in place of a misspelt word is told at every door: command line, Python, HTTP, MCP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plugins.serve.tests.mcp.calling import called
from plugins.serve.tests.walled import question, walled
from rag.cli import main
from rag.core.types import Document
from rag.pipeline import load_pipeline
from ragline_serve.mcp.server import create_server
from tests.scripted_graph import graph
from tests.small_index import small_index

DOCUMENTS = (
    Document(doc_id="one", title="Parcels", text="We receive parcels on Monday."),
    Document(doc_id="two", title="Tables", text="The table is red."),
)
WRONG, NEAR = "who recieves parcels", {"recieves": ["receive"]}
LINE = "did you mean: receive? for 'recieves'"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_index(tmp_path_factory.mktemp("near"), DOCUMENTS)


def test_a_search_on_the_command_line(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["search", "--index", str(index), "--graph", "bm25", "--no-server"]
    assert main([*asked, WRONG]) == 0
    assert capsys.readouterr().out.splitlines()[0] == LINE
    assert main([*asked, WRONG, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["near"] == NEAR
    assert main([*asked, "parcels", "--json"]) == 0
    assert "near" not in json.loads(capsys.readouterr().out)


def test_an_answer_on_the_command_line(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "graph.json").write_text(json.dumps(graph()))
    asked = ["ask", "--index", str(index), "--graph", str(tmp_path / "graph.json"), "--no-server", WRONG]
    assert main(asked) == 0
    assert capsys.readouterr().err.splitlines().count(LINE) == 1
    assert main([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["near"] == NEAR


def test_a_server_and_what_its_page_reads(index: Path) -> None:
    with walled(index) as client:
        assert client.post("/v1/search", json={"query": WRONG}).json()["near"] == NEAR
        assert "near" not in client.post("/v1/search", json={"query": "parcels"}).json()
        assert client.post("/v1/chat/completions", json=question(WRONG)).json()["ragline"]["near"] == NEAR
        streamed = client.post("/v1/chat/completions", json=question(WRONG, stream=True)).text.splitlines()
        first = json.loads(streamed[0].removeprefix("data: "))
        assert first["ragline"]["near"] == NEAR
        described = client.get("/openapi.json").json()["components"]["schemas"]
        assert {"near"} <= {*described["SearchReply"]["properties"]} & {*described["ChatReport"]["properties"]}


def test_a_tool_of_mcp(index: Path) -> None:
    with load_pipeline(graph(), index=index) as pipeline:
        assert called(create_server(pipeline), "search", query=WRONG)["near"] == NEAR
        assert called(create_server(pipeline), "search", query="parcels")["near"] == {}
