"""/v1/index: which index, and which generation of it, answers now."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from rag.service.replies import JSONReply
from rag.service.services import Services
from rag.service.wire import IndexReply, refusals
from retrievers.index.protocol import Index


def router(services: Services) -> APIRouter:
    """The endpoint over the services."""
    routes = APIRouter(tags=["models"])

    @routes.get(
        "/v1/index", summary="The index that is searched now", response_model=IndexReply, responses=refusals(404)
    )
    async def index(request: Request, model: str | None = None) -> Response:
        return JSONReply(_described(services.serving(request, model).pipeline.index))

    return routes


def _described(index: Index | None) -> dict[str, Any]:
    if index is None:
        return {"name": None, "identity": None, "passages": 0, "legs": []}
    return {
        "name": PurePath(index.name).name,
        "identity": index.identity,
        "passages": len(index),
        "legs": list(index.legs),
    }
