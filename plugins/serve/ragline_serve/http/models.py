"""/v1/models: the graphs, under the names they are served by."""

from __future__ import annotations

import time
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from ragline_serve.service.replies import JSONReply
from ragline_serve.service.service import Service
from ragline_serve.service.services import Services
from ragline_serve.service.wire.forms import refusals


class Model(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[Model]


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["models"])
    created = int(time.time())

    def card(service: Service) -> dict[str, object]:
        return {"id": service.settings.model, "object": "model", "created": created, "owned_by": "ragline"}

    @routes.get("/v1/models", summary="The models of this server", response_model=ModelList)
    async def models() -> Response:
        return JSONReply({"object": "list", "data": [card(service) for service in services]})

    @routes.get("/v1/models/{model:path}", summary="One model", response_model=Model, responses=refusals(404))
    async def model(model: str) -> Response:
        return JSONReply(card(services.named(model)))

    return routes
