"""Connections that say nothing, too little or too slowly, and readers that do not read: raw sockets on a real server."""

from __future__ import annotations

import asyncio
import json
import logging
import platform
import re
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import yaml

from plugins.serve.tests.asking import DEADLINE_S, until
from plugins.serve.tests.served import served
from plugins.serve.tests.walled import MODEL
from rag.pipeline import Pipeline, load_pipeline
from ragline_serve import ServeSettings, create_app
from ragline_serve.mcp.http import create_http_app
from ragline_serve.service.connections import affordable
from ragline_serve.service.keys import Keys
from ragline_serve.service.running import NowAndThen
from tests.scripted_graph import graph

NEVER_S = 3600.0
SOON_S = 0.2
PATIENT: dict[str, float] = {
    "head_timeout_s": NEVER_S,
    "idle_timeout_s": NEVER_S,
    "reader_timeout_s": NEVER_S,
    "request_timeout_s": NEVER_S,
}
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
OPENS_A_STREAM = b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
HALF_A_BODY = (
    b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
)


@pytest.fixture(scope="module")
def pipeline(index: Path) -> Iterator[Pipeline]:
    with load_pipeline(graph(), index=index) as made:
        yield made


@contextmanager
def serving(pipeline: Pipeline, **limits: Any) -> Iterator[str]:
    settings = ServeSettings(model=MODEL, requests_per_minute=None, **{**PATIENT, **limits})
    with served(create_app(pipeline, settings), settings) as running:
        yield running.url


def connected(stack: ExitStack, url: str, said: bytes = b"") -> socket.socket:
    place = urlsplit(url)
    connection = stack.enter_context(socket.create_connection((place.hostname, place.port), timeout=DEADLINE_S))
    if said:
        connection.sendall(said)
    return connection


def reply(connection: socket.socket) -> bytes:
    """One whole reply."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += (piece := connection.recv(65536))
        assert piece, data
    [length] = re.findall(rb"(?i)content-length: (\d+)", data)
    while len(data.partition(b"\r\n\r\n")[2]) < int(length):
        data += (piece := connection.recv(65536))
        assert piece, data
    return data


def is_closed(connection: socket.socket) -> bool:
    """Wait for the server's next word: true if it is that the connection has ended."""
    try:
        return connection.recv(65536) == b""
    except ConnectionResetError:
        return True


def healthy(url: str) -> bool:
    with httpx2.Client(timeout=DEADLINE_S) as client:
        return client.get(f"{url}/health").status_code == 200


@pytest.mark.parametrize(
    "said", [b"", b"GET /hea", b"GET /health HTTP/1.1\r\nHost: x\r\nX-A", HALF_A_BODY], ids=["0", "1", "half", "body"]
)
def test_connections_that_keep_it_waiting_keep_nobody_out(pipeline: Pipeline, said: bytes) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(serving(pipeline, max_connections=20))
        silent = [connected(stack, url, said) for _ in range(300)]
        assert healthy(url)
        assert all(is_closed(connection) for connection in silent[:280]), "the oldest have made room"


def test_the_one_that_waits_longest_makes_room_and_one_that_asks_anew_counts_anew(pipeline: Pipeline) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(serving(pipeline, max_connections=2))
        first, second = connected(stack, url), connected(stack, url)
        for asked in (first, second, first):  # a reply shows that the server has the connection: it may accept late
            asked.sendall(HEALTH)
            assert b"200 OK" in reply(asked)
        connected(stack, url)
        assert is_closed(second), "first has asked since, so second is the one that says nothing"
        first.sendall(HEALTH)
        assert b"200 OK" in reply(first)


def test_a_head_has_a_deadline_that_a_byte_now_and_then_does_not_move(pipeline: Pipeline) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(serving(pipeline, head_timeout_s=SOON_S))
        assert is_closed(connected(stack, url))
        assert is_dripped_off(connected(stack, url))
        assert is_dripped_off(answered(stack, url, HEALTH)), "one that asked before has no more time for its next head"


