from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
import yaml

from plugins.serve.tests.asking import DEADLINE_S, asked
from rag.cli import main
from rag.cli.parser import parser
from rag.core.errors import SpecError
from ragline_serve.commands.serve import graphs_by_name, settings
from tests.scripted_graph import graph


@pytest.fixture
def graph_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(graph()))
    return path


def test_the_command_serves_until_ctrl_c(graph_file: Path, index: Path) -> None:
    command = [sys.executable, "-m", "rag", "serve", "--graph", str(graph_file), "--index", str(index), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        said = running.stderr.readline()
        found = re.search(r"at (http://127\.0\.0\.1:\d+) \(Ctrl-C ends it\)", said)
        assert found, said
        with httpx2.Client(base_url=found[1], timeout=DEADLINE_S) as client:
            assert client.get("/v1/models").json()["data"][0]["id"] == "small"
            reply = client.post("/v1/chat/completions", json=asked() | {"model": "small"})
            assert reply.json()["choices"][0]["message"]["content"] == "It is so [1]."
        running.send_signal(signal.SIGINT)
        assert running.wait(DEADLINE_S) == 0
        assert "Traceback" not in running.stderr.read()


def test_a_port_that_is_taken_is_said(graph_file: Path, index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code = main(["serve", "--graph", str(graph_file), "--index", str(index), "--port", port])
    assert code == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err


def test_what_the_command_line_says_becomes_settings() -> None:
    limits = ["--batch", "4", "--streams", "2", "--waiting", "8", "--max-tokens", "99", "--connections", "7"]
    given = parser().parse_args(["serve", "--graph", "here/mine.yaml", "--allow-system", *limits])
    made = settings(given)
    assert (made.max_batch, made.max_streams, made.waiting_room) == (4, 2, 8)
    assert (made.max_tokens, made.allow_system, made.max_connections) == (99, True, 7)
    assert made.follow_s == 1.0


def test_a_model_is_called_by_its_name_or_as_its_graph_is() -> None:
    given = parser().parse_args(["serve", "--graph", "here/mine.yaml", "--graph", "ask"])
    assert graphs_by_name(given.graph, given.name) == {"mine": "here/mine.yaml", "ask": "ask"}
    assert graphs_by_name(["ask"], ["docs"]) == {"docs": "ask"}
    with pytest.raises(SpecError, match="2 graphs, but 1 names"):
        graphs_by_name(["ask", "chat"], ["docs"])
    with pytest.raises(SpecError, match="two models would be called 'ask'"):
        graphs_by_name(["ask", "here/ask.yaml"], [])


def test_the_openapi_describes_every_endpoint(graph_file: Path, index: Path) -> None:
    from rag.pipeline import load_pipeline
    from ragline_serve import create_app

    with load_pipeline(graph_file, index=index) as pipeline:
        described = create_app(pipeline).openapi()
    json.dumps(described)
    for path in ("chat/completions", "search", "rerank", "embeddings"):
        post = described["paths"][f"/v1/{path}"]["post"]
        body = post["requestBody"]["content"]["application/json"]["schema"]
        assert body["$ref"].startswith("#/components/schemas/")
        assert "schema" in post["responses"]["200"]["content"]["application/json"]
        assert {"400", "429", "503"} <= set(post["responses"])
        assert "422" not in post["responses"]  # invalid requests are 400 here
