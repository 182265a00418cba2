"""Requests that no client would make, byte by byte on a real server: each is answered or refused, and the next one works."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from plugins.serve.tests.asking import DEADLINE_S
from plugins.serve.tests.served import served
from plugins.serve.tests.walled import MODEL
from rag.pipeline import load_pipeline
from ragline_serve import ServeSettings, create_app
from tests.scripted_graph import graph

HOST = b"Host: 127.0.0.1\r\n"
JSON = b"Content-Type: application/json\r\n"
GOOD = json.dumps({"query": "warranty"}).encode()
HEALTH = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
MOST_BYTES = 2_000_000


@pytest.fixture(scope="module")
def url(index: Path) -> Iterator[str]:
    settings = ServeSettings(model=MODEL, requests_per_minute=None, head_timeout_s=2.0, max_request_bytes=MOST_BYTES)
    with load_pipeline(graph(), index=index) as pipeline, served(create_app(pipeline, settings), settings) as running:
        yield running.url


def search(*headers: bytes, body: bytes = b"") -> bytes:
    return b"POST /v1/search HTTP/1.1\r\n" + HOST + JSON + b"".join(h + b"\r\n" for h in headers) + b"\r\n" + body


def sent(url: str, said: bytes, *, hang_up: bool = True) -> bytes:
    """All that the server says to these bytes until it ends the connection; `hang_up`: after them no more will follow."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=DEADLINE_S) as connection:
        try:
            connection.sendall(said)
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
        except OSError:  # it had enough before all was sent
            pass
        pieces = []
        try:
            while piece := connection.recv(65536):
                pieces.append(piece)
        except ConnectionResetError:
            pass
    return b"".join(pieces)


