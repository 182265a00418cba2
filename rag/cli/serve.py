"""`rag serve`."""

from __future__ import annotations

import socket
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rag.cli.console import warn
from rag.errors import SpecError
from rag.optional import need
from rag.pipeline import load_pipeline

if TYPE_CHECKING:
    from rag.serve.settings import ServeSettings

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def run(given: Namespace) -> int:
    """Serve a graph over HTTP until Ctrl-C."""
    for module in ("fastapi", "uvicorn"):
        need(module, by="rag serve", extra="serve")
    import uvicorn

    from rag.serve import create_app

    with load_pipeline(given.graph, index=given.index, offline=given.offline) as pipeline:
        app = create_app(pipeline, settings(given))
        with _listening(given.host, given.port) as listener:
            host, port = listener.getsockname()[:2]
            if given.host not in LOOPBACK and not app.state.n_keys:
                warn("rag: without keys, anyone who reaches this address may ask; make one with `rag keys`")
            warn(f"rag: serving {given.graph} at http://{f'[{host}]' if ':' in host else host}:{port} (Ctrl-C ends it)")
            config: dict[str, Any] = {"log_level": "warning", "access_log": False, "server_header": False}
            server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=5, **config))
            with suppress(KeyboardInterrupt):  # uvicorn raises it again when all is shut down
                server.run(sockets=[listener])
    return 0


def settings(given: Namespace) -> ServeSettings:
    """The command line as settings."""
    from rag.serve.settings import ServeSettings

    return ServeSettings(
        model=given.name or Path(given.graph).stem,
        allow_system=given.allow_system,
        keys_file=given.keys,
        sessions_file=given.sessions,
        requests_per_minute=given.rate or None,
        max_batch=given.batch,
        max_streams=given.streams,
        waiting_room=given.waiting,
        max_tokens=given.max_tokens,
        origins=tuple(given.origin),
        hosts=_names(given.host, given.origin),
    )


def _names(host: str, origins: Sequence[str]) -> tuple[str, ...]:
    """What requests may call the server: on a loopback address its own names and those of the origins, else anything."""
    if host not in LOOPBACK:
        return ()
    return (*LOOPBACK, "[::1]", *(urlsplit(origin).hostname or "" for origin in origins))


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        SpecError: the address cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SpecError(f"cannot listen on {host} port {port}: {reason}. Choose another --port or --host.") from None
