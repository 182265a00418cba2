"""Open connections of a server: how many there may be, and how long each may keep it waiting.

A connection waits for us while a request that came whole is in work; all others keep us waiting: silent ones, half a
head, half a body, kept ones between two requests. Those have deadlines, and when all places are taken the one of them
that began longest ago makes room.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import resource
from dataclasses import dataclass, field
from typing import Any

from h11 import LocalProtocolError
from h11._receivebuffer import ReceiveBuffer
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from ragline_serve.service.replies import ApiError

logger = logging.getLogger(__name__)

_RETRY_AFTER_S = 1

_LOOSE = re.compile(rb"(?<!\r)\n|\n[ \t]")


@dataclass(slots=True)
class Connections:
    """The places of one server. Use it from one event loop.

    Args:
        most: open connections at a time.
        head_s: seconds in which the head of a request must be whole, from its first byte; of the first request, from
            the opening of the connection.
        idle_s: seconds for which a connection is kept open between two requests.
        reader_s: seconds for which a client may take nothing of a reply.
    """

    most: int
    head_s: float
    idle_s: float
    reader_s: float
    waiting: dict[BoundedConnection, None] = field(default_factory=dict)
    """Connections that keep us waiting, the longest first."""
    open: set[BoundedConnection] = field(default_factory=set)

    def enter(self, connection: BoundedConnection) -> bool:
        """Give a new connection a place, if need be that of the one that has kept us waiting longest."""
        if len(self.open) >= self.most:
            oldest = next(iter(self.waiting), None)
            if oldest is None:
                logger.warning("all %d connections are in use: new ones are refused", self.most)
                return False
            logger.warning("all %d connections are in use: those that say nothing are closed for new ones", self.most)
            self.leave(oldest)
            oldest.transport.abort()
        self.open.add(connection)
        self.waiting[connection] = None
        return True

    def leave(self, connection: BoundedConnection) -> None:
        self.open.discard(connection)
        self.waiting.pop(connection, None)


class _StrictLines(ReceiveBuffer):
    """The head of a request, for the parser h11: a line of a head that ends without CR, or goes on in the next line, is refused.

    Both are read differently by different programs, so a proxy in front may have seen another request (RFC 9112, 2.2 and
    5.2). The parser itself takes both, and has no setting for it.
    """

    _in_head = False

    def maybe_extract_lines(self) -> list[bytearray] | None:
        self._in_head = True
        try:
            return super().maybe_extract_lines()
        finally:
            self._in_head = False

    def _extract(self, count: int) -> bytearray:
        taken = super()._extract(count)
        if self._in_head and _LOOSE.search(taken):
            raise LocalProtocolError("a line of a head ends with CR LF, and is whole")
        return taken


class BoundedConnection(H11Protocol):
    """One connection, with a place among the others and with deadlines."""

    places: Connections

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn._receive_buffer = _StrictLines()
        self._deadline: asyncio.TimerHandle | None = None
        self._awaits_head = False
        self._reader_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.places.enter(self):
            self._expect_head()
        else:
            transport.write(_NO_PLACE)
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.places.leave(self)
        self._expect_nothing()
        self._reader_is_back()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._request_is_whole:
            self.places.waiting.pop(self, None)
            self._expect_nothing()
        elif self._request_is_open:
            self._expect_nothing()  # the body has a deadline of its own, which can answer 408
        elif not self._awaits_head:
            self._expect_head()

    def send_400_response(self, msg: str) -> None:
        """Tell what was no request so, in the usual form of errors, unless an answer has begun; and end the connection."""
        if self._request_is_open:
            begun = self.cycle.response_started
            self.cycle.disconnected = True  # nothing of it may follow on what is written here
            self.cycle.message_event.set()
            if begun:
                self.transport.abort()
                return
        self.transport.write(_MALFORMED)
        self._close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            self._close()
        elif not self._request_is_whole and self in self.places.open:
            self.places.waiting.setdefault(self)
            if not self._request_is_open:
                self._expect_nothing()
                self._deadline = self.loop.call_later(self.places.idle_s, self._close)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reader_is_back()

    @property
    def _request_is_open(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _request_is_whole(self) -> bool:
        return self._request_is_open and not self.cycle.more_body

    def _expect_head(self) -> None:
        self._expect_nothing()
        self._awaits_head = True
        self._deadline = self.loop.call_later(self.places.head_s, self._close)

    def _expect_nothing(self) -> None:
        self._awaits_head = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expect_reader(self) -> None:
        if self._reader_deadline is None:
            self._reader_deadline = self.loop.call_later(self.places.reader_s, self.transport.abort)

    def _reader_is_back(self) -> None:
        if self._reader_deadline is not None:
            self._reader_deadline.cancel()
            self._reader_deadline = None

    def _close(self) -> None:
        """Close once what was written is read, and that has a deadline too."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._expect_reader()


def affordable(most: int) -> int:
    """So many connections, or half of the files that this process may open: the rest are for indexes and models."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if files == resource.RLIM_INFINITY else max(1, min(most, files // 2))


def _written(error: ApiError) -> bytes:
    """A reply that no application is asked for, and that ends its connection."""
    body = json.dumps(error.as_dict()).encode("ascii")
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
        **error.headers,
    }
    lines = [f"HTTP/1.1 {error.status} {STATUS_PHRASES[error.status].decode()}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


_NO_PLACE = _written(
    ApiError(
        503,
        "The server has no connection left. Try again later.",
        code="overloaded",
        headers={"Retry-After": str(_RETRY_AFTER_S)},
    )
)
_MALFORMED = _written(
    ApiError(
        400,
        "This is no request of HTTP/1.1: its head is malformed or too large, or its body is not as its head says. Each"
        " line of a head ends with CR LF, and none goes on in the next.",
        code="malformed_request",
    )
)
