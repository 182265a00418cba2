"""`rag mcp`."""

from __future__ import annotations

import socket
import sys
from argparse import Namespace
from contextlib import closing, redirect_stdout
from typing import Any

from rag.cli.console import warn
from rag.errors import SpecError
from rag.optional import need
from rag.pipeline import Pipeline, load_pipeline

LOOPBACK = ("127.0.0.1", "localhost", "::1")
AT_ONCE = 64
"""HTTP requests in work at a time; more are told to come back."""


def run(given: Namespace) -> int:
    """Serve until the client goes away (stdio) or Ctrl-C (HTTP). Whatever is not the protocol goes to stderr."""
    for module in ("mcp", "fastapi", "uvicorn") if given.http else ("mcp",):
        need(module, by="rag mcp", extra="serve")
    from rag.mcp.server import create_server

    with redirect_stdout(sys.stderr):  # stdio's transport guards stdout itself, but only once it runs
        pipeline = load_pipeline(given.graph, index=given.index, offline=given.offline)
    with pipeline:
        if given.http:
            _serve_http(pipeline, given)
        else:
            create_server(pipeline).run("stdio")
    return 0


def _serve_http(pipeline: Pipeline, given: Namespace) -> None:
    import uvicorn

    from rag.mcp.http import create_http_app
    from rag.serve.keys import load_keys

    keys = load_keys(given.keys)
    with closing(listen(given.host, given.port)) as listener:
        pipeline.warm_up()
        if given.host not in LOOPBACK and not len(keys):
            warn("rag: without keys, anyone who reaches this address may ask; make one with `rag keys`")
        warn(f"rag: tools at http://{_shown(given.host)}:{listener.getsockname()[1]}/mcp (Ctrl-C ends this)")
        app = create_http_app(pipeline, host=given.host, keys=keys)
        limits: dict[str, Any] = {"limit_concurrency": AT_ONCE, "timeout_graceful_shutdown": 5}
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, **limits)
        uvicorn.Server(config).run(sockets=[listener])


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def listen(host: str, port: int) -> socket.socket:
    """A socket that waits at this address; port 0 takes a free one.

    Raises:
        SpecError: the address is not this machine's, or another program has the port.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise SpecError(
            f"cannot listen at {host}:{port}: {error.strerror or error}. Choose another --port or --host"
        ) from error
