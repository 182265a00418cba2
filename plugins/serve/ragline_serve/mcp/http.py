"""The tools over streamable HTTP, behind the same walls as `rag serve`, and one more."""

from __future__ import annotations

from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

from rag import Pipeline
from rag.files import QuestionLog
from ragline_serve.mcp.server import CALLER, create_server
from ragline_serve.service.askers import asker_of
from ragline_serve.service.generations import Current
from ragline_serve.service.keys import Keys
from ragline_serve.service.replies import ApiError
from ragline_serve.service.settings import ServeSettings
from ragline_serve.service.walls import BusyWall, Layer, Wall, walled

PATH = "/mcp"
AT_ONCE = 64
"""Calls in work at a time; more are told to come back. The tools' threads would take any number, and let them wait."""


def create_http_app(
    pipelines: Pipeline | Current[Pipeline],
    *,
    host: str,
    keys: Keys,
    settings: ServeSettings | None = None,
    at_once: int = AT_ONCE,
    log: QuestionLog | None = None,
) -> ASGIApp:
    """An ASGI application that answers at `PATH`. It keeps nothing between requests, so several may serve side by side.

    Args:
        pipelines: see `create_server`.
        host: the address that it is reached at. On a loopback address requests must also name one, whatever a site's
            own name was pointed at (DNS rebinding), unless the settings say which names count (`hosts`).
        keys: who may ask; without any, all who reach it.
        settings: limits, and the names and origins that are let in; origins beside a loopback address need names too.
        at_once: most calls at a time.
        log: see `create_server`.
    """
    settings = settings or ServeSettings()
    # The library's own check knows loopback's names alone; where others are given, the wall in front looks at both.
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False) if settings.hosts else None
    app = create_server(pipelines, settings, log=log).streamable_http_app(
        host=host,
        streamable_http_path=PATH,
        stateless_http=True,
        max_request_body_size=settings.max_request_bytes,
        transport_security=security,
    )
    return walled(_Calls(_NoStreams(BusyWall(app, at_once=at_once))), settings=settings, keys=keys)


class _Calls(Layer):
    """Says who makes the calls of a request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = CALLER.set(asker_of(scope))
        try:
            await self._app(scope, receive, send)
        finally:
            CALLER.reset(token)


class _NoStreams(Wall):
    """Refuses a GET, as the protocol lets a server do: the stream that it opens would hold a connection and say nothing."""

    def refusal(self, scope: Scope) -> ApiError | None:
        if scope["method"] != "GET" or scope["path"] != PATH:
            return None
        return ApiError(405, "This address does not take this method.", headers={"Allow": "POST"})
