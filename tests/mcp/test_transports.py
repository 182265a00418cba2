"""`rag mcp` over stdio and over HTTP, through the official client."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from mcp import StdioServerParameters
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rag import tracing
from rag.as_json import answer_json, ranking_json
from rag.cli import main
from rag.mcp.http import create_http_app
from rag.pipeline import Pipeline, load_pipeline
from rag.serve.keys import load_keys, new_key
from tests.mcp.calling import called, called_in_turn

QUESTION = "How long is the warranty of a frame?"


@pytest.fixture(scope="module")
def pipeline(tiny_graph: Path, index: Path) -> Iterator[Pipeline]:
    with load_pipeline(tiny_graph, index=index) as made:
        yield made


def check_equal_to_python(server: Any, pipeline: Pipeline) -> None:
    """One question gives the ranking and the answer that it gives in Python."""
    ranking, answer = ranking_json(pipeline.search(QUESTION, k=3)), answer_json(pipeline.ask(QUESTION))
    found, given, document = called_in_turn(
        server,
        ("search", {"query": QUESTION, "k": 3}),
        ("answer", {"question": QUESTION}),
        ("get_document", {"doc_id": ranking["hits"][0]["doc_id"]}),
    )
    assert found["hits"] == ranking["hits"]
    assert answer["answer"]
    for key in ("answer", "status", "finish_reason", "citations", "passages"):
        assert given[key] == answer[key]
    assert document["text"] == ranking["hits"][0]["text"]


def command(graph: str | Path, index: Path, *more: str) -> list[str]:
    return ["-m", "rag", "mcp", "--graph", str(graph), "--index", str(index), "--offline", *more]


def test_stdio_gives_what_python_gives(pipeline: Pipeline, tiny_graph: Path, index: Path) -> None:
    """The command as a process of its own: other weights in memory, the same numbers."""
    server = StdioServerParameters(command=sys.executable, args=command(tiny_graph, index))
    check_equal_to_python(server, pipeline)


@contextmanager
def served(pipeline: Pipeline, *keys: str) -> Iterator[str]:
    """The address of the pipeline's tools on a free port of this process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        known = load_keys(environment={"RAGLINE_KEYS": " ".join(keys)})
        app = create_http_app(pipeline, host="127.0.0.1", keys=known)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        finally:
            server.should_exit = True
            thread.join()


def test_http_gives_what_python_gives(pipeline: Pipeline) -> None:
    with served(pipeline) as url:
        check_equal_to_python(url, pipeline)


def test_http_lets_only_keys_in_and_no_foreign_page_or_name(pipeline: Pipeline) -> None:
    key = new_key()
    asks = {"accept": "application/json, text/event-stream", "authorization": f"Bearer {key}"}
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}

    def status(**changes: str) -> int:
        return httpx2.post(url, json=listing, headers=asks | changes, timeout=60).status_code

    with served(pipeline, key) as url:
        assert status() == 200
        assert status(authorization=f"Bearer {new_key()}") == 401
        assert status(authorization="") == 401
        assert status(origin="https://evil.example") == 403
        assert status(host="evil.example") == 421


def test_the_clients_span_is_the_parent_over_http(pipeline: Pipeline) -> None:
    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("client")
    with (
        tracing.to_provider(provider),
        served(pipeline) as url,
        tracer.start_as_current_span("theirs") as span,
    ):
        called(url, "search", query=QUESTION)
        trace_id = span.get_span_context().trace_id
    [run] = [span for span in memory.get_finished_spans() if span.name == "run bm25"]
    assert run.context is not None
    assert run.context.trace_id == trace_id


@pytest.mark.slow
def test_the_command_serves_http_and_ends_on_an_interrupt(index: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, *command("bm25", index, "--http", "--port", "0")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        told = re.search(r"http://127\.0\.0\.1:\d+/mcp", process.stderr.readline())
        assert told is not None
        assert called(told[0], "search", query=QUESTION)["hits"]
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=120)
        assert process.returncode in (0, 130)
        assert out == ""
    finally:
        process.kill()
        process.wait()


def test_a_port_that_is_taken_is_said(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["mcp", "--graph", "bm25", "--index", str(index), "--http", "--port", port]) == 2
    assert f"127.0.0.1:{port}" in capsys.readouterr().err
