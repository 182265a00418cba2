"""The tools over streamable HTTP, behind the same walls as `rag serve`."""

from __future__ import annotations

from starlette.types import ASGIApp

from rag.mcp.server import create_server
from rag.pipeline import Pipeline
from rag.serve.keys import Keys
from rag.serve.walls import KeyWall, SameOrigin


def create_http_app(pipeline: Pipeline, *, host: str, keys: Keys) -> ASGIApp:
    """An ASGI application that answers at /mcp. It keeps nothing between requests, so several may serve side by side.

    Args:
        host: the address that it is reached at. On a loopback address requests must also name one, whatever a site's
            own name was pointed at (DNS rebinding).
        keys: who may ask; without any, all who reach it.
    """
    app: ASGIApp = create_server(pipeline).streamable_http_app(host=host, stateless_http=True)
    return SameOrigin(KeyWall(app, keys=keys))
