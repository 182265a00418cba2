"""The layers around the application: what no request gets past, and what no response goes without.

Each is plain ASGI and knows no endpoint. From the outside in: requests are counted; headers tell browsers to load
nothing from elsewhere; a last resort turns what nobody caught into the one form of error; requests of two lengths and
foreign origins and hosts are refused; then key, rate and size are checked, in the order of what they cost. `walled` puts
them around any application.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag import Asker
from ragline_serve.service.askers import asker_in
from ragline_serve.service.gather import Overloaded
from ragline_serve.service.keys import Keys, bearer
from ragline_serve.service.limits import (
    Freed,
    Held,
    NoRoom,
    RequestRate,
    TooLarge,
    TooSlow,
    address_of,
    drop_rest,
    whole_body,
)
from ragline_serve.service.metrics import MeasuredApp, Metrics
from ragline_serve.service.replies import ApiError, explained
from ragline_serve.service.settings import ServeSettings
from ragline_serve.service.unavailable import ClientGone

logger = logging.getLogger(__name__)

HEADERS = {
    b"content-security-policy": b"default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; base-uri 'none'; "
    b"frame-ancestors 'none'; object-src 'none'",  # blob: a script of ours fetched it, with the reader's key
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}
"""Of every response that does not say otherwise itself."""
_OPEN = ("/", "/health", "/ready")
_OPEN_FOLDERS = ("/page/",)
_RETRY_AFTER_S = 1
FILES = "/v1/files"
"""Where files are brought."""
_DROPPED, _DROPS_S = 4, 2.0
"""Of a body that is too large: how many times the most there may be is read on and dropped, and for how long."""
_BODILESS = ("GET", "HEAD", "OPTIONS")


def surround(app: FastAPI, settings: ServeSettings, *, keys: Keys, metrics: Metrics) -> None:
    """Put the layers around an application of FastAPI's: the first one added is the innermost."""
    app.add_middleware(walled, settings=settings, keys=keys)
    app.add_middleware(MeasuredApp, metrics=metrics)


def walled(app: ASGIApp, *, settings: ServeSettings, keys: Keys) -> ASGIApp:
    """An application behind all walls that know no endpoint."""
    app = SizeWall(
        app,
        max_bytes=settings.max_request_bytes,
        max_held_bytes=settings.max_held_bytes,
        timeout_s=settings.request_timeout_s,
        max_file_bytes=None if settings.uploads is None else settings.max_file_bytes,
    )
    if settings.requests_per_minute is not None:
        app = RateWall(app, rate=RequestRate(per_minute=settings.requests_per_minute))
    app = KeyWall(app, keys=keys, asker_header=settings.asker_header)
    if settings.origins:
        app = CORSMiddleware(
            app,
            allow_origins=settings.origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            expose_headers=("Retry-After",),
        )
    return SafeHeaders(LastResort(OneLength(SameOrigin(app, origins=settings.origins, hosts=settings.hosts))))


class Layer:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app


class LastResort(Layer):
    """Answers 500 in the usual form where everything else failed. The log learns the class of the error alone.

    It does not raise further, or the server's own log would print a trace, with paths and what was asked.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except (ClientGone, ClientDisconnect):
            return
        except Exception as error:
            logger.error("a request failed where nothing should: %s", type(error).__name__)
            if not started:  # else the server ends the connection, for the response is not whole
                refusal = ApiError(500, "The server failed at this request.", code="internal_error")
                await refusal.reply()(scope, receive, send)


class SafeHeaders(Layer):
    """Adds the headers above where a response does not set them."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                more = [(name, value) for name, value in HEADERS.items() if name not in names]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self._app(scope, receive, send_with_headers)


class Wall(Layer):
    """Refuses a request over HTTP by its head, or lets it pass."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self.refusal(scope) if scope["type"] == "http" else None
        await (self._app if refusal is None else refusal.reply())(scope, receive, send)

    def refusal(self, scope: Scope) -> ApiError | None:
        """What is told in the place of an answer; None lets the request pass."""
        raise NotImplementedError


class OneLength(Wall):
    """Refuses a request that says its length in two ways, and ends its connection (RFC 9112, 6.1).

    A proxy in front may have believed the other one: what follows could be another client's request.
    """

    def refusal(self, scope: Scope) -> ApiError | None:
        lengths = {name for name, _ in scope["headers"]} & {b"content-length", b"transfer-encoding"}
        what = "Give Content-Length or Transfer-Encoding, not both."
        return _refused(400, what, "two_lengths") if len(lengths) > 1 else None


class SameOrigin(Wall):
    """Refuses pages of other sites, which a browser would let send requests though not read the answers.

    Args:
        origins: other origins that may ask, such as https://chat.example.org.
        hosts: names that the server goes by; empty takes any. On a loopback address its own names should be given: else
            a site can point a name of its own there and pass for the same origin (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, *, origins: Collection[str] = (), hosts: Collection[str] = ()) -> None:
        super().__init__(app)
        self._origins, self._hosts = frozenset(origins), frozenset(host.lower() for host in hosts)

    def refusal(self, scope: Scope) -> ApiError | None:
        host, origin = _header(scope, b"host"), _header(scope, b"origin")
        if self._hosts and _without_port(host) not in self._hosts:
            return ApiError(421, "This server does not go by that name. Ask at its own address.", code="unknown_host")
        if origin and origin not in self._origins and not _names(origin, host):
            return ApiError(403, "Pages of this origin may not ask here.", code="foreign_origin")
        return None


