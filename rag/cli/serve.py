"""`rag serve`."""

from __future__ import annotations

from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli.console import warn
from rag.cli.listening import address, listen, names, warn_if_open
from rag.core.optional import need
from rag.pipeline import load_pipeline

if TYPE_CHECKING:
    from rag.service.settings import ServeSettings


def run(given: Namespace) -> int:
    """Serve a graph over HTTP until Ctrl-C."""
    for module in ("fastapi", "uvicorn"):
        need(module, by="rag serve", extra="serve")
    import uvicorn

    from rag.serve import create_app

    with load_pipeline(given.graph, index=given.index, offline=given.offline) as pipeline:
        app = create_app(pipeline, settings(given))
        with listen(given.host, given.port) as listener:
            warn_if_open(given.host, app.state.n_keys)
            warn(f"rag: serving {given.graph} at {address(listener)} (Ctrl-C ends it)")
            config: dict[str, Any] = {"log_level": "warning", "access_log": False, "server_header": False}
            server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=5, **config))
            with suppress(KeyboardInterrupt):  # uvicorn raises it again when all is shut down
                server.run(sockets=[listener])
    return 0


def settings(given: Namespace) -> ServeSettings:
    """The command line as settings."""
    from rag.service.settings import ServeSettings

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
        hosts=names(given.host, given.origin),
    )
