"""/v1/documents: documents added, updated and removed, by a key that may. Searches go on meanwhile, over what they had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from rag import Asker, IndexBusy, add_documents, remove_documents, update_documents
from rag.doors import IndexReport
from rag.errors import IndexProblem, NoRoom, SpecError
from rag.indexes import LocalIndex, newest_stamp
from ragline_serve.service.askers import writer_of
from ragline_serve.service.replies import ApiError, JSONReply, explained
from ragline_serve.service.services import Services
from ragline_serve.service.wire.forms import FILTER_HELP, Form, Listed, Text, Where, refusals

MOST = 10_000
"""Documents of a request."""

Change = Callable[[LocalIndex, Asker | None], IndexReport]


class DocumentsRequest(Form):
    model: str | None = Field(default=None, description="The graph whose index it is; unset takes the server's first.")
    documents: Listed[dict[str, Any]] = Field(
        min_length=1, max_length=MOST, description="Objects with id, title and text; all other fields are metadata."
    )
    update: bool = Field(default=False, description="Put them in the place of those with the same ids.")


class RemovalRequest(Form):
    model: str | None = Field(default=None, description="The graph whose index it is; unset takes the server's first.")
    ids: Listed[Text] | None = Field(default=None, min_length=1, max_length=MOST, description="Ids of documents.")
    where: Where | None = Field(default=None, description=FILTER_HELP)


class DocumentsReply(BaseModel):
    """What the index holds now, of what the writer may read. `ids`: of what was given, in its order. `encoded`: null where
    the key is for somebody. `generation`: the one that searches find the change in, once the server has opened it.
    """

    documents: int
    passages: int
    parts: int
    encoded: int | None
    ids: list[str]
    generation: str


class Changes:
    """Changes of the indexes of all services. One is made at a time; the others wait for it."""

    def __init__(self, services: Services) -> None:
        self._services, self._turn = services, asyncio.Lock()

    def may(self, request: Request) -> bool:
        """Whether the key of a request may change documents."""
        return bool(request.scope.get("state", {}).get("writes"))  # said by `ragline_serve.service.walls.KeyWall`

    def require_right(self, request: Request) -> None:
        """Raise the refusal of a key that may not."""
        if not self.may(request):
            raise ApiError(
                403,
                "This key may not change documents. The operator makes one that may: rag keys FILE --write.",
                code="read_only",
            )

    def of(self, request: Request, model: str | None) -> LocalIndex | None:
        """The index of a graph, where it can be changed here."""
        index = self._services.serving(request, model).pipeline.index
        return index if isinstance(index, LocalIndex) else None

    async def make(self, request: Request, model: str | None, change: Change) -> Response:
        """Make a change when its turn comes, and say what the index holds then."""
        writer, index = writer_of(request.scope), self.of(request, model)
        if index is None:
            raise ApiError(400, "The index of this graph cannot be changed here.", code="fixed_index")
        try:
            async with self._turn:
                report = await asyncio.to_thread(change, index, writer)
        except (SpecError, IndexProblem) as error:
            said = str(error).replace(index.name, PurePath(index.name).name)
            if isinstance(error, IndexBusy):
                raise ApiError(409, said, code="index_busy") from error
            if isinstance(error, NoRoom):
                raise ApiError(507, said, code="no_room") from error
            raise ApiError(400, said, code="documents_refused") from error
        except ApiError:
            raise
        except Exception as error:
            raise explained(error) from error
        return JSONReply(
            {
                "documents": report.n_documents,
                "passages": report.n_units,
                "parts": report.n_parts,
                "encoded": report.n_encoded if writer is None else None,  # see `rag.indexing.writers.told_to`
                "ids": report.ids,
                "generation": newest_stamp(index.path),
            }
        )


def router(changes: Changes) -> APIRouter:
    routes = APIRouter(tags=["documents"])

    @routes.post(
        "/v1/documents",
        summary="Add documents, or put them in the place of others",
        response_model=DocumentsReply,
        responses=refusals(400, 403, 404, 409, 500, 503, 507),
    )
    async def come(body: DocumentsRequest, request: Request) -> Response:
        changes.require_right(request)
        put = update_documents if body.update else add_documents
        return await changes.make(
            request, body.model, lambda index, writer: put(body.documents, index.name, asker=writer)
        )

    @routes.post(
        "/v1/documents/remove",
        summary="Remove documents by their ids or by a filter",
        response_model=DocumentsReply,
        responses=refusals(400, 403, 404, 409, 500, 503, 507),
    )
    async def go(body: RemovalRequest, request: Request) -> Response:
        changes.require_right(request)
        return await changes.make(
            request,
            body.model,
            lambda index, writer: remove_documents(index.name, ids=body.ids, where=body.where, asker=writer),
        )

    return routes
