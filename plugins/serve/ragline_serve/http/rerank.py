"""/v1/rerank: a request's own documents in order, by the graph's last reranker that needs no index."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from rag.doors import outcome_json
from rag.types import Document, Query, Ranking, ScoredDocument
from ragline_serve.service.replies import ApiError, JSONReply, explained, require_short
from ragline_serve.service.service import Service
from ragline_serve.service.services import Services
from ragline_serve.service.settings import LONGEST_LIST
from ragline_serve.service.unavailable import unless_gone
from ragline_serve.service.wire.forms import ForeignForm, Listed, Text, refusals
from ragline_serve.service.wire.passages import OutcomeReply


class RerankDocument(ForeignForm):
    text: Text


class RerankRequest(ForeignForm):
    """Documents to put in order, as Cohere and Jina have it."""

    model: str | None = None
    query: str = Field(min_length=1, max_length=10_000)
    documents: Listed[Text | RerankDocument] = Field(min_length=1, max_length=LONGEST_LIST)
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool = False

    @property
    def texts(self) -> list[str]:
        return [one if isinstance(one, str) else one.text for one in self.documents]


class RerankResult(BaseModel):
    index: int
    relevance_score: float
    document: RerankDocument | None = None


class RerankUsage(BaseModel):
    total_tokens: int


class RerankReply(BaseModel):
    id: str
    model: str
    results: list[RerankResult]
    outcome: OutcomeReply
    usage: RerankUsage


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["rerank"])

    @routes.post(
        "/v1/rerank",
        summary="Put documents in order for a query",
        response_model=RerankReply,
        responses=refusals(400, 404, 429, 500, 503),
    )
    async def rerank(body: RerankRequest, request: Request) -> Response:
        return JSONReply(await unless_gone(request, _ordered(body, services.serving(request, body.model))))

    return routes


async def _ordered(body: RerankRequest, service: Service) -> dict[str, Any]:
    if service.reranker is None:
        raise ApiError(400, "The graph served has no reranker; hybrid-attention has one.", code="no_reranker")
    most = service.most_documents
    if len(body.documents) > most:
        raise ApiError(400, f"At most {most} documents are put in order here.", param="documents")
    require_short(body.texts, service.settings.text_characters, param="documents")
    try:
        ranking = await service.rerank(_as_given(service.query(body.query), body.texts))
    except Exception as error:
        raise explained(error) from error
    usage = ranking.usage
    return {
        "id": f"rerank-{uuid4().hex}",
        "model": service.settings.model,
        "results": [
            {
                "index": int(hit.doc_id),
                "relevance_score": hit.score,
                **({"document": {"text": hit.document.text}} if body.return_documents else {}),
            }
            for hit in ranking.hits[: body.top_n]
        ],
        "outcome": outcome_json(ranking.outcome),
        "usage": {"total_tokens": usage.prompt_tokens + usage.new_tokens},
    }


def _as_given(query: Query, texts: list[str]) -> Ranking:
    """Documents in the order of the request, all of the same score; doc_ids are their places."""
    width = len(str(len(texts)))
    hits = [
        ScoredDocument(document=Document(doc_id=f"{number:0{width}}", text=text), score=0.0)
        for number, text in enumerate(texts)
    ]
    return Ranking(query=query, hits=tuple(hits))