class KeyWall(Wall):
    """Lets nobody without a key past, except to the page and to health; says whose request it is.

    `request.state.owner` is the hash of the key, or empty where the server has no keys; `request.state.asker` whom the
    key is for, else whom the proxy's header names (`ragline_serve.service.askers`), else None. `request.state.writes`: whether the
    key may change documents, and `request.state.writer` for whom: where a header says who asks and is missing, for nobody
    in particular, and None, for whoever keeps the index, where none was named.
    """

    def __init__(self, app: ASGIApp, *, keys: Keys, asker_header: str | None = None) -> None:
        super().__init__(app)
        self._keys, self._asker_header = keys, asker_header

    def refusal(self, scope: Scope) -> ApiError | None:
        key = bearer(scope["headers"])
        known = self._keys.known(key) if key is not None else None
        if known is None and len(self._keys) and not _is_open(scope):
            what = "Give a key: Authorization: Bearer KEY." if key is None else "This key is not known here."
            return ApiError(401, what, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        asker = known.asker if known is not None else None
        try:
            asker = asker or asker_in(scope["headers"], self._asker_header)
        except ApiError as refusal:
            return refusal
        writes = known is not None and known.writes
        owner = known.owner if known is not None else ""
        writer = asker or (None if self._asker_header is None else Asker())
        scope.setdefault("state", {}).update(owner=owner, asker=asker, writes=writes, writer=writer)
        return None


class RateWall(Wall):
    """Holds each key, or each address without keys, to a number of requests per minute. Page and health are free."""

    def __init__(self, app: ASGIApp, *, rate: RequestRate) -> None:
        super().__init__(app)
        self._rate = rate

    def refusal(self, scope: Scope) -> ApiError | None:
        caller = scope.get("state", {}).get("owner") or address_of(scope.get("client"))
        wait_s = 0 if _is_open(scope) else self._rate.wait_s(caller)
        what, headers = f"Too many requests; the next may come in {wait_s} s.", {"Retry-After": str(wait_s)}
        return ApiError(429, what, code="rate_limit_exceeded", headers=headers) if wait_s else None


class SizeWall:
    """Reads a request's body before anything else does, and refuses one that is too large or too slow to come.

    One that finds no room beside those that are being read and answered is told to come back. `max_file_bytes`: most of a
    file that is brought; unset, it is a request like others.
    """

    def __init__(
        self, app: ASGIApp, *, max_bytes: int, max_held_bytes: int, timeout_s: float, max_file_bytes: int | None = None
    ) -> None:
        self._app, self._max_bytes, self._timeout_s = app, max_bytes, timeout_s
        self._max_file_bytes = max_file_bytes or max_bytes
        self._held, self._freed = Held(max_held_bytes), Freed()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _BODILESS:
            await self._app(scope, receive, send)
            return
        taken = 0

        def take(n_bytes: int) -> None:
            nonlocal taken
            self._held.take(n_bytes)
            taken += n_bytes

        try:
            await self._within(take, scope, receive, send)
        finally:
            self._held.give_back(taken)
            self._freed.add(taken)

    async def _within(self, take: Callable[[int], None], scope: Scope, receive: Receive, send: Send) -> None:
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), None)
        most = self._max_file_bytes if _path(scope) == FILES else self._max_bytes
        limits: dict[str, Any] = {"max_bytes": most, "timeout_s": self._timeout_s}
        incoming = receive
        try:
            receive = await whole_body(receive, declared=declared, take=take, **limits)
        except NoRoom:
            refusal = _refused(503, "The server holds as many requests as it can. Try again later.", "overloaded")
            refusal.headers["Retry-After"] = str(_RETRY_AFTER_S)
        except TooLarge:
            if not _header(scope, b"expect"):  # who asked first sends nothing more
                await drop_rest(incoming, max_bytes=_DROPPED * most, timeout_s=_DROPS_S)
            refusal = _refused(413, f"A request may have {most:,} bytes.", "request_too_large")
        except TooSlow:
            refusal = _refused(408, f"The request was not whole after {self._timeout_s:g} s.", "request_timeout")
        else:
            await self._app(scope, receive, send)
            return
        await refusal.reply()(scope, receive, send)


class BusyWall:
    """Lets a number of requests in at a time and tells the others when to come back.

    For applications without waiting rooms of their own. A GET is not counted: it may be a stream that stays open.
    """

    def __init__(self, app: ASGIApp, *, at_once: int) -> None:
        self._app, self._free = app, at_once

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _BODILESS:
            await self._app(scope, receive, send)
        elif not self._free:
            await explained(Overloaded(_RETRY_AFTER_S)).reply()(scope, receive, send)
        else:
            self._free -= 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._free += 1


def _refused(status: int, message: str, code: str) -> ApiError:
    """A refusal after which the connection ends: what follows on it is the rest of a body, or may be."""
    close: Mapping[str, Any] = {"Connection": "close"}
    return ApiError(status, message, code=code, headers=close)


def _is_open(scope: Scope) -> bool:
    path = _path(scope)
    return path in _OPEN or path.startswith(_OPEN_FOLDERS)


def _path(scope: Scope) -> str:
    """The path below that of the application that this one is mounted in."""
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path or "/"


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _names(origin: str, host: str) -> bool:
    """Whether an origin is this host. What is no address names nobody: http://[ cannot even be taken apart."""
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _without_port(host: str) -> str:
    name, separator, port = host.lower().rpartition(":")
    return name if separator and port.isdigit() else host.lower()
