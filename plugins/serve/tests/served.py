"""A real server on a free port of this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ragline_serve.commands.listening import listen
from ragline_serve.service.running import BoundedServer
from ragline_serve.service.settings import ServeSettings


class Served:
    """A running server: its address, and a way to end it early."""

    def __init__(self, server: Any, listening: socket.socket) -> None:
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._server = server
        self._thread = threading.Thread(target=lambda: server.run(sockets=[listening]), name="test-server")
        self._thread.start()

    def end(self) -> None:
        self._server.should_exit = True
        self._thread.join()


@contextmanager
def served(app: Any, settings: ServeSettings | None = None) -> Iterator[Served]:
    """Run an application on a free port of this machine until the block ends, as the commands do.

    The socket listens before the server runs, so a first request waits instead of being refused.
    """
    with listen("127.0.0.1", 0) as listening:
        running = Served(BoundedServer(app, settings or ServeSettings()), listening)
        try:
            yield running
        finally:
            running.end()