def is_dripped_off(connection: socket.socket) -> bool:
    """Begin a head and send a byte every few milliseconds: true once the other side takes no more."""
    connection.settimeout(SOON_S / 10)
    try:
        connection.sendall(b"GET /health HTTP/1.1\r\nX: ")
        for _ in range(10_000):
            connection.sendall(b"x")
            with suppress(TimeoutError):
                if not connection.recv(65536):
                    return True
    except OSError:
        return True
    return False


def answered(stack: ExitStack, url: str, said: bytes) -> socket.socket:
    """A connection that has had a reply; tried again where a busy machine was too slow for the deadline."""
    connections = []

    def is_answered() -> bool:
        connections.append(connected(stack, url))
        try:
            connections[-1].sendall(said)
            return b"200 OK" in reply(connections[-1])
        except (OSError, AssertionError):
            return False

    until(is_answered)
    return connections[-1]


def test_a_kept_connection_has_a_deadline(pipeline: Pipeline) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(serving(pipeline, idle_timeout_s=SOON_S))
        kept = connected(stack, url, HEALTH)
        assert b"200 OK" in reply(kept)
        assert is_closed(kept)


def test_a_body_that_nobody_reads_has_a_deadline(pipeline: Pipeline) -> None:
    """The answer to a GET does not wait for its body, and the connection does not either."""
    with ExitStack() as stack:
        url = stack.enter_context(serving(pipeline, head_timeout_s=SOON_S))
        said = b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n"
        assert is_dripped_off(answered(stack, url, said))


def test_a_reader_that_takes_nothing_has_a_deadline(pipeline: Pipeline) -> None:
    """Replies of many pipelined requests fill what the system keeps for a reader, and then the server's own room."""
    with ExitStack() as stack:
        url = stack.enter_context(serving(pipeline, reader_timeout_s=SOON_S))
        place = urlsplit(url)
        reader = stack.enter_context(socket.socket())
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.settimeout(SOON_S)
        reader.connect((place.hostname, place.port))
        asks = b"GET /page/page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000

        def is_dropped() -> bool:
            try:
                reader.send(asks)
            except TimeoutError:
                return False
            except OSError:
                return True
            return False

        until(is_dropped)
        assert healthy(url)


