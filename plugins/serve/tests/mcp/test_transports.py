"""`rag mcp` over stdio and over HTTP, through the official client."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from mcp import StdioServerParameters
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import ragline_tracing as tracing
from plugins.serve.tests.mcp.calling import called, called_in_turn
from plugins.serve.tests.mcp.conftest import graph
from rag.cli import main
from rag.cli.parser import parser
from rag.pipeline import Pipeline, load_pipeline
from rag.pipeline.as_json import answer_json, ranking_json
from ragline_serve import ServeSettings
from ragline_serve.commands.mcp import settings as settings_of
from ragline_serve.mcp.http import create_http_app
from ragline_serve.service.keys import load_keys, new_key
from ragline_serve.service.running import BoundedServer
from ragline_serve.service.walls import HEADERS

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


def test_every_line_on_stdin_is_answered(index: Path, tmp_path: Path) -> None:
    """Half a character, no JSON, no message, a prompt that is not there: an error each, and no trace in the log."""
    (tmp_path / "g.json").write_text(json.dumps(graph()))
    lines = [
        b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}',
        b'{"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "search", "arguments": {"query": "a\\ud800"}}}',
        b'{"jsonrpc": "2.0", "id": "three\\ud800", "method": "ping"}',
        b"",
        b"no JSON",
        b"[" * 100_000,
        b'{"jsonrpc": "2.0", "id": 4, "method": 4}',
        b'{"jsonrpc": "2.0", "id": 5}',
        b'{"jsonrpc": "2.0", "id": 6, "method": "prompts/get", "params": {"name": "nosuch"}}',
    ]
    begin = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    hello = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": begin}).encode()
    ready = b'{"jsonrpc": "2.0", "method": "notifications/initialized"}'
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, *command(tmp_path / "g.json", index)], **pipes) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdin.write(b"".join(line + b"\n" for line in (hello, ready, *lines)))
        running.stdin.flush()
        replies = [json.loads(running.stdout.readline()) for _ in range(9)]
        running.stdin.close()
        log = running.stderr.read().decode()
    errors = sorted((str(reply["id"]), reply["error"]["code"]) for reply in replies if "error" in reply)
    nameless = [("None", -32700), ("None", -32700), ("None", -32700), ("None", -32600)]
    assert errors == sorted([("2", -32700), ("4", -32600), ("6", -32602), *nameless])
    assert [reply["result"] for reply in replies if reply["id"] == 1] == [{}]
    [prompt] = [reply["error"]["message"] for reply in replies if reply["id"] == 6]
    assert prompt == "no prompt 'nosuch': this server offers tools alone"
    assert "Traceback" not in log


@contextmanager
def served(pipeline: Pipeline, *keys: str, **more: Any) -> Iterator[str]:
    """The address of the pipeline's tools on a free port of this process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        known = load_keys(environment={"RAGLINE_KEYS": " ".join(keys)})
        app = create_http_app(pipeline, host="127.0.0.1", keys=known, **more)
        server = BoundedServer(app, ServeSettings())
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


def test_the_command_line_sets_the_rate_and_lets_an_origin_and_its_name_in(pipeline: Pipeline) -> None:
    """As behind a proxy: the name in `Host` and the page's origin are the public ones."""
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    public = {"host": "chat.example.org", "origin": "https://chat.example.org"}

    def settings(*given: str) -> ServeSettings:
        return settings_of(parser().parse_args(["mcp", "--http", *given]))

    def status(**changes: str) -> int:
        asks = {"accept": "application/json, text/event-stream"} | public | changes
        return httpx2.post(url, json=listing, headers=asks, timeout=60).status_code

    with served(pipeline, settings=settings("--origin", "https://chat.example.org", "--rate", "2")) as url:
        assert status(origin="https://evil.example") == 403
        assert status(host="evil.example") == 421
        assert [status(), status(), status()] == [200, 200, 429]
    with served(pipeline, settings=settings()) as url:
        assert status() == 421
    assert (settings().requests_per_minute, settings("--rate", "0").requests_per_minute) == (600, None)


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
        place = urlsplit(told[0])
        with ExitStack() as idle:
            for _ in range(70):  # connections that ask nothing keep nobody out
                idle.enter_context(socket.create_connection((place.hostname, place.port)))
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
    assert f"cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err


def asked_of(url: str, method: str = "tools/list", **params: Any) -> httpx2.Response:
    listing = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return httpx2.post(url, json=listing, headers={"accept": "application/json, text/event-stream"}, timeout=60)


def test_http_holds_callers_to_a_rate_and_requests_to_a_size(pipeline: Pipeline) -> None:
    with served(pipeline, settings=ServeSettings(requests_per_minute=2, max_request_bytes=1_000)) as url:
        large = asked_of(url, padding="x" * 1_000)
        assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")
        allowed = asked_of(url)
        assert allowed.status_code == 200
        for name in HEADERS:
            assert name.decode() in allowed.headers
        refused = asked_of(url)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert int(refused.headers["retry-after"]) >= 1


def test_idle_connections_keep_nobody_out_and_busy_ones_are_bounded(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = threading.Event(), threading.Event()

    def held(*given: Any, **more: Any) -> Any:
        begun.set()
        assert go.wait(60)
        raise RuntimeError("enough")

    monkeypatch.setattr(pipeline, "search", held)
    with served(pipeline, at_once=1) as url, ExitStack() as idle:
        place = urlsplit(url)
        for _ in range(70):
            idle.enter_context(socket.create_connection((place.hostname, place.port)))
        assert asked_of(url).status_code == 200
        calling = threading.Thread(
            target=asked_of, args=(url, "tools/call"), kwargs={"name": "search", "arguments": {"query": "x"}}
        )
        calling.start()
        assert begun.wait(60)
        refused = asked_of(url)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")
        go.set()
        calling.join(60)
        assert asked_of(url).status_code == 200
