"""Several pipelines behind one server, each under the name that requests call it by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from rag import Pipeline
from rag.doors import successor
from rag.errors import SpecError
from rag.indexes import Index
from ragline_serve.service.generations import Current, Follower
from ragline_serve.service.replies import ApiError
from ragline_serve.service.service import Service

_SHOWN = 20
_HELD = "held"


class Services:
    """At least one service; the first answers requests that name none. All are of one generation of the index."""

    def __init__(self, services: Sequence[Service]) -> None:
        by_name = {service.settings.model: service for service in services}
        if len(by_name) < len(services) or not services:
            raise SpecError("serve: every model needs a name of its own")
        self._current = Current[Mapping[str, Service]](by_name)

    def __iter__(self) -> Iterator[Service]:
        return iter(self._current.now.values())

    def __len__(self) -> int:
        return len(self._current.now)

    @property
    def first(self) -> Service:
        return next(iter(self))

    def named(self, name: str | None) -> Service:
        """The service that goes by a name now; the first, if there is none.

        Raises:
            ApiError: there is none of that name.
        """
        return _named(self._current.now, name)

    def serving(self, request: Request, name: str | None) -> Service:
        """The service that a request asks, whose index stays open until the request is done, its stream included.

        Raises:
            ApiError: there is none of that name.
        """
        held: ExitStack = request.scope["state"][_HELD]
        return _named(held.enter_context(self._current.use()), name)

    @contextmanager
    def pipelines(self) -> Iterator[Mapping[str, Pipeline]]:
        """The pipelines by model, whose index stays open to the end of the block."""
        with self._current.use() as services:
            yield {name: service.pipeline for name, service in services.items()}

    def load(self) -> None:
        for service in self:
            service.load()

    def close(self) -> None:
        """Let the batches that have begun end, and begin no more."""
        for service in self:
            service.close()

    def follower(self, every_s: float) -> Follower | None:
        """What brings newer generations of the index; None where not exactly one index is searched."""
        indexes = {id(index): index for service in self if (index := service.pipeline.index) is not None}
        if len(indexes) != 1:
            return None
        return Follower(next(iter(indexes.values())), self._go_on_to, every_s=every_s)

    def part(self, model: str, name: str) -> str:
        """What a part of a service is called beside those of the others."""
        return name if len(self) == 1 else f"{model}/{name}"

    def _go_on_to(self, index: Index, close: Callable[[], None]) -> None:
        newer = {name: service.over(successor(service.pipeline, index)) for name, service in self._current.now.items()}
        self._current.replace(newer, close=close)


class HoldsServices:
    """An ASGI application whose requests let go of the services that they hold when all of the reply is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with ExitStack() as held:
            scope.setdefault("state", {})[_HELD] = held
            await self._app(scope, receive, send)


def _named(services: Mapping[str, Service], name: str | None) -> Service:
    if name is None:
        return next(iter(services.values()))
    if name not in services:
        names = ", ".join(f"'{known}'" for known in list(services)[:_SHOWN])
        raise ApiError(404, f"There is no such model here; there is {names}.", param="model", code="model_not_found")
    return services[name]
