"""A server that runs an application on a socket, with bounds on connections and on what the log says of them."""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from ragline_serve.service.connections import BoundedConnection, Connections, affordable
from ragline_serve.service.settings import ServeSettings

LOGGERS = ("asyncio", "uvicorn.error", "ragline_serve.service.connections")
"""Who speaks of single connections: strangers make as many of those as they like."""
_MOST_KINDS = 256


class NowAndThen(logging.Filter):
    """Lets the first record of a kind through, and the next one after a while with the number of those between.

    What is left of a record is its first line and the class of its error: asyncio shows sockets, addresses and paths.

    Args:
        interval_s: seconds between two lines of a kind.
        clock: seconds that never run backwards.
    """

    def __init__(self, interval_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._interval_s, self._clock = interval_s, clock
        self._kinds: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now = (record.name, _in_a_line(record)), self._clock()
        next_at, n_held_back = self._kinds.get(kind, (now, 0))
        shown = now >= next_at
        self._kinds[kind] = (now + self._interval_s, 0) if shown else (next_at, n_held_back + 1)
        self._kinds.move_to_end(kind)
        if len(self._kinds) > _MOST_KINDS:
            self._kinds.popitem(last=False)
        more = f" ({n_held_back:,} more like it since it was last said)" if n_held_back else ""
        record.msg, record.args = kind[1] + more, ()
        record.exc_info = record.exc_text = record.stack_info = None
        return shown


@contextmanager
def now_and_then(interval_s: float) -> Iterator[None]:
    rule = NowAndThen(interval_s)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(rule)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(rule)


def _in_a_line(record: logging.LogRecord) -> str:
    line = record.getMessage().partition("\n")[0]
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return line
    number = errno.errorcode.get(error.errno or 0) if isinstance(error, OSError) else None
    return f"{line}: {type(error).__name__}{f' ({number})' if number else ''}"


_ACCEPTED_AT_ONCE = 16
"""Connections that asyncio takes before the first of them can be closed again: several rounds of them need files."""
_QUEUE = 1024
"""Connections that the system keeps until they are taken."""


class BoundedServer(uvicorn.Server):
    """`run(sockets=[listener])` serves until Ctrl-C, or until `should_exit` is set.

    Args:
        log_interval_s: seconds between two lines of the log on the same kind of trouble with connections.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, *, log_interval_s: float = 60.0) -> None:
        places = Connections(
            most=affordable(settings.max_connections),
            head_s=settings.head_timeout_s,
            idle_s=settings.idle_timeout_s,
            reader_s=settings.reader_timeout_s,
        )
        quiet: dict[str, Any] = {"log_config": None, "log_level": "warning", "access_log": False}
        super().__init__(
            uvicorn.Config(
                app,
                http=type("Connection", (BoundedConnection,), {"places": places}),
                ws="none",
                backlog=_ACCEPTED_AT_ONCE,
                server_header=False,
                timeout_graceful_shutdown=5,
                **quiet,
            )
        )
        self._log_interval_s = log_interval_s

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        with now_and_then(self._log_interval_s):
            await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_QUEUE)
