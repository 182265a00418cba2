"""What a server did, as Prometheus metrics.

Labels come from closed sets: routes and methods of the application, status codes, nodes of the graph, kinds of outcome.
Nothing that a client sends becomes a label. Every application has a registry of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from time import perf_counter
from typing import Any, get_args, get_type_hints

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.graphs import RunResult
from rag.protocols import Load, TellsLoad
from rag.types import Outcome
from ragline_serve.service.service import ANSWERING, CHAT_PATH, Service, Watch

OTHER = "other"
GONE, BROKEN = "gone", "broken"
"""In the place of a status: the client left before its answer was whole, or the answer broke off."""
_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})
_KINDS = frozenset(get_args(get_type_hints(Outcome)["kind"]))
_SECONDS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


Called = Callable[[str], str]
"""What a part of one service is called beside those of others."""


class Metrics(Watch):
    """Counters of one application, which hear of its services' work. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._called: Called = str
        own = self.registry = CollectorRegistry()
        labels = ["route", "method", "status"]
        self._requests = Counter("ragline_requests", "Requests that were answered.", labels, registry=own)
        self._errors = Counter(
            "ragline_errors",
            "Requests that failed, by whose fault: client (4xx) or server.",
            ["route", "by"],
            registry=own,
        )
        self._in_flight = Gauge("ragline_requests_in_flight", "Requests being answered.", registry=own)
        self._seconds = Histogram(
            "ragline_request_seconds", "Request to last byte.", ["route"], buckets=_SECONDS, registry=own
        )
        self._first_token = Histogram(
            "ragline_first_token_seconds",
            "Request to first piece of a streamed answer.",
            buckets=_SECONDS,
            registry=own,
        )
        self._waiting = Gauge("ragline_waiting", "Requests that wait for a batch or a place.", ["part"], registry=own)
        self._batches = Histogram("ragline_batch_size", "Requests of a batch.", ["part"], buckets=_SIZES, registry=own)
        self._nodes = Histogram(
            "ragline_node_seconds",
            "A node's work on a batch, once for each question of the batch, for each waited for the whole.",
            ["node", "use"],
            buckets=_SECONDS,
            registry=own,
        )
        self._tokens = Counter("ragline_tokens", "Tokens by kind: prompt, cached, new.", ["node", "kind"], registry=own)
        self._outcomes = Counter("ragline_outcomes", "Records by outcome.", ["node", "kind"], registry=own)
        self._slots = Gauge(
            "ragline_model_requests",
            "Requests that a model in this process has: busy, waiting, and how many it takes at a time (places).",
            ["model", "state"],
            registry=own,
        )
        self._degraded = Gauge("ragline_degraded", "1 while a part does not answer.", ["part"], registry=own)

    def batch(self, name: str, n: int, seconds: float = 0.0) -> None:
        self._batches.labels(self._called(name)).observe(n)

    def result(self, result: RunResult) -> None:
        for report in result.nodes:
            node = self._called(report.name)
            self._nodes.labels(node, report.use).observe(report.seconds)
            usage = report.usage
            spent = {"prompt": usage.prompt_tokens, "cached": usage.cached_tokens, "new": usage.new_tokens}
            for kind, n_tokens in spent.items():
                if n_tokens:
                    self._tokens.labels(node, kind).inc(n_tokens)
            for kind, n_records in report.outcomes.items():
                self._outcomes.labels(node, kind if kind in _KINDS else OTHER).inc(n_records)

    def first_token(self, seconds: float) -> None:
        self._first_token.observe(seconds)

    def stream_failed(self) -> None:
        self._errors.labels(CHAT_PATH, "server").inc()

    def watch(self, called: Called) -> Watch:
        """The same counters, for a service whose parts are called so."""
        own = copy(self)
        own._called = called
        return own

    def look_at(self, service: Service, *, called: Called) -> None:
        """Look at a service's waiting rooms and at what is down whenever metrics are read."""
        rooms: dict[str, Any] = {gatherer.name: gatherer for gatherer in service.gatherers}
        rooms |= {service.checks.name: service.checks, "stream": service.streams, "whole": service.wholes}
        for name, room in rooms.items():
            self._waiting.labels(called(name)).set_function(partial(getattr, room, "waiting"))
        for name, model in service.pipeline.graph.models.items():
            if isinstance(model, TellsLoad):
                for state, of in _STATES.items():
                    self._slots.labels(called(name), state).set_function(partial(_asked, model, of))
        for part in (*service.ranking_nodes, ANSWERING):
            self._degraded.labels(called(part)).set_function(partial(service.down.__contains__, part))

    def begun(self) -> None:
        self._in_flight.inc()

    def ended(self, route: str, method: str, status: str, seconds: float) -> None:
        """A request is done: with an HTTP status, GONE or BROKEN."""
        self._in_flight.dec()
        self._requests.labels(route, method if method in _METHODS else OTHER, status).inc()
        self._seconds.labels(route).observe(seconds)
        if status == BROKEN or status.startswith("5"):
            self._errors.labels(route, "server").inc()
        elif status.startswith("4"):
            self._errors.labels(route, "client").inc()

    def text(self) -> bytes:
        """All of it, in Prometheus' text form."""
        return generate_latest(self.registry)


_STATES: Mapping[str, Callable[[Load], int | None]] = {
    "busy": lambda load: load.busy,
    "waiting": lambda load: load.waiting,
    "places": lambda load: load.places,
}


def _asked(model: TellsLoad, of: Callable[[Load], int | None]) -> float:
    """What a model says now; without end where it has no bound."""
    value = of(model.load())
    return math.inf if value is None else value


class MeasuredApp:
    """An ASGI application whose HTTP requests are counted: the outermost layer, so that refusals count too."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status, end = perf_counter(), "", BROKEN

        async def watched_receive() -> Message:
            nonlocal end
            message = await receive()
            if message["type"] == "http.disconnect" and end == BROKEN:
                end = GONE
            return message

        async def watched_send(message: Message) -> None:
            nonlocal status, end
            if message["type"] == "http.response.start":
                status = str(message["status"])
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                end = status
            await send(message)

        self._metrics.begun()
        try:
            await self._app(scope, watched_receive, watched_send)
        finally:
            self._metrics.ended(_route(scope), scope["method"], end, perf_counter() - begun)


def router(metrics: Metrics) -> APIRouter:
    """The endpoint that Prometheus reads."""
    routes = APIRouter(tags=["health"])

    @routes.get("/metrics", summary="Metrics in Prometheus' text form", response_class=PlainTextResponse)
    def read() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return routes


def _route(scope: Scope) -> str:
    """The pattern that a request's path matched, such as /v1/sessions/{session}: never the path itself."""
    return getattr(scope.get("route"), "path", None) or OTHER
