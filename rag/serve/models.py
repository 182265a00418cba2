"""/v1/models: the graph, under the name it is served by."""

from __future__ import annotations

import time

from fastapi import APIRouter
from starlette.responses import Response

from rag.service.errors import ApiError
from rag.service.replies import JSONReply
from rag.service.service import Service
from rag.service.wire import Model, ModelList, refusals


def router(service: Service) -> APIRouter:
    """The endpoints over a service."""
    routes = APIRouter(tags=["models"])
    created = int(time.time())

    def card() -> dict[str, object]:
        return {"id": service.settings.model, "object": "model", "created": created, "owned_by": "ragline"}

    @routes.get("/v1/models", summary="The models of this server", response_model=ModelList)
    async def models() -> Response:
        return JSONReply({"object": "list", "data": [card()]})

    @routes.get("/v1/models/{model:path}", summary="One model", response_model=Model, responses=refusals(404))
    async def model(model: str) -> Response:
        require_model(model, service)
        return JSONReply(card())

    return routes


def require_model(name: str, service: Service) -> None:
    """Raise ApiError unless a request names the model that is served."""
    if name != service.settings.model:
        raise ApiError(
            404,
            f"There is no such model here; there is '{service.settings.model}'.",
            param="model",
            code="model_not_found",
        )
