from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plugins.serve.tests.served import served
from rag.core.errors import SpecError
from rag.pipeline import load_pipeline
from ragline_serve import ServeSettings, create_app
from ragline_serve.service.limits import RequestRate, TooLarge, TooSlow, address_of, whole_body
from ragline_serve.service.unavailable import ClientGone
from ragline_serve.service.walls import RateWall, SizeWall
from tests.scripted_graph import graph

Asked = tuple[int, dict[str, str], bytes]


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def test_a_minutes_worth_at_once_then_evenly() -> None:
    clock = Clock()
    rate = RequestRate(per_minute=6, clock=clock)
    assert [rate.wait_s("ada") for _ in range(7)] == [0, 0, 0, 0, 0, 0, 10]
    clock.now += 9.5
    assert rate.wait_s("ada") == 1
    clock.now += 0.5
    assert [rate.wait_s("ada"), rate.wait_s("ada")] == [0, 10]
    clock.now += 600
    assert [rate.wait_s("ada") for _ in range(7)] == [0, 0, 0, 0, 0, 0, 10], "a pause saves up one minute, no more"


def test_a_refusal_costs_nothing_and_waiting_as_told_is_enough() -> None:
    for per_minute in (1, 7, 60, 999):
        clock = Clock()
        rate = RequestRate(per_minute=per_minute, clock=clock)
        for _ in range(per_minute):
            assert rate.wait_s("ada") == 0
        waits = [rate.wait_s("ada") for _ in range(50)]
        assert len(set(waits)) == 1
        clock.now += waits[0]
        assert rate.wait_s("ada") == 0


def test_callers_do_not_share_a_rate_and_few_are_remembered() -> None:
    clock = Clock()
    rate = RequestRate(per_minute=1, max_callers=2, clock=clock)
    assert [rate.wait_s(name) for name in ("ada", "bob", "ada", "bob")] == [0, 0, 60, 60]
    assert rate.wait_s("eve") == 0
    assert len(rate._paid_at) == 2
    assert [rate.wait_s("bob"), rate.wait_s("eve")] == [60, 60]


def test_threads_get_no_more_than_the_rate() -> None:
    rate = RequestRate(per_minute=50, clock=Clock())
    ready = threading.Barrier(8)

    def ask(_: int) -> int:
        ready.wait(120)
        return sum(rate.wait_s("ada") == 0 for _ in range(25))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 50


def test_rates_are_checked() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0 and 10000"):
        RequestRate(per_minute=0)
    with pytest.raises(ValueError, match="at least 1"):
        RequestRate(per_minute=1, max_callers=0)


@pytest.mark.parametrize(
    ("client", "caller"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:0:1:aaaa::1", 1), "2001:db8:0:1::/64"),
        (("2001:db8:0:1:bbbb::2", 9), "2001:db8:0:1::/64"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("made up", 1), ""),
        (("192.0.2.7, 198.51.100.1", 1), ""),
        (None, ""),
    ],
)
def test_a_caller_is_its_address_or_its_network(client: tuple[str, int] | None, caller: str) -> None:
    assert address_of(client) == caller


