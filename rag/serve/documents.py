"""/v1/documents: documents added, updated and removed, by a key that may. Searches go on meanwhile, over what they had."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from rag.indexing import add_documents, remove_documents, update_documents
from rag.serve.changes import Changes
from rag.service.wire.documents import DocumentsReply, DocumentsRequest, RemovalRequest
from rag.service.wire.errors import refusals


def router(changes: Changes) -> APIRouter:
    """The endpoints over the changes."""
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