def statuses(reply: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", reply)]


@pytest.mark.parametrize(
    "said",
    [
        b"\x00\xff\xfe" * 100,
        b"\r\n" * 50_000,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: 1\r\n" % n for n in range(50_000)) + b"\r\n",
        b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        search(b"Content-Length: -5", body=GOOD),
        search(b"Content-Length: +5", body=GOOD),
        search(b"Content-Length: 1e3", body=GOOD),
        search(b"Content-Length: " + b"9" * 5_000, body=GOOD),
        search(b"Content-Length: 5", b"Content-Length: 6", body=GOOD),
        search(b"Transfer-Encoding: chunked", body=b"zz\r\n" + GOOD),
        search(b"Transfer-Encoding: chunked", body=b"-5\r\nhello\r\n0\r\n\r\n"),
        search(b"Transfer-Encoding: chunked", body=b"ffffffffffffffffffff\r\n" + GOOD),
        search(b"Transfer-Encoding: chunked", body=b"5\r\n{}"),
        search(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
        search(b"Content-Length: 500", body=GOOD),
        search(b"Content-Length : %d" % len(GOOD), body=GOOD),
        search(b"Content-Length: %d" % len(GOOD), b" folded: x", body=GOOD),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /health HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ],
    ids=lambda said: repr(said[:24] + said[-24:]),
)
def test_a_malformed_request_never_fails_inside_and_the_next_one_is_answered(url: str, said: bytes) -> None:
    assert all(status < 500 for status in statuses(sent(url, said)))
    assert statuses(sent(url, HEALTH)) == [200]


@pytest.mark.parametrize("length", [b"-5", b"+5", b"1e3"])
def test_a_length_that_is_no_number_is_refused(url: str, length: bytes) -> None:
    assert statuses(sent(url, search(b"Content-Length: " + length, body=GOOD))) == [400]


@pytest.mark.parametrize(
    "said",
    [
        HEALTH.replace(b"\r\n", b"\n"),
        b"GET /health HTTP/1.1\n" + HOST + b"\r\n",
        b"GET /health HTTP/1.1\r\n" + HOST + b"X: 1\n\r\n",
        b"GET /health HTTP/1.1\r\n" + HOST + b"\n",
        b"GET /health HTTP/1.1\r\n" + HOST + b"X: 1\r\n folded\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + HOST + b"X: 1\r\n\tfolded\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + HOST + b"X: a\rY: b\r\n\r\n",
        search(b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\nX: 1\n\r\n"),
    ],
    ids=lambda said: repr(said[-24:]),
)
def test_a_line_that_ends_without_cr_or_goes_on_in_the_next_is_refused(url: str, said: bytes) -> None:
    """A proxy in front may read such a head otherwise, and the rest of it as another client's request."""
    assert statuses(sent(url, said)) == [400]
    assert statuses(sent(url, HEALTH + said)) == [200, 400], "also of a connection that was used before"


def test_a_head_that_comes_byte_by_byte_is_held_to_the_same(url: str) -> None:
    place = urlsplit(url)
    for said, status in ((HEALTH, 200), (HEALTH.replace(b"\r\n", b"\n"), 400)):
        with socket.create_connection((place.hostname, place.port), timeout=DEADLINE_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(len(said)):
                connection.sendall(said[at : at + 1])
            assert statuses(connection.recv(65536)) == [status]


def test_lines_of_a_body_end_as_they_like(url: str) -> None:
    body = b'{\n "query":\n "warranty"\r\n}'
    said = search(b"Content-Length: %d" % len(body), b"Connection: close", body=body)
    assert statuses(sent(url, said, hang_up=False)) == [200]


@pytest.mark.parametrize(
    "said",
    [
        b"\x00\xff\xfe" * 100,
        b"GET\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 200_000,
        search(b"Transfer-Encoding: chunked", body=b"zz\r\n" + GOOD),
    ],
    ids=["noise", "no target", "long head", "no chunk"],
)
def test_what_is_no_request_is_refused_in_the_form_of_errors(url: str, said: bytes) -> None:
    head, _, body = sent(url, said).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Content-Type: application/json\r\n" in head
    assert b"Connection: close" in head
    assert int(re.findall(rb"Content-Length: (\d+)", head)[0]) == len(body)
    told = json.loads(body)["error"]
    assert told["code"] == "malformed_request"
    assert told["type"] == "invalid_request_error"
    assert "CR LF" in told["message"]


def test_a_length_and_chunks_together_smuggle_nothing(url: str) -> None:
    """Whichever of both counts for a proxy in front, no second request may be read out of the first one's body."""
    hidden = b"GET /hidden HTTP/1.1\r\n" + HOST + b"\r\n"
    twofold = search(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + hidden)
    for said in (twofold, twofold.replace(b"POST /v1/search", b"GET /health")):
        reply = sent(url, said, hang_up=False)
        assert statuses(reply) == [400]
        assert b"two_lengths" in reply


def test_pipelined_requests_are_answered_in_their_order(url: str) -> None:
    one = search(b"Content-Length: %d" % len(GOOD), body=GOOD)
    none = b"GET /none HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    reply = sent(url, HEALTH + one + HEALTH + none, hang_up=False)
    assert statuses(reply) == [200, 200, 200, 404]
    assert reply.index(b'"status":"ok"') < reply.index(b'"hits"')


def test_good_chunks_are_read(url: str) -> None:
    chunks = b"".join(b"1;note=x\r\n%c\r\n" % byte for byte in GOOD) + b"0\r\nTrailer: x\r\n\r\n"
    said = search(b"Transfer-Encoding: chunked", b"Connection: close", body=chunks)
    assert statuses(sent(url, said, hang_up=False)) == [200]


@pytest.mark.parametrize("declares", [True, False])
def test_who_sends_all_of_a_body_that_is_too_large_still_hears_why(url: str, declares: bool) -> None:
    body = json.dumps({"query": "a" * 3 * MOST_BYTES}).encode()
    said = (
        search(b"Content-Length: %d" % len(body), body=body)
        if declares
        else search(b"Transfer-Encoding: chunked", body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    )
    for _ in range(5):
        reply = sent(url, said)
        assert statuses(reply) == [413]
        assert b"request_too_large" in reply
