"""/health: is the process alive. /ready: is it loaded, and what of it is degraded."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from rag.graphs import Graph
from rag.protocols import AsksModel, SaysState
from ragline_serve.service.replies import JSONReply
from ragline_serve.service.service import Service
from ragline_serve.service.services import Services

logger = logging.getLogger(__name__)

_FRESH_S = 5.0

Parts = list[dict[str, str]]


class Health(BaseModel):
    status: Literal["ok"]


class DegradedPart(BaseModel):
    """`part`: a model of the graph, or a node. `means`: what is worse for it."""

    part: str
    means: str


class Ready(BaseModel):
    status: Literal["loading", "ready", "degraded"]
    degraded: list[DegradedPart]


def router(services: Services, *, patience_s: float = 5.0) -> APIRouter:
    """The endpoints over the services. A model that says nothing for so long counts as down."""
    routes = APIRouter(tags=["health"])
    checkups = {service.settings.model: Checkup(patience_s=patience_s) for service in services}

    @routes.get("/health", summary="Alive", response_model=Health)
    async def health() -> Response:
        return JSONReply({"status": "ok"})

    @routes.get(
        "/ready", summary="Loaded, and what is degraded", response_model=Ready, responses={503: {"model": Ready}}
    )
    async def ready() -> Response:
        if any(service.loading for service in services):
            return JSONReply({"status": "loading", "degraded": []}, status_code=503)
        present = list(services)
        rounds = await asyncio.gather(*(checkups[one.settings.model].degraded(one.pipeline.graph) for one in present))
        degraded = [
            {**what, "part": services.part(service.settings.model, what["part"])}
            for service, parts in zip(present, rounds, strict=True)
            for what in (*parts, *_of_service(service))
        ]
        return JSONReply({"status": "degraded" if degraded else "ready", "degraded": degraded})

    return routes


def _of_service(service: Service) -> Iterator[dict[str, str]]:
    """Who asks from afar is told what answers, and not how much memory there is."""
    if service.trouble:
        yield {"part": "loading", "means": service.trouble}
    if service.pipeline.instead:
        name = service.pipeline.spec.source.name
        means = f"{name} answers, for the machine is too small for the graph that was asked for: check what it says"
        yield {"part": "graph", "means": means}


class Checkup:
    """Asks the models of a graph, the same over all generations of an index, how they are: one round for all who ask."""

    def __init__(self, *, patience_s: float) -> None:
        self._patience_s = patience_s
        self._round: asyncio.Task[Parts] | None = None
        self._began = 0.0

    async def degraded(self, graph: Graph) -> Parts:
        """Models that do not work, and what that means for answers."""
        if self._round is None or (self._round.done() and time.monotonic() - self._began > _FRESH_S):
            self._began = time.monotonic()
            self._round = asyncio.create_task(run_sync(_look, graph, abandon_on_cancel=True))
        try:
            return await asyncio.wait_for(asyncio.shield(self._round), self._patience_s)
        except TimeoutError:
            return [{"part": "models", "means": "a model does not say how it is"}]


def _look(graph: Graph) -> Parts:
    found = []
    for name, model in graph.models.items():
        if not _works(name, model):
            names = [node for node, part in graph.parts.items() if isinstance(part, AsksModel) and part.llm is model]
            means = f"nodes that need it do not work: {', '.join(names) or 'none'}"
            found.append({"part": f"model {name}", "means": means})
    return found


def _works(name: str, model: Any) -> bool:
    """Whether a model that can tell says that it works; one in this process cannot be down."""
    if not isinstance(model, SaysState):
        return True
    try:
        model.state()
    except Exception as error:
        logger.warning("model '%s' is down: %s", name, type(error).__name__)
        return False
    return True
