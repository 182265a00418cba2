"""A server that runs an application on a socket, with bounds on connections and on what the log says of them."""

from __future__ import annotations

import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from ragline_serve.service.connections import BoundedConnection, Connections, affordable
from ragline_serve.service.settings import ServeSettings
from ragline_serve.service.troubles import now_and_then

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
