"""`rag serve`."""

from __future__ import annotations

from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rag.cli.console import warn
from rag.cli.listening import address, listen, names, warn_if_open
from rag.core.optional import need
from rag.pipeline import load_pipeline

if TYPE_CHECKING:
    from rag.service.settings import ServeSettings


def run(args: Namespace) -> int:
    """Serve a graph over HTTP until Ctrl-C."""
    for module in ("fastapi", "uvicorn"):
        need(module, by="rag serve", extra="serve")
    from rag.serve import create_app
    from rag.service.running import BoundedServer

    with load_pipeline(args.graph, index=args.index, offline=args.offline) as pipeline:
        limits = settings(args)
        app = create_app(pipeline, limits)
        with listen(args.host, args.port) as listener:
            warn_if_open(args.host, app.state.n_keys)
            warn(f"rag: serving {args.graph} at {address(listener)} (Ctrl-C ends it)")
            with suppress(KeyboardInterrupt):  # uvicorn raises it again when all is shut down
                BoundedServer(app, limits).run(sockets=[listener])
    return 0


def settings(args: Namespace) -> ServeSettings:
    """The command line as settings."""
    from rag.service.settings import ServeSettings

    return ServeSettings(
        model=args.name or Path(args.graph).stem,
        allow_system=args.allow_system,
        keys_file=args.keys,
        sessions_file=args.sessions,
        requests_per_minute=args.rate or None,
        max_batch=args.batch,
        max_streams=args.streams,
        waiting_room=args.waiting,
        max_tokens=args.max_tokens,
        origins=tuple(args.origin),
        hosts=names(args.host, args.origin),
    )
