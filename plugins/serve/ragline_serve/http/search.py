"""/v1/search: ranked passages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from rag.doors import MOST_FIELDS, facets_json, hits_json, in_words, near_json, outcome_json, read_json, terms_of
from rag.errors import IndexMismatch, SpecError
from rag.filters import parted
from rag.types import Query
from rag.types import Where as AnyWhere
from ragline_serve.http.extension import stages_json
from ragline_serve.service.askers import asked_in
from ragline_serve.service.replies import ApiError, JSONReply, explained, failed
from ragline_serve.service.service import Service
from ragline_serve.service.services import Services
from ragline_serve.service.unavailable import unless_gone
from ragline_serve.service.wire.forms import FILTER_HELP, Contents, Form, Where, refusals
from ragline_serve.service.wire.passages import NEAR_HELP, READ_HELP, Hit, OutcomeReply, ReadFilter, Stage


class SearchRequest(Form):
    model: str | None = Field(default=None, description="The graph that searches; unset takes the server's first.")
    query: str = Field(min_length=1, max_length=10_000)
    k: int | None = Field(default=None, ge=1, description="Hits wanted; unset takes the graph's own number.")
    where: Where | None = Field(default=None, description=FILTER_HELP)
    contents: Contents = Field(default=[])
    facets: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        default=[],
        max_length=MOST_FIELDS,
        description="Fields by whose values all documents found by words are counted.",
    )


class FacetValue(BaseModel):
    value: str | int | float | bool | None
    documents: int


class FacetReply(BaseModel):
    """The most frequent `values` first; `others`: how many values are left out."""

    values: list[FacetValue]
    others: int


class SearchReply(BaseModel):
    """`node` ranked the hits; `degraded` when it is not the graph's last one, whose model is down."""

    query: str
    hits: list[Hit]
    near: dict[str, list[str]] | None = Field(default=None, description=NEAR_HELP)
    read: list[ReadFilter] | None = Field(default=None, description=READ_HELP)
    facets: dict[str, FacetReply] | None = Field(default=None, description="Left out where none were asked for.")
    outcome: OutcomeReply
    node: str
    degraded: bool
    stages: list[Stage]


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["search"])

    @routes.post(
        "/v1/search",
        summary="Ranked passages for a query",
        response_model=SearchReply,
        responses=refusals(400, 404, 429, 500, 503),
    )
    async def search(body: SearchRequest, request: Request) -> Response:
        return JSONReply(await unless_gone(request, _found(body, request, services.serving(request, body.model))))

    return routes


async def _found(body: SearchRequest, request: Request, service: Service) -> dict[str, Any]:
    if body.k is not None and body.k > service.settings.max_k:
        raise ApiError(400, f"k may be at most {service.settings.max_k} here.", param="k")
    where = asked_in(request, body.where)
    await require_filter(where, service)
    query = service.query(body.query, where=where, contents=tuple(body.contents))
    try:
        service.pipeline.require_read([query])
        query = await service.checks(in_words, query) if query.contents else query
    except SpecError as error:
        raise ApiError(400, f"contents: {error}.", param="contents", code="unsupported_content") from error
    counted = await _counted(query, body.facets, service) if body.facets else {}
    try:
        result, node = await service.search(query, k=body.k)
    except Exception as error:
        raise explained(error) from error
    if result.failures:
        raise failed(result.failures[0]) from result.failures[0].cause
    last = service.pipeline.graph.last_ranking()
    if node == last == service.pipeline.graph.output:
        service.done(result)
    else:
        service.watch.result(result)
    ranking = result.rankings[0]
    return {
        "query": query.asked,
        "hits": await asyncio.to_thread(hits_json, ranking, terms_of(service.pipeline.index)),
        **near_json(ranking.near),
        **read_json(result.read),
        **counted,
        "outcome": outcome_json(ranking.outcome),
        "node": node,
        "degraded": node != last,
        "stages": stages_json(result, service.pipeline.graph),
    }


async def _counted(query: Query, fields: Sequence[str], service: Service) -> dict[str, Any]:
    try:
        return {"facets": facets_json(await service.checks(service.pipeline.facets, query, fields))}
    except (SpecError, IndexMismatch) as error:
        raise ApiError(400, str(error), param="facets", code="unknown_field") from error


async def require_filter(where: AnyWhere | None, service: Service) -> None:
    """Raise ApiError unless a request's metadata filter can be applied."""
    if parted(where).where is None:
        return
    try:
        await service.checks(service.check, where)
    except SpecError as error:
        raise ApiError(400, str(error), param="where", code="unknown_filter") from error
    except Exception as error:
        raise explained(error) from error