def coming(*parts: bytes, more: bool = False) -> Receive:
    """A body that comes in these parts; then the client leaves."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages[-1]["more_body"] = more
    left = iter(messages)

    async def receive() -> Message:
        return next(left, {"type": "http.disconnect"})

    return receive


def read(receive: Receive, *, declared: bytes | None = None, max_bytes: int = 10) -> list[Message]:
    async def all_of_it() -> list[Message]:
        whole = await whole_body(receive, declared=declared, max_bytes=max_bytes, timeout_s=60)
        return [await whole(), await whole()]

    return asyncio.run(all_of_it())


@pytest.mark.parametrize("parts", [(b"",), (b"0123456789",), (b"01", b"", b"23456789"), (b"0",) * 10])
def test_a_body_within_the_limit_comes_in_one_piece(parts: tuple[bytes, ...]) -> None:
    assert read(coming(*parts)) == [
        {"type": "http.request", "body": b"".join(parts), "more_body": False},
        {"type": "http.disconnect"},
    ]


@pytest.mark.parametrize("declared", [None, b"3", b"-1", b"nonsense", b""])
def test_a_body_is_counted_whatever_its_header_says(declared: bytes | None) -> None:
    came = 0

    async def endless() -> Message:
        nonlocal came
        came += 1
        return {"type": "http.request", "body": b"four", "more_body": True}

    with pytest.raises(TooLarge):
        read(endless, declared=declared)
    assert came == 3


@pytest.mark.parametrize("declared", [b"11", b"9" * 5000])
def test_a_declared_excess_is_refused_before_a_byte_is_read(declared: bytes) -> None:
    async def never() -> Message:
        raise AssertionError("read")

    with pytest.raises(TooLarge):
        read(never, declared=declared)


def test_a_client_that_leaves_or_stalls_holds_nothing() -> None:
    with pytest.raises(ClientGone):
        read(coming(b"0", more=True))

    async def stalls() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    with pytest.raises(TooSlow):
        asyncio.run(whole_body(stalls, declared=None, max_bytes=10, timeout_s=0.001))


@pytest.mark.parametrize(
    "body",
    [
        b"Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n",
        b"Content-Length: 1000000000\r\n\r\n",
    ],
)
def test_a_real_server_refuses_before_the_body_has_ended(index: Path, body: bytes) -> None:
    with load_pipeline(graph(), index=index) as pipeline:
        app = create_app(pipeline, ServeSettings(max_request_bytes=10))
        with served(app) as server, socket.create_connection(("127.0.0.1", urlsplit(server.url).port)) as sending:
            sending.settimeout(60)
            sending.sendall(b"POST /v1/search HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n" + body)
            told = b""
            while more := sending.recv(65536):
                told += more
    assert told.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"request_too_large"' in told


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message.get("body", b"")})


def ask(app: ASGIApp, receive: Receive | None = None, **scope: Any) -> Asked:
    """What an application answers: status, headers, body."""
    given: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/search", "headers": []}
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(given | scope, receive or coming(b"question"), send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


def test_a_large_request_is_refused_in_the_usual_form() -> None:
    app = SizeWall(echo, max_bytes=10, max_held_bytes=100, timeout_s=60)
    assert ask(app, coming(b"0123456789"))[0::2] == (200, b"0123456789")
    status, headers, body = ask(app, coming(b"0123456789", b"0"))
    assert (status, headers["connection"]) == (413, "close")
    assert b'"code":"request_too_large"' in body
    assert ask(app, headers=[(b"content-length", b"11")])[0] == 413
    stalled = SizeWall(echo, max_bytes=10, max_held_bytes=100, timeout_s=0.001)

    async def stalls() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    assert ask(stalled, stalls)[0] == 408
    assert ask(app, coming(b"0123456789", b"0"), method="GET")[0] == 200, "nothing reads what a GET carries"


def test_requests_that_are_held_leave_no_room_for_more_until_they_are_answered() -> None:
    """Bytes count as they come, from the first piece to the end of the answer, whatever comes of it."""
    inner: list[Asked] = []

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if not inner:
            inner.append(await asyncio.to_thread(ask, app, coming(b"0123", b"45")))
        raise KeyError("after the body")

    app = SizeWall(fails, max_bytes=10, max_held_bytes=15, timeout_s=60)
    for _ in range(3):
        inner.clear()
        with pytest.raises(KeyError):
            ask(app, coming(b"0123456789"))
    status, headers, body = inner[0]
    assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
    assert b'"code":"overloaded"' in body


def test_a_request_of_full_size_must_fit() -> None:
    with pytest.raises(SpecError, match="max_held_bytes must be at least max_request_bytes"):
        ServeSettings(max_request_bytes=11, max_held_bytes=10)


def test_who_asks_too_often_is_told_when_to_come_back() -> None:
    clock = Clock()
    app = RateWall(echo, rate=RequestRate(per_minute=2, clock=clock))
    client = {"client": ("192.0.2.7", 1)}
    assert [ask(app, **client)[0] for _ in range(2)] == [200, 200]
    status, headers, body = ask(app, **client)
    assert (status, headers["retry-after"]) == (429, "30")
    assert b'"code":"rate_limit_exceeded"' in body
    assert ask(app, client=("192.0.2.8", 1))[0] == 200
    assert ask(app, **client, state={"owner": "ada"})[0] == 200, "a key has a rate of its own, wherever it asks from"
    for path in ("/", "/health", "/ready", "/page/page.css"):
        assert ask(app, path=path, method="GET", **client)[0] == 200
    assert ask(app, path="/metrics", method="GET", **client)[0] == 429
    clock.now += 30
    assert ask(app, **client)[0] == 200


def test_other_kinds_of_scope_pass() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    walls: list[Callable[[ASGIApp], ASGIApp]] = [
        lambda inner: SizeWall(inner, max_bytes=1, max_held_bytes=1, timeout_s=1),
        lambda inner: RateWall(inner, rate=RequestRate(per_minute=1)),
    ]
    for wall in walls:
        asyncio.run(wall(app)({"type": "lifespan"}, coming(b""), _silent))
    assert seen == ["lifespan", "lifespan"]


async def _silent(message: Message) -> None:
    raise AssertionError(message)
