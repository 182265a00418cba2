"""/v1/embeddings: texts as vectors, by the index's encoder."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from ragline_serve.service.replies import ApiError, JSONReply, explained, require_short
from ragline_serve.service.service import Service
from ragline_serve.service.services import Services
from ragline_serve.service.settings import LONGEST_LIST
from ragline_serve.service.unavailable import unless_gone
from ragline_serve.service.wire.forms import ForeignForm, Listed, Text, refusals


class EmbeddingsRequest(ForeignForm):
    """Texts to encode, in OpenAI's format. `input_type` says which side of the encoder reads them."""

    model: str
    input: Text | Annotated[Listed[Text], Field(max_length=LONGEST_LIST)] = Field(min_length=1)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: None = Field(default=None, description="Not taken: vectors have the encoder's own length.")
    input_type: Literal["query", "document"] = "document"

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class Embedding(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingsReply(BaseModel):
    object: Literal["list"]
    model: str
    data: list[Embedding]
    usage: EmbeddingsUsage


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["embeddings"])

    @routes.post(
        "/v1/embeddings",
        summary="Encode texts",
        response_model=EmbeddingsReply,
        responses=refusals(400, 404, 429, 500, 503),
    )
    async def embeddings(body: EmbeddingsRequest, request: Request) -> Response:
        return JSONReply(await unless_gone(request, _encoded(body, services.serving(request, body.model))))

    return routes


async def _encoded(body: EmbeddingsRequest, service: Service) -> dict[str, Any]:
    if not service.embeds:
        raise ApiError(400, "The index of this server has no dense leg, so it has no encoder.", code="no_encoder")
    if len(body.texts) > service.settings.max_documents:
        raise ApiError(400, f"At most {service.settings.max_documents} texts are encoded here.", param="input")
    require_short(body.texts, service.settings.text_characters, param="input")
    try:
        embeddings = await service.embed(body.texts, body.input_type)
    except Exception as error:
        raise explained(error) from error
    as_text = body.encoding_format == "base64"
    return {
        "object": "list",
        "model": service.settings.model,
        "data": [
            {
                "object": "embedding",
                "index": position,
                "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode() if as_text else row.tolist(),
            }
            for position, row in enumerate(embeddings.vectors)
        ],
        "usage": {"prompt_tokens": embeddings.n_tokens, "total_tokens": embeddings.n_tokens},
    }
