"""`rag mcp`."""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import closing, redirect_stdout
from typing import TYPE_CHECKING

from rag.cli.console import warn
from rag.cli.listening import address, listen, names, warn_if_open
from rag.core.optional import need
from rag.pipeline import Pipeline, load_pipeline

if TYPE_CHECKING:
    from rag.service.settings import ServeSettings


def run(args: Namespace) -> int:
    """Serve until the client goes away (stdio) or Ctrl-C (HTTP). Whatever is not the protocol goes to stderr."""
    for module in ("mcp", "fastapi", "uvicorn"):
        need(module, by="rag mcp", extra="serve")
    from rag.mcp.server import create_server

    with redirect_stdout(sys.stderr):  # stdio's transport guards stdout itself, but only once it runs
        pipeline = load_pipeline(args.graph, index=args.index, offline=args.offline)
    with pipeline:
        if args.http:
            _serve_http(pipeline, args)
        else:
            create_server(pipeline).run("stdio")
    return 0


def _serve_http(pipeline: Pipeline, args: Namespace) -> None:
    from rag.mcp.http import create_http_app
    from rag.service.keys import load_keys
    from rag.service.running import BoundedServer

    keys, walls = load_keys(args.keys), settings(args)
    with closing(listen(args.host, args.port)) as listener:
        pipeline.warm_up()
        warn_if_open(args.host, len(keys))
        warn(f"rag: tools at {address(listener)}/mcp (Ctrl-C ends this)")
        app = create_http_app(pipeline, host=args.host, keys=keys, settings=walls)
        BoundedServer(app, walls).run(sockets=[listener])


def settings(args: Namespace) -> ServeSettings:
    """The command line as the settings of the walls in front of the tools."""
    from rag.service.settings import ServeSettings

    return ServeSettings(
        requests_per_minute=args.rate or None,
        max_connections=args.connections,
        origins=tuple(args.origin),
        hosts=names(args.host, args.origin),
    )