def test_where_all_are_at_work_a_new_one_is_told_to_come_back(pipeline: Pipeline) -> None:
    free, at_work = threading.Event(), []
    app = create_app(pipeline, settings := ServeSettings(model=MODEL, max_connections=3, **PATIENT))

    @app.get("/waits")
    async def waits() -> str:
        at_work.append(1)
        while not free.is_set():
            await asyncio.sleep(0.01)
        return "done"

    with ExitStack() as stack:
        running = stack.enter_context(served(app, settings))
        busy = [connected(stack, running.url, HEALTH.replace(b"/health", b"/waits")) for _ in range(3)]
        until(lambda: len(at_work) == 3)
        head, _, body = reply(connected(stack, running.url)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in head
        assert json.loads(body)["error"]["code"] == "overloaded"
        free.set()
        assert all(b"200 OK" in reply(connection) for connection in busy)
        assert healthy(running.url)


def test_the_tools_have_the_same_bounds(pipeline: Pipeline) -> None:
    settings = ServeSettings(max_connections=20, **PATIENT)
    app = create_http_app(pipeline, host="127.0.0.1", keys=Keys(), settings=settings)
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    accepts = {"accept": "application/json, text/event-stream"}
    with ExitStack() as stack:
        running = stack.enter_context(served(app, settings))
        silent = [connected(stack, running.url) for _ in range(100)]
        assert httpx2.post(f"{running.url}/mcp", json=ping, headers=accepts, timeout=DEADLINE_S).status_code == 200
        assert all(is_closed(connection) for connection in silent[:79])
        streams = [connected(stack, running.url, OPENS_A_STREAM) for _ in range(100)]
        assert reply(streams[-1]).startswith(b"HTTP/1.1 405 ")
        assert httpx2.post(f"{running.url}/mcp", json=ping, headers=accepts, timeout=DEADLINE_S).status_code == 200


@pytest.mark.parametrize("command", ["serve", pytest.param("mcp", marks=pytest.mark.slow)])
def test_more_connections_than_files_stop_nothing_and_fill_no_log(index: Path, tmp_path: Path, command: str) -> None:
    """The command as a process that may open 256 files, and 400 connections that say nothing."""
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(graph()))
    options = ["--graph", str(tmp_path / "small.yaml"), "--index", str(index), "--port", "0"]
    options += ["--http"] if command == "mcp" else []
    arguments = [sys.executable, "-m", "rag", command, *options]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with (
        (tmp_path / "log").open("w+") as log,
        subprocess.Popen(
            arguments, stderr=log, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
        ) as running,
        ExitStack() as stack,
    ):
        until(lambda: "Ctrl-C" in (tmp_path / "log").read_text())
        [url] = re.findall(r"at (http://127\.0\.0\.1:\d+)", (tmp_path / "log").read_text())
        silent = [connected(stack, url) for _ in range(400)]
        try:
            assert httpx2.get(f"{url}/health", timeout=DEADLINE_S).status_code in (200, 404)
        finally:
            running.terminate()
        assert sum(is_closed(connection) for connection in silent) == 400
        running.wait(DEADLINE_S)
        text = (tmp_path / "log").read_text()
    assert "Traceback" not in text
    assert text.count("\n") < 10
    assert "all 128 connections are in" in text
    assert str(Path(__file__).parents[3]) not in text


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator gives memory back by itself, or never")
def test_memory_of_bodies_that_were_cut_off_is_given_back(index: Path, tmp_path: Path) -> None:
    searches = {"version": 1, "nodes": {"bm25": {"use": "retrieve.bm25", "k": 3}}, "output": "bm25"}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(searches))
    options = ["--graph", str(tmp_path / "small.yaml"), "--index", str(index), "--port", "0"]
    log, n_bytes = tmp_path / "log", 4 * 10**6
    head = HALF_A_BODY.replace(b"99", b"%d" % (n_bytes + 1))
    with (
        log.open("w") as said,
        subprocess.Popen([sys.executable, "-m", "rag", "serve", *options], stderr=said) as running,
        ExitStack() as stack,
    ):
        until(lambda: "Ctrl-C" in log.read_text())
        [url] = re.findall(r"at (http://127\.0\.0\.1:\d+)", log.read_text())
        try:
            until(lambda: httpx2.get(f"{url}/ready", timeout=DEADLINE_S).status_code == 200)
            before = resident_mb(running.pid)
            cut_off = [connected(stack, url, head + b"a" * (n_bytes - 1)) for _ in range(60)]
            until(lambda: resident_mb(running.pid) > before + 150)
            for connection in cut_off:
                connection.close()
            until(lambda: resident_mb(running.pid) < before + 60)
        finally:
            running.terminate()


def resident_mb(process: int) -> int:
    [kib] = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(kib) // 1024


def test_half_of_the_files_are_for_connections() -> None:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert affordable(3) == 3
    if files != resource.RLIM_INFINITY:
        assert affordable(10**9) == files // 2


def test_a_kind_of_trouble_is_said_now_and_then_without_trace_or_path() -> None:
    clock = [0.0]
    rule = NowAndThen(60.0, clock=lambda: clock[0])

    def said(message: str, *arguments: object, error: Exception | None = None) -> str | None:
        trace = None if error is None else (type(error), error, None)
        record = logging.LogRecord("asyncio", logging.ERROR, "/srv/private.py", 1, message, arguments, trace)
        return logging.Formatter().format(record) if rule.filter(record) else None

    error = OSError(24, "Too many open files", "/srv/private")
    first = "socket.accept() out of system resource: OSError (EMFILE)"
    assert said("socket.accept() out of system resource\nsocket: <fd=7>", error=error) == first
    assert said("socket.accept() out of system resource\nsocket: <fd=8>", error=error) is None
    assert said("100%% %s", "other") == "100% other"
    clock[0] = 61.0
    assert said("socket.accept() out of system resource", error=error) == (
        first + " (1 more like it since it was last said)"
    )
    for number in range(1000):
        said(str(number))
    assert len(rule._kinds) == 256
