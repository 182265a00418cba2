"""/v1/documents: documents added, updated and removed, by a key that may. Searches go on meanwhile, over what they had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import PurePath

from fastapi import APIRouter, Request
from starlette.responses import Response

from rag.core.access import Asker
from rag.core.errors import IndexBusy, IndexProblem, NoRoom, SpecError
from rag.indexing import IndexReport, add_documents, remove_documents, update_documents
from rag.service.askers import writer_of
from rag.service.errors import ApiError, explained
from rag.service.replies import JSONReply
from rag.service.services import Services
from rag.service.wire.documents import DocumentsReply, DocumentsRequest, RemovalRequest
from rag.service.wire.errors import refusals
from retrievers.index.directory import LocalIndex
from retrievers.index.generations import newest_stamp


def router(services: Services) -> APIRouter:
    """The endpoints over the services. One change at a time; the others wait for it."""
    routes, turn = APIRouter(tags=["documents"]), asyncio.Lock()

    async def changed(
        request: Request, model: str | None, change: Callable[[str, Asker | None], IndexReport]
    ) -> Response:
        _require_right(request)
        writer = writer_of(request.scope)
        index = services.serving(request, model).pipeline.index
        if not isinstance(index, LocalIndex):
            raise ApiError(400, "The index of this graph cannot be changed here.", code="fixed_index")
        try:
            async with turn:
                report = await asyncio.to_thread(change, index.name, writer)
        except (SpecError, IndexProblem) as error:
            said = str(error).replace(index.name, PurePath(index.name).name)
            if isinstance(error, IndexBusy):
                raise ApiError(409, said, code="index_busy") from error
            if isinstance(error, NoRoom):
                raise ApiError(507, said, code="no_room") from error
            raise ApiError(400, said, code="documents_refused") from error
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

    @routes.post(
        "/v1/documents",
        summary="Add documents, or put them in the place of others",
        response_model=DocumentsReply,
        responses=refusals(400, 403, 404, 409, 500, 503, 507),
    )
    async def come(body: DocumentsRequest, request: Request) -> Response:
        put = update_documents if body.update else add_documents
        return await changed(request, body.model, lambda index, writer: put(body.documents, index, asker=writer))

    @routes.post(
        "/v1/documents/remove",
        summary="Remove documents by their ids or by a filter",
        response_model=DocumentsReply,
        responses=refusals(400, 403, 404, 409, 500, 503, 507),
    )
    async def go(body: RemovalRequest, request: Request) -> Response:
        return await changed(
            request,
            body.model,
            lambda index, writer: remove_documents(index, ids=body.ids, where=body.where, asker=writer),
        )

    return routes


def _require_right(request: Request) -> None:
    if not request.scope.get("state", {}).get("writes"):  # said by `rag.service.walls.KeyWall`
        raise ApiError(
            403,
            "This key may not change documents. The operator makes one that may: rag keys FILE --write.",
            code="read_only",
        )
